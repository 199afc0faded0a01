"""The door to the database: how transactions behave, and how its failures are told."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import exc

from connectory.database import migration
from connectory.database.engine import (
    SQLITE_FILE,
    Database,
    DatabaseAddressError,
    DatabaseUnavailable,
    open_database,
)
from connectory.database.tables import clients, projects
from tests import postgresql
from tests.conftest import lacking
from tests.database.conftest import NewInstallation, opened, with_a_full_disk
from tests.harness import Installation, free_port


def add(connection: sqlalchemy.Connection, key: str) -> None:
    connection.execute(
        projects.insert().values(key=key, region="europe-west1.gcp", production=False, created_at=0)
    )


def keys(connection: sqlalchemy.Connection) -> list[str]:
    return list(connection.execute(sqlalchemy.select(projects.c.key)).scalars())


# Transactions


def test_a_read_is_one_snapshot(installation: Installation, database: Database) -> None:
    with opened(installation) as other, database.read() as connection:
        assert keys(connection) == []
        with other.write() as writing:
            add(writing, "shop")
        assert keys(connection) == []
    with database.read() as connection:
        assert keys(connection) == ["shop"]


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail(connection: sqlalchemy.Connection) -> None:
        add(connection, "shop")
        raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(database.writing(fail))
    assert asyncio.run(database.reading(keys)) == []


def test_connections_are_given_back_whatever_happens(database: Database) -> None:
    def fail(_: sqlalchemy.Connection) -> None:
        raise KeyError

    for _ in range(30):
        with pytest.raises(KeyError):
            asyncio.run(database.reading(fail))
        with pytest.raises(KeyError):
            asyncio.run(database.writing(fail))
        with pytest.raises(KeyError), database.session() as session, session.aside() as connection:
            fail(connection)
    assert database.busy_connections == 0
    assert database.open_connections <= 8


def test_a_session_hands_temporary_tables_from_one_transaction_to_the_next_and_to_nobody(
    database: Database,
) -> None:
    with database.session() as session:
        with session.aside() as connection:
            connection.exec_driver_sql("CREATE TEMPORARY TABLE staged (key TEXT)")
            connection.exec_driver_sql("INSERT INTO staged VALUES ('shop')")
        with session.write() as connection:
            add(connection, connection.exec_driver_sql("SELECT key FROM staged").scalar_one())
    with database.write() as connection:
        assert keys(connection) == ["shop"]
        with pytest.raises(exc.DBAPIError, match="staged"):
            connection.exec_driver_sql("SELECT key FROM staged")
        connection.rollback()


def test_the_embedded_database_keeps_what_it_acknowledges_and_checks_references(
    new_installation: NewInstallation,
) -> None:
    with opened(new_installation("sqlite")) as database:
        migration.migrate(database)
        # Every connection is set up so, not the first one only.
        with database.read() as one, database.read() as two:
            for connection in (one, two):
                assert pragma(connection, "journal_mode") == "wal"
                assert pragma(connection, "synchronous") == 2  # FULL
                assert pragma(connection, "foreign_keys") == 1
        with (
            pytest.raises(exc.IntegrityError, match="FOREIGN KEY"),
            database.write() as connection,
        ):
            connection.execute(
                clients.insert().values(id="c", project_key="none", scope="", created_at=0)
            )


def pragma(connection: sqlalchemy.Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def test_text_with_u0000_is_refused_alike_on_both_databases(installation: Installation) -> None:
    line = {"key": "nul", "name": "a\0b"}
    said = installation.import_lines([line], expect=1)
    assert "line 1: a text has the character U+0000 in it" in said
    installation.project("shop")
    credentials = installation.credentials("shop")
    with installation.serving() as server, server.client(credentials) as api:
        for query in ("text=a%00b", "creator.company=%00"):
            assert api.get(f"/connectors/search?{query}").status_code == 400


# What PostgreSQL fails at


def kill_own_backend(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")


def idle_for_too_long(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 50")
    time.sleep(0.3)
    connection.exec_driver_sql("SELECT 1")


def run_into_a_time_limit(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL statement_timeout = 50")
    connection.exec_driver_sql("SELECT pg_sleep(10)")


def write_on_a_standby(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    add(connection, "shop")


def be_told_of_damage(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("DO $$ BEGIN RAISE 'invalid page' USING ERRCODE = 'XX001'; END $$")


def be_told_that_the_disk_is_full(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("DO $$ BEGIN RAISE 'no space left' USING ERRCODE = '53100'; END $$")


def lack_a_privilege(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("SET LOCAL ROLE pg_monitor")
    add(connection, "shop")


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (kill_own_backend, "terminating connection due to administrator command"),
        (idle_for_too_long, "terminating connection due to idle-in-transaction timeout"),
        (run_into_a_time_limit, "canceling statement due to statement timeout"),
        (write_on_a_standby, "cannot execute INSERT in a read-only transaction"),
        (be_told_of_damage, "invalid page"),
        (be_told_that_the_disk_is_full, "no space left"),
        (lack_a_privilege, "permission denied for table projects"),
    ],
)
def test_what_postgresql_fails_at_is_unavailable_in_one_line(
    postgresql_installation: Installation, fail: object, message: str
) -> None:
    with opened(postgresql_installation) as database:
        with pytest.raises(DatabaseUnavailable) as raised, database.write() as connection:
            fail(connection)
        assert str(raised.value) == message
        # And the next one works.
        with database.write() as connection:
            add(connection, "shop")


def test_a_serialization_failure_is_unavailable(postgresql_installation: Installation) -> None:
    with opened(postgresql_installation) as database, opened(postgresql_installation) as other:
        with database.write() as connection:
            add(connection, "shop")

        def clash() -> None:
            with database.write() as connection:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                keys(connection)
                with other.write() as writing:
                    writing.execute(projects.update().values(created_at=1))
                connection.execute(projects.update().values(created_at=2))

        with pytest.raises(DatabaseUnavailable, match="could not serialize access"):
            clash()


@pytest.mark.parametrize(
    "statement",
    ["SELECT nothing", "SELEC 1", "SELECT * FROM nothing", "INSERT INTO projects (key) VALUES (1)"],
)
def test_a_statement_of_ours_that_is_wrong_is_not_taken_for_an_outage(
    database: Database, statement: str
) -> None:
    with pytest.raises(exc.DBAPIError), database.write() as connection:
        connection.exec_driver_sql(statement)


def test_errors_do_not_tell_what_was_to_be_written(database: Database) -> None:
    with database.write() as connection:
        add(connection, "shop")
    with pytest.raises(exc.IntegrityError) as raised, database.write() as connection:
        connection.execute(
            projects.insert().values(
                key="shop", region="the-secret-region", production=False, created_at=0
            )
        )
    assert "the-secret-region" not in str(raised.value)


def test_a_postgresql_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data", f"postgresql://x:secret@/y?host={tmp_path}")
    for command in (("project", "list"), ("serve", "--port", str(free_port())), ("migrate",)):
        done = installation.run(*command, expect=1)
        assert done.stderr.startswith("connectory: ")
        assert str(tmp_path) in done.stderr
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "url",
    ["x", "mysql://host/name", "postgresql://user@host:port/name", "sqlite:///file", "://"],
)
def test_a_database_url_that_cannot_be_one_is_refused_with_an_example(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseAddressError, match="write postgresql://user:password@host/name"):
        open_database(url, tmp_path)


def test_an_option_in_the_url_that_postgresql_does_not_know_is_told_in_one_line(
    postgresql_installation: Installation,
) -> None:
    url = sqlalchemy.make_url(postgresql_installation.database_url)
    wrong = url.update_query_dict({"nonsense": "1"}).render_as_string(hide_password=False)
    with (
        contextlib.closing(open_database(wrong, Path())) as database,
        pytest.raises(DatabaseUnavailable, match='invalid connection option "nonsense"'),
        database.read(),
    ):
        pass


# What SQLite fails at


def test_an_embedded_database_that_stays_locked_is_unavailable(
    new_installation: NewInstallation,
) -> None:
    installation = new_installation("sqlite")
    with opened(installation) as database, opened(installation) as other:
        migration.migrate(database)
        with other.write():
            with database.engine.connect() as connection:
                # Shorter than the 15 seconds that a writer waits otherwise.
                connection.connection.driver_connection.execute("PRAGMA busy_timeout=50")
            with (
                pytest.raises(
                    DatabaseUnavailable, match=r"connectory\.sqlite3: database is locked"
                ),
                database.write(),
            ):
                pass


def test_who_opens_a_new_embedded_database_waits_for_the_one_that_is_just_making_it(
    tmp_path: Path,
) -> None:
    """SQLite itself refuses that at once, as long as there is no write-ahead log."""
    with contextlib.closing(
        sqlite3.connect(tmp_path / SQLITE_FILE, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("CREATE TABLE made (here)")
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, other.execute, ["COMMIT"]).start()
        database = open_database("", tmp_path)
        with database.read() as connection:
            assert sqlalchemy.inspect(connection).get_table_names() == ["made"]
        database.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a database" * 100, "file is not a database"), (None, "disk image is malformed")],
)
def test_an_embedded_database_that_is_damaged_is_told_in_one_line(
    new_installation: NewInstallation, content: bytes | None, message: str
) -> None:
    installation = new_installation("sqlite")
    installation.project("shop")
    file = installation.data / SQLITE_FILE
    if content is None:
        whole = file.read_bytes()
        content = whole[:4096] + b"\xff" * (len(whole) - 4096)
    file.write_bytes(content)
    done = installation.run("project", "list", expect=1)
    assert done.stderr.startswith(f"connectory: {file}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_full_disk_is_told_in_one_line_and_writes_nothing(
    new_installation: NewInstallation,
) -> None:
    installation = new_installation("sqlite")
    installation.project("shop")
    done = with_a_full_disk(
        installation, "project", "create", "other", "--region", "europe-west1.gcp"
    )
    assert done.returncode == 1
    assert done.stderr == f"connectory: {installation.data / SQLITE_FILE}: disk I/O error\n"
    assert [each["key"] for each in installation.run_json("project", "list")] == ["shop"]


@pytest.mark.parametrize("folder", ["/proc/self", "/proc/self/new", "/dev/null"])
def test_a_folder_that_cannot_be_written_is_told_in_one_line(folder: str) -> None:
    """In /proc nobody can make a file, root neither."""
    done = Installation(Path(folder)).run("project", "list", expect=1)
    assert done.stderr.startswith("connectory: ")
    assert folder in done.stderr
    assert done.stderr.count("\n") == 1
    assert "fault of the program" not in done.stderr


def test_a_read_only_database_is_told_in_one_line(new_installation: NewInstallation) -> None:
    installation = new_installation("sqlite")
    with opened(installation) as database:
        migration.migrate(database)
        with database.engine.connect() as connection:
            connection.connection.driver_connection.execute("PRAGMA query_only=ON")
        with pytest.raises(DatabaseUnavailable, match="attempt to write a readonly database"):
            asyncio.run(database.writing(add, "shop"))


# A database that hangs


@pytest.fixture
def own_postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[postgresql.PostgreSQL]:
    """A server that no other test uses."""
    monkeypatch.delenv("CONNECTORY_TEST_POSTGRES_URL", raising=False)
    try:
        with postgresql.server() as running:
            yield running
    except postgresql.NotInstalled as why:
        lacking("postgresql", str(why))


def test_a_server_ends_when_it_is_told_to_although_its_database_hangs(
    own_postgresql: postgresql.PostgreSQL, tmp_path: Path
) -> None:
    url = own_postgresql.new_database()
    installation = Installation(tmp_path / "data", url)
    with installation.serving() as server, psycopg.connect(url, autocommit=True) as connection:
        backends = [
            pid
            for (pid,) in connection.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ]
        try:
            for pid in backends:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(0.5)  # a poll of the feed is under way by now
            assert server.stop(15) == 0
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
