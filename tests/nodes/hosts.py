"""Two nodes on one PostgreSQL that host applications, each with a data folder and a gateway."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from connectory.database.engine import open_database
from connectory.database.secrets import new_key
from tests import postgresql
from tests.deployments.shops import PROJECT, Shop
from tests.harness import UNCONFINED, Credentials, Installation, Server, free_port
from tests.staging.conftest import REGION, Creator, Platform
from tests.staging.repositories import SCANNERS_OFF, Repositories

#: Where applications are, for whoever calls one of the nodes.
DOMAIN = "http://apps.example.com"


@dataclass
class Host:
    """A node, and a Project that deploys through it."""

    installation: Installation
    server: Server
    gateway: int
    shop: Shop

    def call(self, url: str) -> httpx.Response:
        """Call an application through this node's gateway."""
        host, _, path = url.removeprefix("http://").partition("/")
        return httpx.get(
            f"http://127.0.0.1:{self.gateway}/{path}",
            headers={"Host": host},
            timeout=30,
            trust_env=False,
        )

    def says(self, url: str) -> Any:
        """The greeting of an application, or else the status of its answer."""
        answer = self.call(url)
        return answer.json()["greeting"] if answer.status_code == 200 else answer.status_code


@dataclass
class Hosts:
    """Nodes of one database and one Project."""

    folder: Path
    url: str
    credentials: Credentials

    @contextlib.contextmanager
    def host(self, name: str, **settings: str) -> Iterator[Host]:
        """A node with a data folder of its own; the same name has the same folder."""
        gateway = free_port()
        installation = installed(self.folder, name, self.url)
        installation.settings |= {"CONNECTORY_GATEWAY_PORT": str(gateway)} | settings
        with (
            installation.serving() as server,
            server.client(self.credentials) as http,
            contextlib.closing(open_database(self.url, installation.data)) as database,
        ):
            repositories = Repositories(self.folder / "repositories", PROJECT)
            creator = Creator(server, http, f"{REGION}:{PROJECT}", repositories)
            shop = Shop(creator, Platform(installation, server, database, self.folder))
            yield Host(installation, server, gateway, shop)


def installed(folder: Path, name: str, url: str) -> Installation:
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)
    settings = Repositories(folder / "repositories", PROJECT).settings | UNCONFINED
    settings |= {
        "CONNECTORY_CHECK_POLICY": str(policy),
        "CONNECTORY_GATEWAY_URL": DOMAIN,
        "CONNECTORY_SECRET_KEYS_FILE": str(folder / "secret.keys"),
    }
    return Installation(folder / name, url, settings)


@contextlib.contextmanager
def hosts(running: postgresql.PostgreSQL, folder: Path) -> Iterator[Hosts]:
    """An installation without nodes yet."""
    url = running.new_database()
    keys = folder / "secret.keys"
    keys.write_text(new_key() + "\n")
    keys.chmod(0o600)
    made = installed(folder, "commands", url)
    made.run("project", "create", PROJECT, "--region", REGION, "--production")
    try:
        yield Hosts(folder, url, made.credentials(PROJECT))
    finally:
        running.drop(url)
