"""Backups: of one instant, whole or not there, private, and alike from both databases."""

import hashlib
import io
import json
import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from connectory import __version__
from connectory.database import migration
from connectory.database.backup import TABLES, write_backup
from connectory.database.engine import Database
from connectory.database.tables import metadata
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.kernel.clock import HOUR
from tests.database.conftest import with_a_full_disk
from tests.database.contents import fill, import_lines, lines_of, rows_of
from tests.harness import COMMAND, Installation, connector

NOON = 12 * HOUR


def backup_of(database: Database) -> bytes:
    target = io.BytesIO()
    with database.read() as connection:
        write_backup(connection, target, now=NOON)
    return target.getvalue()


def test_a_backup_is_json_lines_that_describe_themselves(database: Database) -> None:
    fill(database)
    stored = rows_of(database)
    header, *lines, whole = (json.loads(line) for line in lines_of(backup_of(database)))
    assert header == {
        "format": "connectory-backup",
        "number": 1,
        "schema": migration.HEAD,
        "program": __version__,
        "at": "1970-01-01T12:00:00.000Z",
    }
    total = 0
    for name, table in TABLES.items():
        assert lines.pop(0) == {"line": "table", "name": name, "columns": table.c.keys()}
        rows = [lines.pop(0) for _ in stored[name]]
        assert sorted(map(tuple, rows), key=str) == stored[name]
        assert lines.pop(0) == {"line": "end", "rows": len(rows), "digest": digest(rows)}
        total += len(rows)
    assert lines == []
    assert whole == {"line": "whole", "tables": len(TABLES), "rows": total}


def digest(rows: list[Any]) -> str:
    """As the format defines it, worked out by other means than the program's."""
    total = 0
    for row in rows:
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
        total += int(hashlib.sha256(line.encode()).hexdigest(), 16)
    return f"{total % 2**256:064x}"


def test_every_table_but_feed_and_logs_is_in_it_after_those_that_it_refers_to() -> None:
    assert set(TABLES) == set(metadata.tables) - {"feed", "log_entries", "log_volumes"}
    names = list(TABLES)
    for name, table in TABLES.items():
        for key in table.foreign_keys:
            assert names.index(key.column.table.name) < names.index(name)


def test_every_column_has_a_type_that_json_keeps_exactly() -> None:
    for table in TABLES.values():
        for column in table.c:
            assert column.type.python_type in {int, str, bool}, column


def test_hashes_are_in_it_and_no_secret_and_no_token(database: Database) -> None:
    known = fill(database)
    text = b"".join(lines_of(backup_of(database))).decode()
    assert ids.digest(known.client.client_secret) in text
    assert ids.digest(known.token) in text
    for secret in known.secrets:
        assert secret not in text


def test_it_is_of_one_instant_whatever_is_written_meanwhile(database: Database) -> None:
    fill(database)
    before = rows_of(database)

    class Target(io.BytesIO):
        """Lets others write as soon as the backup has begun."""

        def write(self, data: Any) -> int:
            if not self.tell():
                writer = threading.Thread(target=change_every_table, args=(database,))
                writer.start()
                writer.join()
            return super().write(data)

    target = Target()
    with database.read() as connection:
        write_backup(connection, target, now=NOON)
    assert rows_of(database) != before
    rows = [json.loads(line) for line in lines_of(target.getvalue()) if line.startswith(b"[")]
    assert sorted(map(str, rows)) == sorted(
        str(list(row)) for table in before.values() for row in table
    )


def change_every_table(database: Database) -> None:
    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=NOON)
        administration.create_project("late", "europe-west1.gcp", production=False)
        late = administration.create_client("late", "view_connectors")
        administration.revoke_client(late.client_id)
    import_lines(database, [connector("key-1", name="changed"), connector("late")])


def test_it_can_be_made_while_a_server_runs(installation: Installation, tmp_path: Path) -> None:
    installation.project("shop")
    file = tmp_path / "backup.gz"
    with installation.serving():
        done = installation.run("backup", str(file))
    assert done.stderr.startswith("backed up 3 rows\n")
    assert done.stdout == ""
    assert len(lines_of(file)) == 2 + 2 * len(TABLES) + 3


# The file


@pytest.fixture
def embedded(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path / "data")
    installation.project("shop")
    return installation


def test_its_owner_alone_can_read_it(embedded: Installation, tmp_path: Path) -> None:
    file = tmp_path / "backup.gz"
    file.touch(mode=0o644)
    embedded.run("backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_backup_that_fails_leaves_the_former_one_and_nothing_beside_it(
    embedded: Installation, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    file = folder / "backup.gz"
    file.write_text("the former one")
    with embedded.serving():  # so that the database has all the files that it needs
        done = with_a_full_disk(embedded, "backup", str(file))
    assert done.returncode == 1
    assert done.stderr == "connectory: [Errno 27] File too large\n"
    assert file.read_text() == "the former one"
    assert list(folder.iterdir()) == [file]


def test_a_link_stays_and_the_file_behind_it_is_replaced(
    embedded: Installation, tmp_path: Path
) -> None:
    file, link = tmp_path / "backup.gz", tmp_path / "latest.gz"
    file.touch()
    link.symlink_to(file)
    embedded.run("backup", str(link))
    assert link.is_symlink()
    assert lines_of(file)


def test_a_pipe_or_device_is_written_to_and_not_replaced(
    embedded: Installation, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    embedded.run("backup", str(pipe))
    assert lines_of(reading.communicate(timeout=30)[0])
    assert pipe.is_fifo()


def test_a_dash_is_standard_output(embedded: Installation, tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "backup", "-"], env=embedded.environment, capture_output=True, check=True
    )
    assert lines_of(done.stdout)[-1] == b'{"line":"whole","tables":%d,"rows":2}\n' % len(TABLES)


def test_a_folder_without_a_database_is_not_taken_for_an_empty_installation(
    tmp_path: Path,
) -> None:
    mistyped = Installation(tmp_path / "dta")
    file = tmp_path / "backup.gz"
    done = mistyped.run("backup", str(file), expect=1)
    assert done.stderr == (
        f"connectory: there is no database in {mistyped.data}; --data names the folder\n"
    )
    assert not file.exists()
    assert not mistyped.data.exists()


def test_the_help_says_what_is_in_it() -> None:
    said = subprocess.run([COMMAND, "backup", "--help"], capture_output=True, text=True, check=True)
    assert "the hashes of secrets and tokens, and none of them itself" in " ".join(
        said.stdout.split()
    )
