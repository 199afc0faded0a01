"""Import of Connectors, for operators: all lines or none.

Lines are read one by one into a temporary table, which is the importing connection's own, so that
nobody waits meanwhile and memory stays bounded. Then what each line means is worked out against
the catalogue, and written where nobody looks (see `preparing`); one short transaction shows it.
Should one of the same Connectors have changed in between, all that is done once more inside the
transaction. (docs/decisions/0036-imports-are-prepared-in-place.md)
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import Connection, exc, text

from connectory.catalogue import preparing
from connectory.catalogue.lines import read_line
from connectory.contract.decoding import DecodingError
from connectory.database import audit, feed
from connectory.database.audit import Act
from connectory.database.engine import Database, Session
from connectory.database.serving import importing_alone
from connectory.kernel import ids

_BATCH = 1_000
#: Before new Connectors are shown, servers that follow take in what is prepared, each for so many
#: seconds, so that they are found as soon as they are shown. Beyond the longest they are found
#: later anyway (see `following.MOST_SCANNED`).
_LEAD_PER_NEW = 25e-6
_LONGEST_LEAD = 4.0


class ImportFault(ValueError):
    """Lines cannot be imported; nothing was changed."""


class LineFault(Struct, frozen=True):
    """What is wrong with a line, counted from 1; `path` may be empty."""

    line: int
    path: str
    what: str

    def __str__(self) -> str:
        """One line for a person: `line 7: creator.email: …`."""
        where = f"line {self.line}: "
        return where + (f"{self.path}: {self.what}" if self.path else self.what)


class ImportResult(Struct, frozen=True):
    """How many Connectors a file made new, gave a new version, and found as they were."""

    created: int
    changed: int
    unchanged: int


def import_connectors(
    database: Database,
    lines: Iterable[bytes],
    *,
    actor: str,
    now: int,
    fault: Callable[[LineFault], None],
) -> ImportResult:
    """Publish the Connectors of all lines, or of none.

    `fault` hears of every fault as it is found, in no certain order. Empty lines are passed over.

    Raises:
        ImportFault: there were faults, and nothing was changed.
        DatabaseUnavailable: nothing was changed.
    """
    faults = 0

    def count(found: LineFault) -> None:
        nonlocal faults
        faults += 1
        fault(found)

    with database.session() as session:
        with session.aside() as connection:
            _create_tables(connection)
            _stage(connection, lines, count)
            for found in _repeated_names(connection):
                count(found)
        _refuse(faults)
        with importing_alone(database, session):
            preparing.sweep_alone(database, session)
            with session.aside() as connection:
                seen = feed.position(connection)
                _resolve(connection, now, count)
                result = _result(connection)
            _refuse(faults)
            if not result.created and not result.changed:
                return result
            number = _prepared(database, session, now)
            _give_lead(result)
            try:
                with session.write() as connection:
                    if number is None or not _still_true(connection, seen, number):
                        preparing.clear(connection)
                        _resolve(connection, now, count)
                        _refuse(faults)
                        result = _result(connection)
                        number = preparing.prepare_at_once(connection, now=now)
                    preparing.show(connection, number)
                    if result.created or result.changed:
                        _record(connection, result, actor=actor, now=now)
            except ImportFault:
                preparing.sweep_alone(database, session)
                raise
    return result


def _prepared(database: Database, session: Session, now: int) -> int | None:
    """The number that shows what was prepared; none where somebody else was faster."""
    try:
        return preparing.prepare(database, session, now=now)
    except exc.IntegrityError:
        return None


def _give_lead(result: ImportResult) -> None:
    """Let servers get ready for what is prepared (see `following`)."""
    time.sleep(min(_LEAD_PER_NEW * result.created, _LONGEST_LEAD))


def _still_true(connection: Connection, seen: tuple[str, int], number: int) -> bool:
    """Whether what the lines meant when the feed was there holds, and all is still prepared.

    The feed is held from here to the end of the transaction.
    """
    epoch, head = feed.hold(connection)
    if (epoch, head) == seen and feed.reserved(connection) == number:
        return True
    changed = text("""
        SELECT 1 FROM connectors c WHERE c.seq > :seen AND c.seq <= :head
        AND (EXISTS (SELECT 1 FROM import_resolved r WHERE r.id = c.id)
             OR EXISTS (SELECT 1 FROM import_resolved r WHERE r.key = c.key)) LIMIT 1""")
    return (
        epoch == seen[0]
        and feed.reserved(connection) == number
        and connection.execute(changed, {"seen": seen[1], "head": head}).first() is None
        and next(_drafted(connection), None) is None
    )


def _refuse(faults: int) -> None:
    if faults:
        count = "1 fault" if faults == 1 else f"{faults} faults"
        raise ImportFault(f"nothing was imported: {count}, told above")


def _create_tables(connection: Connection) -> None:
    """Tables of this session alone; they go when it ends, however that happens."""
    connection.execute(
        text("""
        CREATE TEMPORARY TABLE import_lines (
            line INTEGER PRIMARY KEY, id TEXT, key TEXT, fresh_id TEXT NOT NULL,
            content TEXT NOT NULL, private_projects TEXT, owner TEXT,
            created_at BIGINT, last_modified_at BIGINT)""")
    )
    connection.execute(
        text("""
        CREATE TEMPORARY TABLE import_resolved (
            line INTEGER NOT NULL, id TEXT NOT NULL, key TEXT, version INTEGER NOT NULL,
            source TEXT NOT NULL, content TEXT NOT NULL, private_projects TEXT NOT NULL, owner TEXT,
            created_at BIGINT NOT NULL, last_modified_at BIGINT NOT NULL, state TEXT NOT NULL)""")
    )


def _stage(
    connection: Connection, lines: Iterable[bytes], fault: Callable[[LineFault], None]
) -> None:
    insert = text("""
        INSERT INTO import_lines (line, id, key, fresh_id, content, private_projects, owner,
            created_at, last_modified_at)
        VALUES (:line, :id, :key, :fresh_id, :content, :private_projects, :owner,
            :created_at, :last_modified_at)""")
    rows = _rows(lines, fault)
    while batch := list(islice(rows, _BATCH)):
        connection.execute(insert, batch)


def _rows(lines: Iterable[bytes], fault: Callable[[LineFault], None]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            read = read_line(line)
        except DecodingError as error:
            fault(LineFault(number, error.path, error.what))
        else:
            yield {"line": number, "fresh_id": ids.new_id(), **structs.asdict(read)}


def _repeated_names(connection: Connection) -> Iterator[LineFault]:
    """Lines that name a Connector by an id or a key that an earlier line has."""
    for name in ("id", "key"):
        connection.execute(text(f"CREATE INDEX import_lines_{name} ON import_lines ({name})"))
        repeated = connection.execute(
            text(f"""
            SELECT later.line, earlier.line AS first, later.{name} AS value
            FROM import_lines later
            JOIN (SELECT {name}, min(line) AS line FROM import_lines
                  WHERE {name} IS NOT NULL GROUP BY {name} HAVING count(*) > 1) earlier
            ON earlier.{name} = later.{name} AND earlier.line < later.line
            ORDER BY later.line""")  # noqa: S608 - two constants
        )
        for row in repeated:
            yield LineFault(row.line, name, f"'{row.value}' is on line {row.first} already")


def _resolve(connection: Connection, now: int, fault: Callable[[LineFault], None]) -> None:
    """Work out what each line means, given the catalogue as it is, and what stands against it.

    A line without `id` is the Connector of its key; one without `key` keeps the key; whatever else
    is left out stays as it is, or is empty for a new Connector. They are put down by id, as they
    are written later, while others wait: an index that grows at its end takes half the time.
    """
    connection.execute(text("DELETE FROM import_resolved"))
    connection.execute(
        text("""
        INSERT INTO import_resolved
        SELECT line, id, key, version, source, content, private_projects, owner, created_at,
            CASE WHEN state = 'unchanged' THEN old_modified_at
                 ELSE coalesce(new_modified_at, :now) END,
            state
        FROM (
            SELECT *, CASE
                WHEN old_content IS NULL THEN 'new'
                WHEN content = old_content AND private_projects = old_private_projects
                    AND coalesce(owner, '') = coalesce(old_owner, '')
                    AND created_at = old_created_at
                    AND coalesce(new_modified_at, old_modified_at) = old_modified_at
                THEN 'unchanged' ELSE 'changed' END AS state
            FROM (
                SELECT l.line, coalesce(l.id, c.id, l.fresh_id) AS id,
                    coalesce(l.key, c.key) AS key,
                    coalesce(c.version, 0) AS version,
                    coalesce(c.source, 'import') AS source,
                    CASE WHEN l.key IS NULL AND c.key IS NOT NULL
                        THEN '{"key":"' || c.key || '",' || substr(l.content, 2)
                        ELSE l.content END AS content,
                    coalesce(l.private_projects, c.private_projects, '[]') AS private_projects,
                    coalesce(l.owner, c.owner) AS owner,
                    coalesce(l.created_at, c.created_at, l.last_modified_at, :now) AS created_at,
                    l.last_modified_at AS new_modified_at,
                    v.content AS old_content, c.private_projects AS old_private_projects,
                    c.owner AS old_owner, c.created_at AS old_created_at,
                    c.last_modified_at AS old_modified_at
                FROM import_lines l
                LEFT JOIN connectors c
                    ON c.id = coalesce(l.id, (SELECT k.id FROM connectors k WHERE k.key = l.key))
                LEFT JOIN connector_versions v
                    ON v.connector_id = c.id AND v.version = c.version
            ) read_against
        ) compared
        ORDER BY id"""),
        {"now": now},
    )
    for name in ("id", "key"):
        index = f"CREATE INDEX IF NOT EXISTS import_resolved_{name} ON import_resolved ({name})"
        connection.execute(text(index))
    if connection.dialect.name == "postgresql":
        # It does not look at temporary tables by itself, and would walk all of one for each piece.
        connection.execute(text("ANALYZE import_resolved"))
    for found in _conflicts(connection):
        fault(found)


def _conflicts(connection: Connection) -> Iterator[LineFault]:
    """Lines that cannot be written to the catalogue as it is."""
    staged = text("""
        SELECT line, id FROM import_resolved
        WHERE source = 'staged' AND state <> 'unchanged' ORDER BY line""")
    for row in connection.execute(staged):
        what = f"the Connector {row.id} is published by a ConnectorStaged; change that instead"
        yield LineFault(row.line, "", what)
    taken = text("""
        SELECT r.line, r.key, c.id FROM import_resolved r
        JOIN connectors c ON c.key = r.key AND c.id <> r.id ORDER BY r.line""")
    for row in connection.execute(taken):
        yield LineFault(row.line, "key", f"'{row.key}' is the key of the Connector {row.id}")
    yield from _drafted(connection)
    twice = text("""
        SELECT max(line) AS line, min(line) AS first, id FROM import_resolved
        GROUP BY id HAVING count(*) > 1 ORDER BY 1""")
    for row in connection.execute(twice):
        yield LineFault(row.line, "", f"it names the Connector {row.id}, as line {row.first} does")


def _drafted(connection: Connection) -> Iterator[LineFault]:
    """Lines whose id or key a ConnectorStaged has.

    CROSS: each of these looks for its lines, which are many, and SQLite has it the other way round.
    """
    drafted = text("""
        SELECT r.line, s.id FROM connectors_staged s CROSS JOIN import_resolved r
        WHERE (r.id = s.id OR r.key = s.key) AND r.source <> 'staged' ORDER BY r.line""")
    for row in connection.execute(drafted):
        yield LineFault(row.line, "", f"the ConnectorStaged {row.id} has this id or key")


def _result(connection: Connection) -> ImportResult:
    counts = text("SELECT state, count(*) FROM import_resolved GROUP BY state")
    states: dict[str, int] = {row[0]: row[1] for row in connection.execute(counts)}
    return ImportResult(states.get("new", 0), states.get("changed", 0), states.get("unchanged", 0))


def _record(connection: Connection, result: ImportResult, *, actor: str, now: int) -> None:
    details = structs.asdict(result)
    act = Act(at=now, actor=actor, action="catalogue:import", subject="*", details=details)
    audit.record(connection, act)
