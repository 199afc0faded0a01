"""Who may serve a database, and when: one server for a data folder, many nodes for PostgreSQL."""

import time
from pathlib import Path

import httpx
import pytest

from connectory.database import migration, serving
from connectory.database.engine import Database
from connectory.database.serving import AlreadyServed
from tests.database.conftest import NewInstallation, opened
from tests.harness import Installation, connector, free_port


def serve(installation: Installation) -> str:
    """A server that is expected to refuse to start; what it says."""
    done = installation.run("serve", "--port", str(free_port()), expect=1)
    return done.stderr


@pytest.fixture
def backup(new_installation: NewInstallation, tmp_path: Path) -> Path:
    source = new_installation("sqlite")
    source.project("shop")
    file = tmp_path / "backup.gz"
    source.run("backup", str(file))
    return file


def test_a_data_folder_has_one_server(new_installation: NewInstallation) -> None:
    installation = new_installation("sqlite")
    with installation.serving() as first:
        assert serve(installation) == (
            f"connectory: {installation.data} is being served already, or restored\n"
        )
        assert httpx.get(f"{first.url}/ready").status_code == 200


def test_a_server_that_was_killed_leaves_no_lock_behind(new_installation: NewInstallation) -> None:
    installation = new_installation("sqlite")
    with installation.serving() as first:
        first.kill()
    with installation.serving() as second:
        assert httpx.get(f"{second.url}/ready").status_code == 200


def test_commands_beside_a_running_server_do_their_work(installation: Installation) -> None:
    with installation.serving() as server:
        project = installation.project("shop")
        credentials = installation.credentials("shop")
        installation.import_lines([connector("adyen", private=True, owner=project)])
        deadline = time.monotonic() + 20
        with server.client(credentials) as api:
            while api.get("/connectors/key=adyen").status_code != 200:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def test_many_nodes_serve_one_postgresql_database(postgresql_installation: Installation) -> None:
    other = Installation(
        postgresql_installation.data.parent / "other", postgresql_installation.database_url
    )
    with postgresql_installation.serving() as one, other.serving() as two:
        for server in (one, two):
            assert httpx.get(f"{server.url}/ready").status_code == 200


def test_nothing_is_restored_into_a_database_that_is_served(
    installation: Installation, backup: Path
) -> None:
    with installation.serving():
        refused = installation.run("restore", str(backup), expect=1)
    assert refused.stderr in (
        f"connectory: {installation.data} is being served, or restored; stop the server first\n",
        "connectory: the database is being served, or restored; stop every node first\n",
    )
    assert installation.run_json("project", "list") == []
    installation.run("restore", str(backup))
    assert [each["key"] for each in installation.run_json("project", "list")] == ["shop"]


def test_no_server_starts_during_a_restore(installation: Installation) -> None:
    with (
        opened(installation) as database,
        serving.served_by_nobody(database, installation.data),
    ):
        assert "restored" in serve(installation)
    with installation.serving():
        pass


def test_an_embedded_database_is_not_migrated_under_the_server_of_an_older_program(
    new_installation: NewInstallation,
) -> None:
    installation = new_installation("sqlite")
    with opened(installation) as database, serving.being_served(database, installation.data):
        refused = installation.run("project", "list", expect=1)
        assert refused.stderr == (
            f"connectory: {installation.data} is being served, or restored; stop the server first\n"
        )
        assert not migration.is_current(database)


def test_a_node_whose_lock_was_lost_takes_it_again(postgresql_installation: Installation) -> None:
    """PostgreSQL forgets a lock with the connection that holds it, for example in a restart."""
    data = postgresql_installation.data
    with opened(postgresql_installation) as node, opened(postgresql_installation) as other:
        with serving.being_served(node, data):
            refuse(other, data)
            lost = holders(other)
            with other.write() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            deadline = time.monotonic() + 10
            while not holders(other) - lost:  # an ended session may hold its lock a moment longer
                assert time.monotonic() < deadline
                time.sleep(0.02)
            refuse(other, data)
        with serving.served_by_nobody(other, data):
            pass


def refuse(database: Database, data: Path) -> None:
    with (
        pytest.raises(AlreadyServed, match="being served"),
        serving.served_by_nobody(database, data),
    ):
        pass


def holders(database: Database) -> set[int]:
    """The sessions of PostgreSQL that hold the lock of a node."""
    with database.read() as connection:
        query = (
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return set(connection.exec_driver_sql(query).scalars())
