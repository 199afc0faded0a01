"""A Project that deploys what it has published: what the tests of Deployments stand on."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from connectory.database.engine import open_database
from connectory.identity.administration import Administration
from connectory.kernel.clock import system_clock
from tests.conftest import ROOT
from tests.harness import UNCONFINED, Credentials, Installation, Server, connector
from tests.staging.conftest import REGION, Creator, Platform
from tests.staging.repositories import GOOD, SCANNERS_OFF, Repositories

#: Of an installation of its own.
PROJECT = "shop"

#: How long a deploy may take on a machine that has much else to do.
SECONDS = 120.0


def example(name: str) -> dict[str, str]:
    """The files of a connector in `examples/`."""
    folder = ROOT / "examples" / name
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "node_modules" not in file.parts
    }


def codes(errors: list[dict[str, Any]]) -> list[str]:
    return [each["code"] for each in errors]


@dataclass
class Shop:
    """A Project that deploys what it has published."""

    creator: Creator
    platform: Platform
    seconds: float = SECONDS

    @property
    def path(self) -> str:
        return f"/{self.creator.project.partition(':')[2]}/deployments"

    @property
    def http(self) -> httpx.Client:
        return self.creator.http

    def published(
        self, files: Mapping[str, str] = GOOD, *, name: str = "acme", **fields: Any
    ) -> dict[str, Any]:
        """A Connector of these files."""
        repositories = self.creator.repositories
        repositories.tag("v1.0.0", files, name=name)
        fields.setdefault("repository", {"url": repositories.url(name), "tag": "v1.0.0"})
        made = self.creator.create(key=self.creator.name(name), **fields)
        found = self.creator.publish(made["id"])
        assert found["status"] == "Published", found
        return found

    def imported(self, line: dict[str, Any]) -> dict[str, Any]:
        """A Connector that an operator imported."""
        installation = self.platform.installation
        self.platform.folder.mkdir(exist_ok=True)
        file = self.platform.folder / f"{line['key']}.jsonl"
        file.write_text(json.dumps(line))
        installation.run("import", str(file))
        deadline = time.monotonic() + SECONDS
        while (answer := self.http.get(f"/connectors/key={line['key']}")).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return dict(answer.json())

    def draft(self, subject: dict[str, Any], **fields: Any) -> dict[str, Any]:
        given = {"connector": {"id": subject["id"]}, "configurations": [], "region": REGION}
        return given | fields

    def create(self, subject: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = self.http.post(self.path, json=self.draft(subject, **fields))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def refused(self, draft: dict[str, Any], status: int = 400) -> list[dict[str, Any]]:
        answer = self.http.post(self.path, json=draft)
        assert answer.status_code == status, answer.text
        return list(answer.json()["errors"])

    def get(self, id_: str) -> dict[str, Any]:
        answer = self.http.get(f"{self.path}/{id_}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def settled(self, id_: str) -> dict[str, Any]:
        """A Deployment when no deploy of it is under way any more."""
        deadline = time.monotonic() + self.seconds
        while (found := self.get(id_))["status"] in ("Queued", "Deploying"):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def deployed(self, subject: dict[str, Any], **fields: Any) -> dict[str, Any]:
        found = self.settled(self.create(subject, **fields)["id"])
        assert found["status"] == "Deployed", found["details"]
        return found

    def redeploy(self, id_: str, **action: Any) -> dict[str, Any]:
        body = {
            "version": self.get(id_)["version"],
            "actions": [{"action": "redeploy", **action}],
        }
        answer = self.http.post(f"{self.path}/{id_}", json=body)
        assert answer.status_code == 201, answer.text
        return self.settled(id_)

    def roll_back(self, id_: str, number: Any, **more: Any) -> httpx.Response:
        """Ask for a release to be brought back."""
        body = {
            "version": self.get(id_)["version"],
            "actions": [{"action": "rollback", "release": number, **more}],
        }
        return self.http.post(f"{self.path}/{id_}", json=body)

    def brought_back(self, id_: str, number: int) -> dict[str, Any]:
        """The Deployment after a release was brought back, or was not."""
        answer = self.roll_back(id_, number)
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "Deploying"
        return self.settled(id_)

    def releases(self, place: str, **query: int) -> dict[str, Any]:
        """A page of releases, in which no secret is."""
        answer = self.http.get(f"{self.path}/{place}/releases", params=query)
        assert answer.status_code == 200, answer.text
        assert "key-of-acme" not in answer.text
        return dict(answer.json())

    def next_version(
        self, connector: dict[str, Any], files: Mapping[str, str], tag: str = "v2.0.0"
    ) -> None:
        """Publish other files as the next version of a Connector."""
        repositories = self.creator.repositories
        repositories.tag(tag, files, name="acme")
        repository = {"url": repositories.url("acme"), "tag": tag}
        self.creator.update(connector["id"], {"action": "setRepository", **repository})
        found = self.creator.publish(connector["id"])
        assert found["status"] == "Published", found

    def delete(self, id_: str, *, skip_scripts: bool = False) -> None:
        """Delete a Deployment, and wait until it is gone."""
        query = {"skipScripts": "true"} if skip_scripts else {}
        answer = self.http.delete(f"{self.path}/{id_}", params=query)
        assert answer.status_code == 202, answer.text
        assert answer.json()["status"] == "Undeploying"
        deadline = time.monotonic() + SECONDS
        while self.http.get(f"{self.path}/{id_}").status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def logs(self, id_: str, **query: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"{self.path}/{id_}/logs", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    def logged(self, id_: str, text: str) -> list[dict[str, Any]]:
        """The entries of the log that have a text, once there are any."""
        deadline = time.monotonic() + SECONDS
        while not (found := self.logs(id_, text=text)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return found

    @contextlib.contextmanager
    def other_client(self, scope: str) -> Iterator[httpx.Client]:
        with self.platform.database.write() as connection:
            by = Administration(connection, actor="command:tests", now=system_clock())
            made = by.create_client(self.creator.project.partition(":")[2], scope)
        credentials = Credentials(made.client_id, made.client_secret)
        with self.platform.server.client(credentials) as http:
            yield http


def unfetchable(key: str) -> dict[str, Any]:
    """A Connector whose deploys end at their first step: nobody may fetch from its address."""
    application = {
        "applicationName": "service",
        "applicationType": "service",
        "standardConfiguration": [],
        "securedConfiguration": [],
    }
    nowhere = {"url": "https://not-allowed.example/acme/x.git", "tag": "v1"}
    return connector(key, configurations=[application], repository=nowhere)


def own_installation(folder: Path) -> Installation:
    """One whose server a test stops and starts."""
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)
    settings = Repositories(folder / "repositories", PROJECT).settings
    settings |= UNCONFINED | {"CONNECTORY_CHECK_POLICY": str(policy)}
    return Installation(folder / "data", settings=settings)


@contextlib.contextmanager
def opened(
    installation: Installation, server: Server, scope: str = "manage_project"
) -> Iterator[Shop]:
    """The Project of such an installation, made where it is not there yet."""
    folder = installation.data.parent / "repositories"
    if PROJECT not in installation.run("project", "list").stdout:
        installation.project(PROJECT)
    credentials = installation.credentials(PROJECT, scope)
    with (
        server.client(credentials) as http,
        contextlib.closing(open_database("", installation.data)) as database,
    ):
        creator = Creator(server, http, f"{REGION}:{PROJECT}", Repositories(folder, PROJECT))
        yield Shop(creator, Platform(installation, server, database, folder))


def answers(url: str, seconds: float = 30.0) -> Any:
    """What an application answers, once it does."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.get(url, timeout=30, trust_env=False)
            if answer.status_code == 200:
                return answer.json()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def url_of(deployment: dict[str, Any], name: str = "service") -> str:
    (found,) = (each for each in deployment["applications"] if each["applicationName"] == name)
    return str(found["url"])


