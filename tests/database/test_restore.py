"""Restores: into either database, everything or nothing, and what was written is read back."""

import gzip
import io
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy

from connectory.database import audit, feed, migration
from connectory.database.audit import Act
from connectory.database.backup import TABLES, BackupError, restore_backup
from connectory.database.engine import Database
from connectory.database.migration import SchemaMismatch
from connectory.identity.administration import Administration
from connectory.kernel.clock import HOUR
from tests.database.conftest import NewInstallation, opened
from tests.database.contents import Known, fill, fill_with_many, import_lines, lines_of, rows_of
from tests.database.following import Node, change
from tests.database.test_backup import backup_of, digest
from tests.harness import COMMAND, Installation, connector

BOTH = ("sqlite", "postgresql")
EVERY_DIRECTION = [(source, target) for source in BOTH for target in BOTH]

across = pytest.mark.parametrize(("source", "target"), EVERY_DIRECTION)


# What is the same afterwards


@across
def test_everything_is_the_same_afterwards(
    new_installation: NewInstallation, tmp_path: Path, source: str, target: str
) -> None:
    old, new = new_installation(source), new_installation(target)
    old.run("migrate")
    with opened(old) as database:
        known = fill(database)
        before = rows_of(database)
    file = tmp_path / "backup.gz"
    old.run("backup", str(file))
    done = new.run_json("restore", str(file))
    assert done["rows"] == {name: len(rows) for name, rows in before.items()}
    assert min(done["rows"].values()) > 0
    with opened(new) as database:
        assert rows_of(database) == before
    assert new.run("export", "-").stdout == old.run("export", "-").stdout
    assert new.run_json("audit") == old.run_json("audit")
    clients_and_tokens_hold(new, known)


def clients_and_tokens_hold(installation: Installation, known: Known) -> None:
    with installation.serving() as server:
        for client in (known.client, known.older):
            with server.client(client) as api:
                assert api.get("/connectors/search").json()["total"] == 4  # of 6, 2 are foreign
                assert api.get("/connectors/key=own").status_code == 200
        statuses = [
            httpx.get(
                f"{server.url}/connectors/search", headers={"Authorization": f"Bearer {token}"}
            ).status_code
            for token in (known.token, known.revoked_token)
        ]
        assert statuses == [200, 401]
        refused = httpx.post(
            f"{server.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(known.revoked.client_id, known.revoked.client_secret),
        )
        assert refused.status_code == 401


@across
def test_a_backup_of_what_was_restored_is_the_same_backup(
    new_installation: NewInstallation, source: str, target: str
) -> None:
    with opened(new_installation(source)) as old, opened(new_installation(target)) as new:
        migration.migrate(old)
        fill(old)
        first = backup_of(old)
        restore_backup(new, io.BytesIO(first))
        assert sorted(lines_of(backup_of(new))) == sorted(lines_of(first))


def test_the_database_goes_on_numbering_where_the_backup_ended(
    backup: bytes, target: Database
) -> None:
    restore_backup(target, io.BytesIO(backup))
    acts = len(rows_of(target)["audit"])
    with target.write() as connection:
        act = Act(at=0, actor="command:tests", action="tests", subject="", details={})
        audit.record(connection, act)
        newest = connection.execute(sqlalchemy.select(sqlalchemy.func.max(TABLES["audit"].c.id)))
        assert newest.scalar_one() == acts + 1
        administration = Administration(connection, actor="command:tests", now=HOUR)
        administration.create_client("shop", "view_connectors")
    import_lines(target, [connector("key-1", name="changed"), connector("new")])


# The change feed


def test_a_follower_that_was_there_before_loads_anew(database: Database) -> None:
    with database.write() as connection:
        change(connection, "kept")
    backup = backup_of(database)
    node = Node(database)
    with database.write() as connection:
        change(connection, "lost")
    assert node.catch_up() == ["kept", "lost"]
    empty(database)
    restore_backup(database, io.BytesIO(backup))
    assert node.catch_up() == ["kept"]
    assert node.heard.loads == 2
    # What comes next has a number that it has not heard in this epoch, though it had it before.
    with database.write() as connection:
        assert change(connection, "next") == 2
    assert node.catch_up() == ["kept", "next"]
    assert node.heard.loads == 2


def test_the_feed_goes_on_after_the_largest_number_of_any_row(
    backup: bytes, target: Database
) -> None:
    marked = [
        row[TABLES[table].c.keys().index("seq")]
        for table, rows in rows_in(backup).items()
        if "seq" in TABLES[table].c
        for row in rows
    ]
    restore_backup(target, io.BytesIO(backup))
    with target.read() as connection:
        assert feed.position(connection)[1] == max(marked) > 1
    node = Node(target)
    node.catch_up()
    with target.write() as connection:
        change(connection, "next")
    assert node.catch_up()[-1] == "next"


