"""A catalogue that two Projects look at, served from either database."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests import postgresql
from tests.harness import Installation, Server, connector

OWNER = "europe-west1.gcp:owner"
ASSIGNED = "europe-west1.gcp:assigned"

CATALOGUE = [
    connector(
        "tax-eu",
        name="Größe tax",
        description="Reckons taxes, 100% of them_all",
        integrationTypes=["tax"],
        createdAt="2024-01-01T00:00:00Z",
    ),
    connector(
        "pay",
        name="Payments",
        description="Größe of a payment",
        integrationTypes=["psp", "tax"],
        creator={"email": "a@b.example", "company": "Béla & Co"},
        createdAt="2024-03-01T00:00:00Z",
    ),
    connector(
        "secret",
        name="Secret größe",
        private=True,
        certified=False,
        owner=OWNER,
        privateProjects=[ASSIGNED],
        createdAt="2024-02-01T00:00:00Z",
    ),
    connector(
        "owned",
        name="Owned only",
        private=True,
        certified=False,
        owner=OWNER,
        createdAt="2024-04-01T00:00:00Z",
    ),
    {
        key: value
        for key, value in connector(
            "x", name="Without a key", createdAt="2023-01-01T00:00:00Z"
        ).items()
        if key not in ("key", "description")
    }
    | {"id": "5ab3edcd-9d23-4934-8f48-256805253119"},
]


@dataclass
class Shop:
    """A served catalogue and an HTTP client for each Project."""

    installation: Installation
    server: Server
    owner: httpx.Client
    assigned: httpx.Client
    stranger: httpx.Client


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    data = tmp_path_factory.mktemp("shop") / "data"
    data.mkdir()
    url = ""
    if request.param == "postgresql":
        running: postgresql.PostgreSQL = request.getfixturevalue("postgresql_server")
        url = running.new_database()
    installation = Installation(data, url)
    for key in ("owner", "assigned", "stranger"):
        installation.project(key)
    installation.import_lines(CATALOGUE)
    credentials = {key: installation.credentials(key) for key in ("owner", "assigned", "stranger")}
    with installation.serving() as server:
        clients = {key: server.client(each) for key, each in credentials.items()}
        yield Shop(installation, server, **clients)
        for client in clients.values():
            client.close()
    if url:
        running.drop(url)