def entries(deployment: dict[str, Any], kind: str | None = None) -> list[dict[str, Any]]:
    found = deployment["details"]["build"]["report"]["entries"]
    return [each for each in found if kind is None or each["type"] == kind]


def compared(deployment: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The entries of the report about environments: application, title and message."""
    return [
        (each["application"], each["title"], each.get("message", ""))
        for each in entries(deployment)
        if each["title"].startswith("Environment")
    ]


def configured(greeting: str | None = None, key: str | None = None) -> list[dict[str, Any]]:
    """Values of the service of the example `hard-coded-port`."""
    standard = [] if greeting is None else [{"key": "GREETING", "value": greeting}]
    secured = [] if key is None else [{"key": "API_KEY", "value": key}]
    return [
        {
            "applicationName": "service",
            "standardConfiguration": standard,
            "securedConfiguration": secured,
        }
    ]


def metrics_of(shop: Shop) -> dict[str, float]:
    """What `/metrics` tells, without what is of requests."""
    lines = shop.http.get("/metrics").text.splitlines()
    pairs = (each.rsplit(" ", 1) for each in lines if not each.startswith(("#", "connectory_http")))
    return {name: float(value) for name, value in pairs}


def programs_of(data: Path) -> list[str]:
    """Command lines of all processes that confine something of a data folder, or are confined."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(data) in line:
                found.append(line)
    return found
