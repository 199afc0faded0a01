"""Backup and restore: all that an installation keeps, in one file, alike from both databases.

A backup is JSON lines, compressed with gzip: a header; the tables, each after those that it refers
to; a trailer that says that nothing is missing.

    {"format":"connectory-backup","number":1,"schema":"0001","program":"0.1.0","at":"2026-11-24T…Z"}
    {"line":"table","name":"projects","columns":["key","region","production","created_at"]}
    ["shop","europe-west1.gcp",false,1767225600000000]
    {"line":"end","rows":1,"digest":"c0ffee…"}
    {"line":"whole","tables":8,"rows":1}

A table's digest is the sum, modulo 2^256, of the SHA-256 hashes of its rows as lines. Databases
hand rows out in orders of their own and a sum does not mind, so a restore can read back what it
wrote and compare. `alembic_version` is left out, because a restore makes the schema, `feed`,
because it begins a new epoch, and the logs of Deployments, which are large and soon expire. Of
secrets and tokens there are hashes in it, as in the database; of those that the server needs again
what `connectory.database.secrets` sealed, without the keys.
"""

import gzip
import hashlib
import io
import types
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar, cast

import msgspec
import sqlalchemy
from msgspec import Struct
from sqlalchemy import Column, Connection, Row, exc, func, select

from connectory import __version__
from connectory.database import feed, migration
from connectory.database.engine import Database
from connectory.database.tables import (
    connector_versions,
    connectors,
    log_entries,
    log_volumes,
    metadata,
    secret_keys,
)
from connectory.database.tables import feed as feed_table
from connectory.kernel.clock import to_rfc3339

T = TypeVar("T")

FORMAT = "connectory-backup"
NUMBER = 1

_LEFT_OUT = (feed_table, log_entries, log_volumes)
#: The tables of a backup by name, each after those that it refers to.
TABLES = {str(table.name): table for table in metadata.sorted_tables if table not in _LEFT_OUT}

#: Of these tables there may be rows that an import has only prepared: they stay out.
_CONNECTOR_IS_THERE = feed.is_reached(connectors.c.seq)
_THERE = {
    connectors.name: _CONNECTOR_IS_THERE,
    connector_versions.name: sqlalchemy.exists().where(
        connectors.c.id == connector_versions.c.connector_id,
        connectors.c.version >= connector_versions.c.version,
        _CONNECTOR_IS_THERE,
    ),
}

#: Rows are read and written this many at a time, and fewer are written where they are large.
_BATCH_ROWS = 500
_BATCH_BYTES = 4 * 2**20
#: No line of a backup is longer; what is would only fill the memory.
_LONGEST_LINE = 256 * 2**20
_GZIP_MAGIC = b"\x1f\x8b"
#: Takes half the time of gzip's usual 9, for a few more bytes.
_COMPRESSION = 5


class BackupError(ValueError):
    """A backup cannot be read, or a target cannot take it; the message says why."""


class Header(Struct, frozen=True, kw_only=True):
    """The first line: what the file is, of what, from when (RFC 3339)."""

    format: str
    number: int
    schema: str
    program: str
    at: str


class Restored(Struct, frozen=True, kw_only=True):
    """A backup that was restored, and how many rows each table got."""

    backup: Header
    rows: dict[str, int]


class _Table(Struct, frozen=True, kw_only=True, tag="table", tag_field="line"):
    name: str
    columns: tuple[str, ...]


class _End(Struct, frozen=True, kw_only=True, tag="end", tag_field="line"):
    rows: int
    digest: str


class _Whole(Struct, frozen=True, kw_only=True, tag="whole", tag_field="line"):
    tables: int
    rows: int


class _Kind(Struct, frozen=True, kw_only=True):
    """What of a header every format has."""

    format: str
    number: int


_encode = msgspec.json.Encoder().encode
_kind = msgspec.json.Decoder(_Kind)
_header = msgspec.json.Decoder(Header)
_mark = msgspec.json.Decoder(_Table | _End | _Whole)


