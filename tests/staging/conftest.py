"""A running platform, shared by tests each of which makes Connectors in a Project of its own."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectory.database.engine import Database, open_database
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.kernel.clock import system_clock
from tests.harness import UNCONFINED, Credentials, Installation, Server
from tests.staging.repositories import Repositories

REGION = "europe-west1.gcp"


@dataclass
class Creator:
    """A client of a new Project, with repositories of its own."""

    server: Server
    http: httpx.Client
    project: str
    repositories: Repositories

    def name(self, name: str) -> str:
        """A key that no other test has."""
        return f"{name}-{self.project.partition(':')[2]}"

    def draft(self, tag: str = "v1.0.0", **fields: Any) -> dict[str, Any]:
        given = {
            "name": "Acme",
            "creator": {"email": "connect@acme.example"},
            "repository": {"url": self.repositories.url(), "tag": tag},
        }
        return given | fields

    def create(self, tag: str = "v1.0.0", **fields: Any) -> dict[str, Any]:
        answer = self.http.post("/connectors/drafts", json=self.draft(tag, **fields))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def get(self, id_: str) -> dict[str, Any]:
        answer = self.http.get(f"/connectors/drafts/{id_}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def update(
        self, id_: str, *actions: dict[str, Any], version: int | None = None, expect: int = 201
    ) -> dict[str, Any]:
        """Apply actions, to the current version where none is given."""
        known = self.get(id_)["version"] if version is None else version
        body = {"version": known, "actions": list(actions)}
        answer = self.http.post(f"/connectors/drafts/{id_}", json=body)
        assert answer.status_code == expect, answer.text
        return dict(answer.json())

    def settled(self, id_: str, seconds: float = 90.0) -> dict[str, Any]:
        """A ConnectorStaged when none of its requests is with a worker any more."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(id_)
            if found["status"] != "Processing" and found["isPreviewable"] != "pending":
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def publish(self, id_: str, *, certification: bool = False) -> dict[str, Any]:
        self.update(id_, {"action": "publish", "certification": certification})
        return self.settled(id_)


@dataclass
class Platform:
    """A server that reaches the repositories of all tests, and its database."""

    installation: Installation
    server: Server
    database: Database
    folder: Path

    @contextlib.contextmanager
    def creator(self, scope: str = "manage_project") -> Iterator[Creator]:
        """A client of a new Project."""
        key = f"shop-{ids.new_id()[:8]}"
        with self.database.write() as connection:
            administration = Administration(connection, actor="command:tests", now=system_clock())
            administration.create_project(key, REGION, production=False)
            made = administration.create_client(key, scope)
        credentials = Credentials(made.client_id, made.client_secret)
        with self.server.client(credentials) as http:
            yield Creator(self.server, http, f"{REGION}:{key}", Repositories(self.folder, key))


@pytest.fixture
def platform(backend: str, request: pytest.FixtureRequest) -> Platform:
    """The platform on each database; the tests of a process share it."""
    running: Platform = request.getfixturevalue(f"staging_on_{backend}")
    return running


@pytest.fixture
def creator(platform: Platform) -> Iterator[Creator]:
    with platform.creator() as made:
        yield made


@pytest.fixture
def repositories(creator: Creator) -> Repositories:
    return creator.repositories


@pytest.fixture(scope="session")
def checking(tmp_path_factory: pytest.TempPathFactory, rules_cache: Path) -> Iterator[Platform]:
    """One on which all checks run: they take seconds each time."""
    folder = tmp_path_factory.mktemp("checking")
    (folder / "data").mkdir()
    (folder / "data" / "checks").symlink_to(rules_cache.parent)
    with running_platform(Installation(folder / "data"), folder) as platform:
        yield platform


@contextlib.contextmanager
def running_platform(installation: Installation, folder: Path) -> Iterator[Platform]:
    repositories = folder / "repositories"
    installation.settings |= Repositories(repositories, "").settings | UNCONFINED
    installation.run("migrate")
    database = open_database(installation.database_url, installation.data)
    try:
        with installation.serving() as server:
            yield Platform(installation, server, database, repositories)
    finally:
        database.close()
