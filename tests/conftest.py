"""Fixtures that every suite uses. What a machine lacks is skipped, saying so.

`CONNECTORY_TEST_REQUIRE` names what must not be lacking (postgresql, shared, browser, node): there
a skip is a failure.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from connectory.database import migration
from connectory.database.engine import Database, open_database
from tests import postgresql
from tests.harness import Installation

# Fixtures are found by their names in here, and shared where they are found in one place.
from tests.staging.shared import staging_on_postgresql, staging_on_sqlite

__all__ = ["staging_on_postgresql", "staging_on_sqlite"]

ROOT = Path(__file__).parent.parent

# A machine that has much else to do may take long over an example; that is no fault of the program.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

# A shell that starts the tests in the background has them, and what they start, ignore Control-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def lacking(what: str, why: str) -> None:
    """Skip the test for want of something; fail it where that is required."""
    if what in os.environ.get("CONNECTORY_TEST_REQUIRE", "").split():
        pytest.fail(f"{what} is required here, but {why}")
    pytest.skip(f"{what}: {why}")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.PostgreSQL]:
    try:
        with postgresql.server() as running:
            yield running
    except postgresql.NotInstalled as why:
        lacking("postgresql", str(why))


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """The database under test: every test that asks for it runs on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def embedded_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty embedded database at the schema of the program, to be copied."""
    folder = tmp_path_factory.mktemp("embedded")
    database = open_database("", folder)
    migration.migrate(database)
    database.close()
    (file,) = folder.iterdir()
    return file


@pytest.fixture
def installation(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """An empty installation on each database; its schema is current."""
    data = tmp_path / "data"
    data.mkdir()
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("embedded_database"), data)
        yield Installation(data)
        return
    running: postgresql.PostgreSQL = request.getfixturevalue("postgresql_server")
    url = running.new_database()
    yield Installation(data, url)
    running.drop(url)


@pytest.fixture
def database(installation: Installation) -> Iterator[Database]:
    """The installation's database, opened in the test's own process."""
    opened = open_database(installation.database_url, installation.data)
    migration.migrate(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the published contract and the corpus, beside the checkout."""
    folder = Path(os.environ.get("CONNECTORY_TEST_SHARED", ROOT.parent / "shared"))
    if not (folder / "contract").is_dir():
        lacking("shared", f"{folder} is not there")
    return folder


@pytest.fixture(scope="session")
def rules_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled rules of the secrets check are kept: they take seconds to compile.

    One folder for all workers; the one that it is in can be linked to as a server's `checks`.
    """
    folder = tmp_path_factory.getbasetemp().parent / "checks" / "secrets"
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def node() -> str:
    """Node's command."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        lacking("node", "node and npm are not installed")
    return str(found)
