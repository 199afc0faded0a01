"""One running installation with two Projects, shared by tests whose clients are their own."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from connectory.database.engine import Database, open_database
from connectory.identity.administration import Administration
from connectory.kernel.clock import system_clock
from tests import postgresql
from tests.harness import ANSWER_SECONDS, Credentials, Installation, Server

#: The Projects that there are, and where.
PROJECTS = {"shop": "europe-west1.gcp", "outlet": "us-central1.gcp"}


@dataclass
class Platform:
    """A server with the Projects `shop` and `outlet`, and its database."""

    installation: Installation
    server: Server
    database: Database
    http: httpx.Client

    def client(self, scope: str = "manage_project", project: str = "shop") -> Credentials:
        """A new API Client."""
        with self.database.write() as connection:
            administration = Administration(connection, actor="command:tests", now=system_clock())
            made = administration.create_client(project, scope)
        return Credentials(made.client_id, made.client_secret)

    def post(self, path: str, client: Credentials | None = None, **form: str) -> httpx.Response:
        """Send a form, with Basic authentication as a client."""
        auth = (client.client_id, client.client_secret) if client is not None else None
        return self.http.post(path, data=form, auth=auth)

    def issue(self, client: Credentials, scope: str | None = None) -> httpx.Response:
        """Ask for a token."""
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        return self.post("/oauth/token", client, **form)

    def search(self, token: str) -> httpx.Response:
        """Ask for Connectors, which needs a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.get("/connectors/search?limit=0", headers=headers)


@pytest.fixture
def platform(backend: str, request: pytest.FixtureRequest) -> Platform:
    """The platform on each database; the tests of a process share it."""
    running: Platform = request.getfixturevalue(f"platform_on_{backend}")
    return running


@pytest.fixture(scope="session")
def platform_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(Installation(tmp_path_factory.mktemp("sqlite") / "data")) as platform:
        yield platform


@pytest.fixture(scope="session")
def platform_on_postgresql(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: postgresql.PostgreSQL
) -> Iterator[Platform]:
    url = postgresql_server.new_database()
    with running(Installation(tmp_path_factory.mktemp("postgresql") / "data", url)) as platform:
        yield platform
    postgresql_server.drop(url)


@contextlib.contextmanager
def running(installation: Installation) -> Iterator[Platform]:
    for key, region in PROJECTS.items():
        installation.project(key, region)
    database = open_database(installation.database_url, installation.data)
    try:
        with (
            installation.serving() as server,
            httpx.Client(base_url=server.url, timeout=ANSWER_SECONDS) as http,
        ):
            yield Platform(installation, server, database, http)
    finally:
        database.close()
