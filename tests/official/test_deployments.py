"""The unchanged official CLI deploys: what the tutorial, which goes all the way, does not show."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deployments.shops import example
from tests.official.deploying import Client, deploying
from tests.official.machine import complaint
from tests.staging.repositories import SCANNERS_OFF


@pytest.fixture(scope="module")
def client(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("deploying")
    policy = folder / "policy.toml"
    policy.write_text(SCANNERS_OFF)
    with deploying(folder, packages, {"CONNECTORY_CHECK_POLICY": str(policy)}) as made:
        made.repositories.tag("v1.0.0", example("hard-coded-port"))
        yield made


def greeting(client: Client, key: str) -> str:
    (application,) = client.deployment(key)["applications"]
    answer = httpx.get(application["url"], timeout=30, trust_env=False)
    return str(answer.json()["greeting"])


def test_a_preview_is_updated_in_its_place_and_keeps_its_values(client: Client) -> None:
    client.staged("trial")
    preview = "connectorstaged preview --key trial --deployment-key trial --region europe-west1.gcp"
    client.does(f"{preview} --configuration service.GREETING=Hej")
    found = client.deployment("trial")
    assert (found["type"], found["status"]) == ("preview", "Deployed")
    assert greeting(client, "trial") == "Hej"
    client.does(preview)
    again = client.deployment("trial")
    assert (again["id"], again["status"]) == (found["id"], "Deployed")
    assert again["version"] > found["version"]
    assert greeting(client, "trial") == "Hej"


def test_a_deployment_that_cannot_be_is_refused_in_words(client: Client) -> None:
    client.staged("plain")
    done = client.machine.cli(
        "connect deployment create --connector-key plain --connector-staged --key refused"
        " --region europe-west1.gcp"
    )
    assert "ConnectorStagedNotPreviewable" in complaint(done), complaint(done)
