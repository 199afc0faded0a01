"""The schema: migrations make what `tables` says, and a program runs on its own schema only."""

import subprocess
from collections.abc import Iterator

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table

import connectory.database
from connectory.database import feed, migration
from connectory.database.engine import Database
from connectory.database.tables import metadata
from tests.database.conftest import NewInstallation, opened, until_waiting
from tests.harness import COMMAND, Installation, free_port

OLDER, NEWER = "0000", "9999"


def set_revision(installation: Installation, revision: str) -> None:
    with opened(installation) as database, database.write() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def serve(installation: Installation) -> "subprocess.CompletedProcess[str]":
    """A server that is expected to refuse to start."""
    return installation.run("serve", "--port", str(free_port()), expect=1)


def shape(connection: sqlalchemy.Connection) -> dict[str, object]:
    """All that a database says of its tables, but for the order of columns."""
    inspector = sqlalchemy.inspect(connection)
    return {
        name: {
            "columns": sorted(
                (column | {"type": repr(column["type"])} for column in inspector.get_columns(name)),
                key=lambda column: column["name"],
            ),
            "primary key": inspector.get_pk_constraint(name),
            "foreign keys": sorted(inspector.get_foreign_keys(name), key=str),
            "indexes": sorted(inspector.get_indexes(name), key=str),
            "unique": sorted(inspector.get_unique_constraints(name), key=str),
            "checks": sorted(inspector.get_check_constraints(name), key=str),
        }
        for name in inspector.get_table_names()
    }


@pytest.fixture
def migrated(new_installation: NewInstallation, backend: str) -> Iterator[Database]:
    """A database that all scripts made, one after the other."""
    with opened(new_installation(backend)) as database:
        with database.write() as connection:
            migration._run_scripts(connection)
        yield database


def test_a_new_database_is_like_one_that_was_migrated(
    migrated: Database, new_installation: NewInstallation, backend: str
) -> None:
    with opened(new_installation(backend)) as new:
        assert migration.migrate(new)
        assert migration.is_current(new)
        with new.read() as made, migrated.read() as before:
            assert shape(made) == shape(before)
            rows = sqlalchemy.text("SELECT * FROM alembic_version")
            assert made.execute(rows).all() == before.execute(rows).all()


def test_the_migrations_make_the_tables_that_the_program_declares(migrated: Database) -> None:
    with migrated.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_a_difference_between_migrations_and_tables_would_be_found(migrated: Database) -> None:
    declared = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(declared)
    Table("forgotten", declared, Column("id", Integer, primary_key=True))
    declared.tables["connectors"].c.owner.type = Integer()
    with migrated.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert len(compare_metadata(context, declared)) == 2


def test_the_program_knows_its_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", connectory.database.__path__[0] + "/migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [migration.HEAD]


def test_a_new_database_has_a_change_feed_of_its_own(
    new_installation: NewInstallation, backend: str
) -> None:
    epochs = set()
    for _ in range(2):
        with opened(new_installation(backend)) as database:
            assert migration.migrate(database)
            with database.read() as connection:
                epoch, head = feed.position(connection)
        assert head == 0
        epochs.add(epoch)
    assert len(epochs) == 2


def test_migrate_says_what_it_did(new_installation: NewInstallation, backend: str) -> None:
    installation = new_installation(backend)
    assert (
        installation.run("migrate").stdout == f"the database migrated to schema {migration.HEAD}\n"
    )
    assert installation.run("migrate").stdout == f"the database is at schema {migration.HEAD}\n"


def test_serve_migrates_the_embedded_database_by_itself(new_installation: NewInstallation) -> None:
    installation = new_installation("sqlite")
    with installation.serving():
        pass
    with opened(installation) as database:
        assert migration.is_current(database)


@pytest.mark.parametrize("revision", [None, OLDER])
def test_an_older_postgresql_database_waits_for_the_operator_to_migrate(
    new_installation: NewInstallation, revision: str | None
) -> None:
    installation = new_installation("postgresql")
    if revision is not None:
        installation.run("migrate")
        set_revision(installation, revision)
    wanted = (
        f"connectory: the database is at schema {revision or 'none'}, this program needs"
        f" {migration.HEAD}; run `connectory migrate`\n"
    )
    assert serve(installation).stderr == wanted
    assert installation.run("project", "list", expect=1).stderr == wanted
    with opened(installation) as database, database.read() as connection:
        assert migration.current_revision(connection) == revision


def test_a_database_of_a_newer_program_is_refused(
    new_installation: NewInstallation, backend: str
) -> None:
    installation = new_installation(backend)
    installation.run("migrate")
    set_revision(installation, NEWER)
    wanted = (
        f"connectory: the database is at schema {NEWER}, newer than the {migration.HEAD} of this"
        " program; run the program that migrated it, or a newer one\n"
    )
    for command in (("project", "list"), ("migrate",), ("backup", "-")):
        assert installation.run(*command, expect=1).stderr == wanted
    assert serve(installation).stderr == wanted
    with opened(installation) as database, database.read() as connection:
        assert migration.current_revision(connection) == NEWER


def test_a_database_with_somebody_elses_tables_is_left_alone(
    new_installation: NewInstallation, backend: str
) -> None:
    installation = new_installation(backend)
    with opened(installation) as database, database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE projects (name TEXT)")
    done = installation.run("migrate", expect=1)
    assert done.stderr == (
        "connectory: the database has a table 'projects' that Connectory did not make;"
        " give it a database of its own\n"
    )
    with opened(installation) as database, database.read() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == ["projects"]


def test_two_migrate_commands_at_once_both_succeed(
    new_installation: NewInstallation, backend: str
) -> None:
    installation = new_installation(backend)
    command = [COMMAND, "migrate"]
    if backend == "postgresql":
        # Both have found that there is something to do when the first begins.
        with opened(installation) as database, database.write() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7070)")
            both = [start(command, installation) for _ in range(2)]
            until_waiting(database, 2)
    else:
        both = [start(command, installation) for _ in range(2)]
    said = sorted(each.communicate(timeout=60) for each in both)
    assert [each.returncode for each in both] == [0, 0]
    assert said == [
        (f"the database is at schema {migration.HEAD}\n", ""),
        (f"the database migrated to schema {migration.HEAD}\n", ""),
    ]


def test_commands_that_are_first_at_once_wait_for_each_other(
    new_installation: NewInstallation,
) -> None:
    installation = new_installation("sqlite")
    keys = [f"shop-{number}" for number in range(4)]
    started = [
        start([COMMAND, "project", "create", key, "--region", "europe-west1.gcp"], installation)
        for key in keys
    ]
    assert [each.communicate(timeout=60)[1] for each in started] == [""] * 4
    assert [each["key"] for each in installation.run_json("project", "list")] == keys


def start(command: list[str], installation: Installation) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        env=installation.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
