"""Somebody with the official CLI who deploys, against a server of their own."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.harness import UNCONFINED, Installation, Server
from tests.official.machine import Machine, logged_in
from tests.staging.repositories import Repositories


@dataclass
class Client:
    """Somebody with the official CLI who deploys in the Project `shop`."""

    machine: Machine
    repositories: Repositories
    http: httpx.Client
    installation: Installation

    @property
    def server(self) -> Server:
        return self.machine.shop.server

    def does(self, arguments: str, seconds: float = 60.0) -> str:
        """Run the CLI; what it prints."""
        done = self.machine.cli(f"connect {arguments}", seconds)
        assert done.returncode == 0, done.stderr + done.stdout
        return re.sub(r"\x1b\[\d+m", "", done.stdout)

    def staged(self, key: str) -> dict[str, Any]:
        """A ConnectorStaged, made without the CLI, which takes a second to start."""
        repository = {"url": self.repositories.url(), "tag": "v1.0.0"}
        draft = {"key": key, "repository": repository, "name": key}
        draft["creator"] = {"email": "ada@acme.example"}
        answer = self.http.post("/connectors/drafts", json=draft)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def deployment(self, key: str) -> dict[str, Any]:
        answer = self.http.get(f"/shop/deployments/key={key}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextlib.contextmanager
def deploying(folder: Path, packages: Path, settings: Mapping[str, str]) -> Iterator[Client]:
    """One who is logged in; all of theirs is in a folder, the repositories as well."""
    repositories = Repositories(folder / "repositories", "acme")
    given = repositories.settings | UNCONFINED | dict(settings)
    with logged_in(folder, packages, given) as (machine, http, installation):
        yield Client(machine, repositories, http, installation)
