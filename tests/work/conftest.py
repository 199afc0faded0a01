"""One database of each kind for all tests of this folder, emptied for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectory.database import migration
from connectory.database.engine import Database, open_database
from connectory.database.tables import work
from tests import postgresql
from tests.work.pieces import VirtualClock


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The URL and the data folder of a database with the current schema."""
    data = tmp_path_factory.mktemp("data")
    if request.param == "sqlite":
        yield "", data
        return
    running: postgresql.PostgreSQL = request.getfixturevalue("postgresql_server")
    url = running.new_database()
    yield url, data
    running.drop(url)


@pytest.fixture(scope="session")
def opened(address: tuple[str, Path]) -> Iterator[Database]:
    database = open_database(*address, pool_size=20)
    migration.migrate(database)
    yield database
    database.close()


@pytest.fixture
def database(opened: Database) -> Database:
    with opened.write() as connection:
        connection.execute(work.delete())
    return opened


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()