def test_a_backup_with_nothing_in_it_can_be_restored(database: Database, target: Database) -> None:
    restored = restore_backup(target, io.BytesIO(backup_of(database)))
    assert set(restored.rows.values()) == {0}
    with target.read() as connection:
        assert feed.position(connection)[1] == 0


def rows_in(backup: bytes) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    table: list[Any] = []
    for line in map(json.loads, lines_of(backup)):
        if isinstance(line, list):
            table.append(line)
        elif line.get("line") == "table":
            table = rows[line["name"]] = []
    return rows


def empty(database: Database) -> None:
    """As an operator's own means would: a database dropped and made again under its name."""
    with database.write() as connection:
        for table in reversed(TABLES.values()):
            connection.execute(table.delete())


# What is refused


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with opened(Installation(tmp_path_factory.mktemp("source"))) as database:
        migration.migrate(database)
        fill(database)
        return backup_of(database)


@pytest.fixture
def target(new_installation: NewInstallation, backend: str) -> Any:
    """A database with nothing in it, no schema either."""
    with opened(new_installation(backend)) as database:
        yield database


def refusal(database: Database, backup: bytes) -> str:
    """What a restore says that is expected to be refused, and to leave no trace."""
    (said,) = refusals(database, [backup])
    return said


def refusals(database: Database, backups: Iterable[bytes]) -> Iterator[str]:
    """What restores say, one after the other, that are each refused and leave no trace."""
    before = tables_and_rows(database)
    for backup in backups:
        with pytest.raises(BackupError) as raised:
            restore_backup(database, io.BytesIO(backup))
        assert tables_and_rows(database) == before
        assert "\n" not in str(raised.value)
        yield str(raised.value)


def tables_and_rows(database: Database) -> tuple[list[str], Any]:
    with database.read() as connection:
        tables = sorted(sqlalchemy.inspect(connection).get_table_names())
        position = feed.position(connection) if tables else None
    return tables, tables and (position, rows_of(database))


def compress(lines: Sequence[bytes]) -> bytes:
    return gzip.compress(b"".join(lines), 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"PGDMP\x01\x0e",
        b"SQLite format 3\0",
        b'{"format":"connectory-backup","number":1}\n',
        gzip.compress(b"", mtime=0),
        gzip.compress(b"a text\n", mtime=0),
        gzip.compress(b"[1]\n", mtime=0),
        gzip.compress(b"[" * 100_000, mtime=0),
        gzip.compress(b'{"format":"another","number":1}\n', mtime=0),
        gzip.compress(b"\xff\xfe\n", mtime=0),
    ],
)
def test_a_file_that_is_no_backup(target: Database, content: bytes) -> None:
    assert refusal(target, content) == "it is not a backup of Connectory"


def test_a_backup_of_a_newer_format(target: Database, backup: bytes) -> None:
    header, *rest = lines_of(backup)
    newer = header.replace(b'"number":1,', b'"number":2,"more":true,')
    assert refusal(target, compress([newer, *rest])) == (
        "it is of format 2, this program reads 1; restore it with the program that wrote it,"
        " or a newer one"
    )


@pytest.mark.parametrize("schema", ["0000", "9999"])
def test_a_backup_of_another_schema(target: Database, backup: bytes, schema: str) -> None:
    header, *rest = lines_of(backup)
    other = json.dumps(json.loads(header) | {"schema": schema, "program": "7.8.9"}).encode()
    assert refusal(target, compress([other + b"\n", *rest])) == (
        f"it is of schema {schema}, this program restores {migration.HEAD};"
        " restore it with Connectory 7.8.9, which wrote it, and migrate then"
    )


# Where many are tried in turn, the schema is there: to make it is what takes longest.