class _Tally:
    """Counts rows and sums up their hashes."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Iterable[Any]) -> bytes:
        """Take a row in; the row as a line."""
        line = _encode(tuple(row)) + b"\n"
        self.rows += 1
        self._sum += int.from_bytes(hashlib.sha256(line).digest())
        return line

    def end(self) -> _End:
        return _End(rows=self.rows, digest=f"{self._sum % 2**256:064x}")


def write_backup(connection: Connection, target: BinaryIO, *, now: int) -> int:
    """Write a backup of the snapshot that a read transaction sees; how many rows it has.

    Raises:
        SchemaMismatch: the database is not at the schema of this program.
        DatabaseUnavailable: the database went away.
    """
    migration.require_current_revision(connection)
    header = Header(
        format=FORMAT, number=NUMBER, schema=migration.HEAD, program=__version__, at=to_rfc3339(now)
    )
    rows = 0
    with gzip.GzipFile("", "wb", _COMPRESSION, target, mtime=0) as file:

        def write(line: Struct) -> None:
            file.write(_encode(line) + b"\n")

        write(header)
        for name, table in TABLES.items():
            columns = tuple(map(str, table.c.keys()))
            write(_Table(name=name, columns=columns))
            tally = _Tally()
            for batch in _stored(connection, name, columns, _THERE.get(name)):
                file.write(b"".join(map(tally.add, batch)))
            write(tally.end())
            rows += tally.rows
        write(_Whole(tables=len(TABLES), rows=rows))
    return rows


def restore_backup(
    database: Database,
    source: BinaryIO,
    check: Callable[[Connection], None] = lambda _: None,
) -> Restored:
    """Read a backup into an empty database, in one transaction.

    The schema is made in the same transaction. Before it commits, all that was written is read
    back and compared with what the backup says of itself. The feed begins a new epoch. `check` may
    refuse what was restored by an exception.

    Raises:
        BackupError: the backup is not one, is damaged, is of another format or schema; or the
            database is not empty. Nothing was written.
        SchemaMismatch: the database is a newer program's, or somebody else's.
        DatabaseUnavailable: the database cannot be reached.
    """
    lines = _Lines(source)
    header = _read_header(lines)
    with database.write() as connection:
        migration.upgrade(connection)
        _require_empty(connection)
        ends: dict[_Table, _End] = {}
        while isinstance(mark := lines.decode(_mark), _Table):
            if mark.name in (table.name for table in ends):
                raise lines.damaged(f"'{mark.name}' is there twice")
            ends[mark] = _restore_table(connection, mark, lines)
        rows = sum(end.rows for end in ends.values())
        if mark != _Whole(tables=len(ends), rows=rows) or len(ends) != len(TABLES):
            raise lines.damaged("a table is missing")
        lines.require_end()
        for table, end in ends.items():
            _require_stored(connection, table, end)
        _continue_numbering(connection)
        feed.begin_epoch(connection, head=_largest_number_of_feed(connection))
        check(connection)
    return Restored(backup=header, rows={table.name: end.rows for table, end in ends.items()})


class _Lines:
    """The lines of a backup; whatever is wrong with them becomes a BackupError."""

    def __init__(self, source: BinaryIO) -> None:
        compressed = io.BufferedReader(cast("io.RawIOBase", source), 2**20)
        if not compressed.peek(2).startswith(_GZIP_MAGIC):
            raise BackupError("it is not a backup of Connectory")
        self._file = io.BufferedReader(gzip.GzipFile(fileobj=compressed, mode="rb"), 2**20)
        self._number = 0
        self.text = b""

    def advance(self) -> bytes:
        """Go to the next line, which `text` then is; empty after the last."""
        try:
            self.text = self._file.readline(_LONGEST_LINE)
        except EOFError:
            raise BackupError("it is cut off") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self.damaged(str(error)) from None
        self._number += 1
        return self.text

    def decode(self, decoder: "msgspec.json.Decoder[T]") -> T:
        """The next line, decoded."""
        self.advance()
        return self.decode_again(decoder)

    def decode_again(self, decoder: "msgspec.json.Decoder[T]") -> T:
        """The line that was reached, decoded."""
        if not self.text.endswith(b"\n"):
            raise BackupError("it is cut off")
        try:
            return decoder.decode(self.text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.damaged(str(error)) from None

    def require_end(self) -> None:
        """Make sure that nothing follows; with the last byte, gzip compares its own checksum."""
        if self.advance():
            raise self.damaged("something follows its end")

    def damaged(self, what: str) -> BackupError:
        return BackupError(f"it is damaged near line {self._number}: {what}")


def _read_header(lines: _Lines) -> Header:
    lines.advance()
    try:
        kind = lines.decode_again(_kind)
    except BackupError:
        raise BackupError("it is not a backup of Connectory") from None
    if kind.format != FORMAT:
        raise BackupError("it is not a backup of Connectory")
    if kind.number != NUMBER:
        raise BackupError(
            f"it is of format {kind.number}, this program reads {NUMBER};"
            " restore it with the program that wrote it, or a newer one"
        )
    header = lines.decode_again(_header)
    if header.schema != migration.HEAD:
        raise BackupError(
            f"it is of schema {header.schema}, this program restores {migration.HEAD};"
            f" restore it with Connectory {header.program}, which wrote it, and migrate then"
        )
    return header


def _require_empty(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # SQLite has locked out other writers already.
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(TABLES)} IN EXCLUSIVE MODE")
    # What an empty installation noted at a start, it notes again at the next one.
    connection.execute(secret_keys.delete())
    for name, table in TABLES.items():
        if connection.execute(select(sqlalchemy.literal(1)).select_from(table).limit(1)).first():
            raise BackupError(f"the database is not empty: it has {name}; take a new one")


def _restore_table(connection: Connection, table: _Table, lines: _Lines) -> _End:
    """Write the rows of a table that follow; what they add up to."""
    target = TABLES.get(table.name)
    if target is None or sorted(table.columns) != sorted(target.c.keys()):
        raise lines.damaged(
            f"'{table.name}' is not a table of this program, or not with these columns"
        )
    row_type = types.GenericAlias(tuple, tuple(_type(target.c[name]) for name in table.columns))
    decoder = msgspec.json.Decoder(row_type)
    tally = _Tally()
    batch: list[dict[str, Any]] = []
    size = 0

    def write() -> None:
        nonlocal size
        try:
            connection.execute(target.insert(), batch)
        except (exc.IntegrityError, exc.DataError, OverflowError) as error:
            why = str(getattr(error, "orig", error)).partition("\n")[0]
            raise lines.damaged(f"a row cannot be written: {why}") from error
        batch.clear()
        size = 0

    while lines.advance().startswith(b"["):
        row = lines.decode_again(decoder)
        size += len(tally.add(row))
        batch.append(dict(zip(table.columns, row, strict=True)))
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            write()
    if batch:
        write()
    if lines.decode_again(_mark) != tally.end():
        raise lines.damaged(f"what stands before it is not what was in '{table.name}'")
    return tally.end()


def _type(column: Column[Any]) -> Any:
    """What a column holds, as JSON has it."""
    kind: Any = column.type.python_type
    return kind | None if column.nullable else kind


def _require_stored(connection: Connection, table: _Table, end: _End) -> None:
    """Make sure that the database has what was written to it."""
    tally = _Tally()
    for batch in _stored(connection, table.name, table.columns):
        for row in batch:
            tally.add(row)
    if tally.end() != end:
        raise BackupError(f"the database did not keep '{table.name}' as it was written")


def _stored(
    connection: Connection,
    name: str,
    columns: Sequence[str],
    condition: sqlalchemy.ColumnElement[bool] | None = None,
) -> Iterator[Sequence[Row[Any]]]:
    query = select(*(TABLES[name].c[column] for column in columns))
    if condition is not None:
        query = query.where(condition)
    return connection.execute(query.execution_options(yield_per=_BATCH_ROWS)).partitions()


def _continue_numbering(connection: Connection) -> None:
    """Let PostgreSQL number new rows after those that came with numbers; SQLite does so anyway."""
    if connection.dialect.name != "postgresql":
        return
    for name, table in TABLES.items():
        column = table.autoincrement_column
        if column is not None:
            sequence = func.pg_get_serial_sequence(name, column.name)
            following = func.coalesce(func.max(column), 0) + 1
            connection.execute(select(func.setval(sequence, following, False)))


def _largest_number_of_feed(connection: Connection) -> int:
    """The largest number of the change feed that a row is marked with."""
    marks = [table.c.seq for table in TABLES.values() if "seq" in table.c]
    return max(connection.execute(select(func.max(mark))).scalar_one() or 0 for mark in marks)
