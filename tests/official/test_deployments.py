"""The unchanged official CLI deploys: what the tutorial, which goes all the way, does not show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.shops import example
from tests.harness import UNCONFINED, UNMEASURED, Installation
from tests.official.machine import IMPATIENT, Machine, Shop, complaint
from tests.staging.repositories import SCANNERS_OFF, Repositories


@dataclass
class Client:
    """Somebody with the official CLI who deploys."""

    machine: Machine
    repositories: Repositories
    http: httpx.Client

    def does(self, arguments: str) -> str:
        done = self.machine.cli(f"connect {arguments}")
        assert done.returncode == 0, done.stderr + done.stdout
        return re.sub(r"\x1b\[\d+m", "", done.stdout)

    def staged(self, key: str) -> dict[str, Any]:
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

    def greeting(self, key: str) -> str:
        (application,) = self.deployment(key)["applications"]
        answer = httpx.get(application["url"], timeout=30, trust_env=False)
        return str(answer.json()["greeting"])


@pytest.fixture(scope="module")
def client(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("deploying")
    (home := folder / "home").mkdir()
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)
    repositories = Repositories(folder / "repositories", "acme")
    settings = (
        repositories.settings | UNMEASURED | UNCONFINED | {"CONNECTORY_CHECK_POLICY": str(policy)}
    )
    installation = Installation(folder / "data", settings=settings)
    installation.project("shop")
    credentials = installation.credentials("shop")
    repositories.tag("v1.0.0", example("hard-coded-port"))
    with installation.serving() as server:
        exports = {"CTP_CLI_CONNECT_API_URL": server.url}
        exports |= installation.run_json("official-cli-env", "--url", server.url)
        exports["NODE_OPTIONS"] = f"{IMPATIENT['NODE_OPTIONS']} {exports['NODE_OPTIONS']}"
        machine = Machine(home, packages, Shop(server, credentials, exports))
        assert machine.login().returncode == 0
        with server.client(credentials) as http:
            yield Client(machine, repositories, http)


def test_a_preview_is_updated_in_its_place_and_keeps_its_values(client: Client) -> None:
    client.staged("trial")
    preview = "connectorstaged preview --key trial --deployment-key trial --region europe-west1.gcp"
    client.does(f"{preview} --configuration service.GREETING=Hej")
    found = client.deployment("trial")
    assert (found["type"], found["status"]) == ("preview", "Deployed")
    assert client.greeting("trial") == "Hej"
    client.does(preview)
    again = client.deployment("trial")
    assert (again["id"], again["status"]) == (found["id"], "Deployed")
    assert again["version"] > found["version"]
    assert client.greeting("trial") == "Hej"


def test_a_deployment_that_cannot_be_is_refused_in_words(client: Client) -> None:
    client.staged("plain")
    done = client.machine.cli(
        "connect deployment create --connector-key plain --connector-staged --key refused"
        " --region europe-west1.gcp"
    )
    assert "ConnectorStagedNotPreviewable" in complaint(done), complaint(done)
