"""Fixtures: an origin behind a mirror, and Sources over it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectory.contract.connectors import Repository
from connectory.database import migration
from connectory.database.engine import Database, open_database
from connectory.kernel.clock import system_clock
from connectory.settings import GitMirrors, Settings
from connectory.sources.service import Sources
from tests.sources.origins import Origin, new_origin

PROJECT = "europe-west1.gcp:shop"
URL = "https://git.example.com/acme/connector.git"


def at(tag: str, url: str = URL) -> Repository:
    return Repository(url=url, tag=tag)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database without a credential, which no test of these writes to."""
    opened = open_database("", tmp_path_factory.mktemp("database"))
    migration.migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def own_database(tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own."""
    (tmp_path / "database").mkdir()
    opened = open_database("", tmp_path / "database")
    migration.migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "acme").mkdir(parents=True)
    return folder


@pytest.fixture
def origin(mirror: Path) -> Origin:
    """The repository that URL is mirrored to; it is empty."""
    return new_origin(mirror / "acme" / "connector.git")


Make = Callable[..., Sources]


@pytest.fixture
def make_sources(data: Path, embedded: Database, mirror: Path) -> Make:
    """Sources with settings of the test's own; the mirror is there unless it says otherwise."""

    def make(hosts: Any = None, database: Database = embedded, **settings: Any) -> Sources:
        mirrors = GitMirrors((("https://git.example.com/", f"file://{mirror}/"),))
        chosen = Settings(**{"data": data, "git_mirrors": mirrors, **settings})
        return Sources(chosen, database, system_clock, hosts=hosts)

    return make


@pytest.fixture
def sources(make_sources: Make) -> Sources:
    return make_sources()