def test_a_file_that_is_cut_off_anywhere(database: Database, backup: bytes) -> None:
    lengths = range(20, len(backup), len(backup) // 40)
    said = list(refusals(database, (backup[:length] for length in lengths)))
    assert said == ["it is cut off"] * len(lengths)


def test_a_backup_that_lacks_lines_at_its_end(database: Database, backup: bytes) -> None:
    lines = lines_of(backup)
    lacking = [compress(lines[:kept]) for kept in range(1, len(lines))]
    assert list(refusals(database, lacking)) == ["it is cut off"] * len(lacking)


def test_a_bit_that_flipped_anywhere_in_the_file(database: Database, backup: bytes) -> None:
    places = range(10, len(backup), len(backup) // 60)  # after gzip's own header
    said = list(refusals(database, (flipped(backup, at) for at in places)))
    assert len(said) == len(places)
    assert all(re.match("it is (damaged|cut off)", each) for each in said)


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1 << at % 8
    return bytes(changed)


def test_a_line_that_is_missing_or_there_twice(database: Database, backup: bytes) -> None:
    lines = lines_of(backup)
    numbers = range(1, len(lines) - 1)
    missing = (compress(lines[:number] + lines[number + 1 :]) for number in numbers)
    twice = (compress(lines[: number + 1] + lines[number:]) for number in numbers)
    said = list(refusals(database, itertools.chain(missing, twice)))
    assert len(said) == 2 * len(numbers)


def test_a_character_that_changed_in_any_line(database: Database, backup: bytes) -> None:
    lines = lines_of(backup)
    numbers = range(1, len(lines))
    backups = (
        compress([*lines[:number], altered(lines[number]), *lines[number + 1 :]])
        for number in numbers
    )
    assert len(list(refusals(database, backups))) == len(numbers)


def altered(line: bytes) -> bytes:
    """A line with another character, as near to its middle as one can be another."""
    letters = bytearray(line)
    middle = len(letters) // 2
    places = (*range(middle, len(letters)), *range(middle))
    at = next(index for index in places if letters[index] in b"01aef")
    letters[at] += 1
    return bytes(letters)


def test_something_that_follows_the_end(target: Database, backup: bytes) -> None:
    assert "something follows its end" in refusal(target, compress([*lines_of(backup), b"[1]\n"]))
    assert "Not a gzipped file" in refusal(target, backup + b"more")
    assert "something follows its end" in refusal(target, backup + backup)


@pytest.mark.parametrize(
    "changed",
    [{"rows": 0}, {"tables": len(TABLES) - 1}, {"line": "end", "digest": "0" * 64}],
)
def test_a_trailer_that_tells_of_something_else(
    target: Database, backup: bytes, changed: dict[str, Any]
) -> None:
    *lines, trailer = lines_of(backup)
    other = json.dumps(json.loads(trailer) | changed).encode() + b"\n"
    assert "a table is missing" in refusal(target, compress([*lines, other]))


def test_a_table_that_is_there_twice(target: Database, backup: bytes) -> None:
    header, *lines = lines_of(rewritten(backup, lambda rows: rows["tokens"].clear()))
    assert lines[-3].startswith(b'{"line": "table", "name": "tokens"')
    twice = compress([header, *lines[:-1], *lines[-3:]])
    assert "'tokens' is there twice" in refusal(target, twice)


def rewritten(backup: bytes, edit: Callable[[dict[str, list[Any]]], object]) -> bytes:
    """A backup with other rows and the digests that they have: forged, or made by a fault."""
    rows = rows_in(backup)
    edit(rows)
    lines = [json.loads(lines_of(backup)[0])]
    for name, table in rows.items():
        columns = list(map(str, TABLES[name].c.keys()))
        end = {"line": "end", "rows": len(table), "digest": digest(table)}
        lines += [{"line": "table", "name": name, "columns": columns}, *table, end]
    total = sum(map(len, rows.values()))
    lines.append({"line": "whole", "tables": len(rows), "rows": total})
    return compress([json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines])


def test_rows_in_another_order_and_spelling_are_the_same_rows(
    target: Database, backup: bytes
) -> None:
    restore_backup(
        target,
        io.BytesIO(rewritten(backup, lambda rows: [table.reverse() for table in rows.values()])),
    )
    assert {name: len(rows) for name, rows in rows_of(target).items()} == {
        name: len(rows) for name, rows in rows_in(backup).items()
    }


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows["projects"].append(rows["projects"][0]), "cannot be written"),
        (lambda rows: rows["projects"].clear(), "cannot be written"),
        (lambda rows: rows["projects"][0].append(1), "Expected `array` of length 4"),
        (lambda rows: rows["projects"][0].__setitem__(2, 1), "Expected `bool`, got `int`"),
        (lambda rows: rows["projects"][0].__setitem__(3, "1"), "Expected `int`, got `str`"),
        (lambda rows: rows["projects"][0].__setitem__(3, None), "Expected `int`, got `null`"),
        (lambda rows: rows["projects"][0].__setitem__(3, 2**63), "damaged"),
        (lambda rows: rows.pop("tokens"), "a table is missing"),
    ],
)
def test_rows_that_the_tables_cannot_have(
    target: Database, backup: bytes, edit: Callable[[Any], object], message: str
) -> None:
    assert message in refusal(target, rewritten(backup, edit))


