"""Databases of both kinds, as many as a test asks for."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from connectory.database.engine import Database, open_database
from tests import postgresql
from tests.harness import COMMAND, Installation

#: Makes an installation of a kind (sqlite, postgresql); nothing is in it, no schema either.
NewInstallation = Callable[[str], Installation]


@pytest.fixture
def new_installation(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewInstallation]:
    with contextlib.ExitStack() as stack:
        made: list[Installation] = []

        def make(kind: str) -> Installation:
            data = tmp_path / f"installation-{len(made)}"
            data.mkdir()
            url = ""
            if kind == "postgresql":
                running: postgresql.PostgreSQL = request.getfixturevalue("postgresql_server")
                url = running.new_database(migrated=False)
                stack.callback(running.drop, url)
            made.append(Installation(data, url))
            return made[-1]

        yield make


@pytest.fixture
def postgresql_installation(
    postgresql_server: postgresql.PostgreSQL, tmp_path: Path
) -> Iterator[Installation]:
    """An installation on PostgreSQL, at the schema of the program."""
    url = postgresql_server.new_database()
    yield Installation(tmp_path / "data", url)
    postgresql_server.drop(url)


@contextlib.contextmanager
def opened(installation: Installation) -> Iterator[Database]:
    """An installation's database, opened in the test's own process."""
    database = open_database(installation.database_url, installation.data)
    try:
        yield database
    finally:
        database.close()


def until_waiting(database: Database, count: int) -> None:
    """Wait until so many others wait for a lock in this PostgreSQL database."""
    query = sqlalchemy.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 30
    while True:
        with database.read() as connection:
            if connection.execute(query).scalar_one() >= count:
                return
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)


def with_a_full_disk(
    installation: Installation, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command whose files may not grow; nor could those in which coverage is kept."""
    environment = installation.environment
    return subprocess.run(
        ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", COMMAND, *arguments],
        env={name: value for name, value in environment.items() if "COVERAGE" not in name},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
