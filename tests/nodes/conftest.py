"""Two nodes on one PostgreSQL, each a server process with a data folder of its own."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from connectory.database.engine import Database, open_database
from connectory.identity.administration import Administration
from connectory.kernel.clock import system_clock
from tests import postgresql
from tests.harness import UNMEASURED, Credentials, Installation, Server

#: How long a write on one node may take to hold on all of them.
HEARD_SECONDS = 1.0


@dataclass
class Nodes:
    """Servers `a` and `b` of one installation."""

    a: Server
    b: Server

    @property
    def both(self) -> tuple[Server, Server]:
        return self.a, self.b


@pytest.fixture(scope="module")
def installation(
    postgresql_server: postgresql.PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """An installation on PostgreSQL with the Project `shop`; SQLite has one node only."""
    url = postgresql_server.new_database()
    made = Installation(tmp_path_factory.mktemp("commands"), url, UNMEASURED)
    made.project("shop")
    yield made
    postgresql_server.drop(url)


@pytest.fixture(scope="module")
def database(installation: Installation) -> Iterator[Database]:
    """The nodes' database, opened in the test's own process."""
    opened = open_database(installation.database_url, Path())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def nodes(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes; the tests of a module share them, and have clients and Connectors of their own."""
    with contextlib.ExitStack() as stack:
        a, b = (
            stack.enter_context(
                Installation(
                    tmp_path_factory.mktemp(name), installation.database_url, UNMEASURED
                ).serving()
            )
            for name in ("a", "b")
        )
        yield Nodes(a, b)


@pytest.fixture
def credentials(installation: Installation, database: Database) -> Credentials:
    """A client of the Project `shop` that no other test has."""
    return new_client(database)


def new_client(database: Database) -> Credentials:
    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=system_clock())
        made = administration.create_client("shop", "manage_project")
    return Credentials(made.client_id, made.client_secret)


def reading(server: Server, token: str) -> int:
    """The status of a request that needs nothing but a token that holds."""
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{server.url}/connectors/search?limit=0"
    # Without TLS, checking no certificates saves loading them, which takes longer than the request.
    return httpx.get(url, headers=headers, timeout=30, verify=False).status_code


def revoke(server: Server, credentials: Credentials, token: str) -> None:
    answer = httpx.post(
        f"{server.url}/oauth/token/revoke",
        data={"token": token},
        auth=(credentials.client_id, credentials.client_secret),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


def wait_until(what: Callable[[], bool], seconds: float) -> None:
    """Ask until `what` is true; the last time it is asked lies `seconds` from now.

    Raises:
        AssertionError: it was not true then.
    """
    deadline = time.monotonic() + seconds
    while True:
        last = time.monotonic() >= deadline
        if what():
            return
        assert not last, f"not within {seconds} seconds"
        time.sleep(0.01)