def test_a_table_that_is_unknown_or_has_other_columns(database: Database, backup: bytes) -> None:
    text = b"".join(lines_of(backup))
    for old, new in (
        (b'"name":"projects"', b'"name":"project"'),
        (b'"name":"projects"', b'"name":"feed"'),
        (b'"columns":["key","region"', b'"columns":["key","regions"'),
    ):
        assert old in text
        assert "is not a table of this program" in refusal(
            database, gzip.compress(text.replace(old, new))
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda administration: administration.create_project(
            "there", "europe-west1.gcp", production=False
        ),
        lambda administration: administration._record("act", "alone in the audit log"),
    ],
)
def test_a_target_that_is_not_empty(
    database: Database, backup: bytes, make: Callable[[Administration], object]
) -> None:
    with database.write() as connection:
        make(Administration(connection, actor="command:tests", now=HOUR))
    assert "the database is not empty" in refusal(database, backup)


def test_a_target_of_a_newer_program(database: Database, backup: bytes) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="newer"):
        restore_backup(database, io.BytesIO(backup))
    assert not any(rows_of(database).values())


ALTERING = {
    "sqlite": """
        CREATE TRIGGER alter_it AFTER INSERT ON connector_versions WHEN new.content LIKE '%emoji%'
        BEGIN UPDATE connector_versions SET content = '{}' WHERE connector_id = new.connector_id;
        END""",
    "postgresql": """
        CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF new.content LIKE '%emoji%' THEN new.content = '{}'; END IF;
            RETURN new; END $$;
        CREATE TRIGGER alter_it BEFORE INSERT ON connector_versions
            FOR EACH ROW EXECUTE FUNCTION alter_it()""",
}


def test_a_database_that_does_not_keep_what_was_written(
    database: Database, backend: str, backup: bytes
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(ALTERING[backend].replace("%", "%%"))
    assert refusal(database, backup) == (
        "the database did not keep 'connector_versions' as it was written"
    )


# The command


def test_a_refusal_is_one_line_that_names_the_file(
    new_installation: NewInstallation, backend: str, backup: bytes, tmp_path: Path
) -> None:
    installation = new_installation(backend)
    file = tmp_path / "backup.gz"
    file.write_bytes(backup[:-9])
    done = installation.run("restore", str(file), expect=1)
    assert done.stderr == f"connectory: {file}: it is cut off; nothing was restored\n"
    file.write_bytes(backup)
    said = installation.run("restore", str(file)).stdout
    assert said.startswith("restored the backup of 1970-01-01T12:00:00.000Z: ")
    assert "6 connectors" in said
    again = installation.run("restore", str(file), expect=1)
    assert "the database is not empty" in again.stderr


def test_a_restore_that_is_killed_leaves_nothing_and_can_be_repeated(
    new_installation: NewInstallation, backend: str, tmp_path: Path
) -> None:
    with opened(Installation(tmp_path)) as source:
        migration.migrate(source)
        fill_with_many(source, 4_000)
        backup = backup_of(source)
    installation = new_installation(backend)
    restoring = subprocess.Popen(
        [COMMAND, "restore", "-"], env=installation.environment, stdin=subprocess.PIPE
    )
    assert restoring.stdin is not None
    # More than lies in pipes and buffers: when it is taken, most of it has been written.
    assert len(backup) > 2 * 2**20
    restoring.stdin.write(backup[:-1_000])
    assert restoring.poll() is None
    restoring.kill()
    restoring.communicate(timeout=30)
    with opened(installation) as database:
        assert tables_and_rows(database) == ([], [])
        restored = restore_backup(database, io.BytesIO(backup))
        assert restored.rows["connectors"] == 4_000


@pytest.mark.long
@pytest.mark.parametrize("kind", BOTH)
def test_memory_is_bounded_however_much_there_is(
    new_installation: NewInstallation, kind: str, tmp_path: Path
) -> None:
    source, target = new_installation(kind), new_installation(kind)
    with opened(source) as database:
        migration.migrate(database)
        fill_with_many(database, 100_000)
    file = str(tmp_path / "backup.gz")
    for installation, command in ((source, "backup"), (target, "restore")):
        # In KiB; all of it in memory would be over twice that.
        assert peak_of(installation, command, file) < 200 * 1024


def peak_of(installation: Installation, *arguments: str) -> int:
    """The most memory that a command ever had, in KiB.

    What `wait4` tells is no less than what the process had that started it, which is this one.
    """
    process = subprocess.Popen([COMMAND, *arguments], env=installation.environment)
    told, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", told.read_text())
        peak = max(peak, int(found[1]) if found else 0)  # one that ends has none
        time.sleep(0.02)
    assert process.returncode == 0
    return peak
