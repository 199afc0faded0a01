"""The TypeScript template of commercetools' starter kit, by the official CLI, from tag to delete.

Nothing of the kit is in this repository: it is taken from the mirrors that
CONNECTORY_TEST_REPOSITORIES names. No commerce project is reached. What the applications answer
then is their own, and their postDeploy scripts, which set up a commerce project, fail.
"""

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectory.messages.samples import sample
from tests.conftest import lacking
from tests.deployments.real import has_folder, repositories, repository_of
from tests.deployments.shops import entries, programs_of, url_of
from tests.official.deploying import Client, deploying

VARIABLE = "CONNECTORY_TEST_REPOSITORIES"
TEMPLATE = "application-templates/typescript"
KEY = "starter-kit"
NAMES = ("assets", "service", "job", "event")
#: How long a publish may take, and a deploy: four installs without a lock file, and two again by
#: scripts, on a machine that has much else to do.
SECONDS = 1500.0
#: The template looks at how long these two are before it listens.
CLIENT_ID, CLIENT_SECRET = "an-api-client-of-24-char", "a-secret-that-has-32-characters-"

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def kit() -> Path:
    """The mirror that has the template."""
    folder = os.environ.get(VARIABLE)
    found = repositories(Path(folder).absolute()).values() if folder else ()
    mirrors = [each for each in found if has_folder(each, TEMPLATE)]
    if not mirrors:
        lacking("repositories", f"{VARIABLE} names no folder with a mirror of the starter kit")
    return mirrors[0]


@pytest.fixture
def client(kit: Path, packages: Path, tmp_path: Path) -> Iterator[Client]:
    with deploying(tmp_path, packages, {}) as made:
        (owner := made.repositories.folder / made.repositories.owner).mkdir(parents=True)
        repository_of(kit, TEMPLATE, owner / "kit.git", "v1.0.0")
        yield made


def test_the_template_is_published_deployed_used_and_deleted(client: Client) -> None:
    publish(client)
    found = deploy(client)
    the_scripts_have_failed_and_everything_serves(found)
    the_service_and_the_assets_answer(found)
    messages_reach_the_event_application(client, topic_of(found))
    the_job_runs(client)
    the_official_cli_reads_the_logs(client)
    nothing_is_left_after_a_delete(client, found)


def publish(client: Client) -> None:
    client.does(
        f"connectorstaged create --key {KEY} --name Kit --creator-email ada@acme.example"
        f" --repository-url {client.repositories.url('kit')} --repository-tag v1.0.0"
    )
    said = client.does(f"connectorstaged publish --key {KEY}", SECONDS)
    assert "Connector structure check succeeded" in said
    assert "Connector image build check succeeded" in said
    assert "Publishing succeeded" in said


def deploy(client: Client) -> dict[str, Any]:
    commerce = {"PROJECT_KEY": "shop", "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
    commerce |= {"SCOPE": "manage_project:shop"}
    values = [f"{app}.CTP_{k}={v}" for app in NAMES[1:] for k, v in commerce.items()]
    values += ["GLOBAL_SECURED_CONFIGURATION=all-get-it", "GLOBAL_STANDARD_CONFIGURATION=too"]
    flags = " ".join(f"--configuration {each}" for each in values)
    client.does(
        f"deployment create --connector-key {KEY} --key {KEY} --region europe-west1.gcp {flags}"
    )
    deadline = time.monotonic() + SECONDS
    while (found := client.deployment(KEY))["status"] in ("Queued", "Deploying"):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def the_scripts_have_failed_and_everything_serves(found: dict[str, Any]) -> None:
    """A script that reaches no commerce project is a Warning, told with its last words."""
    assert found["status"] == "Deployed", entries(found, "Error")
    assert sorted(each["applicationName"] for each in found["applications"]) == sorted(NAMES)
    started = {e["application"] for e in entries(found) if e["title"] == "Application started"}
    assert started >= {"service", "job", "event"}
    failed = {
        each["application"]: each["message"]
        for each in entries(found, "Warning")
        if each["title"] == "Failed during the execution of 'postDeploy' script"
    }
    assert set(failed) == {"service", "event"}
    for message in failed.values():
        assert "exit code 1" in message
        assert "Post-deploy failed: " in message
        assert CLIENT_SECRET not in message


def the_service_and_the_assets_answer(found: dict[str, Any]) -> None:
    url = url_of(found, "service")
    cart = {"action": "Create", "resource": {"typeId": "cart", "obj": {"lineItems": []}}}
    answer = httpx.post(url, json=cart, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["actions"] == [{"action": "recalculate", "updateProductData": False}]
    refused = httpx.post(url, json={}, trust_env=False, timeout=30)
    assert refused.status_code == 400
    assert refused.json()["message"] == "Bad request - Missing body parameters."
    page = httpx.get(url_of(found, "assets"), trust_env=False, timeout=30, follow_redirects=True)
    assert "<title>Connect Asset template</title>" in page.text
    (script,) = re.findall(r'src="\.?/(assets/[^"]+\.js)"', page.text)
    built = httpx.get(page.url.join(f"./{script}"), trust_env=False, timeout=30)
    assert "Connect Asset Application Template" in built.text


def topic_of(found: dict[str, Any]) -> str:
    (topic,) = (each["topic"] for each in found["applications"] if each.get("topic"))
    return str(topic)


def messages_reach_the_event_application(client: Client, topic: str) -> None:
    """What a subscription of the commerce platform sends first, and what the template refuses."""
    text = sample("subscription-test", "platform", project_key="shop", now="2026-01-31T08:30:00Z")
    test = {"data": base64.b64encode(json.dumps(text).encode()).decode()}
    answer = client.http.post(
        f"/v1/{topic}:publish", json={"messages": [test, {"attributes": {"has": "no data"}}]}
    )
    assert answer.status_code == 200, answer.text
    known, refused = answer.json()["messageIds"]
    (attempt,) = attempts(client, known)
    assert attempt["status"] == 202
    assert "Incoming message is about subscription resource creation" in attempt["answer"]
    first = attempts(client, refused)[0]
    assert first["status"] == 400
    assert "No customer id in the Pub/Sub message" in first["answer"]
    assert message(client, known)["state"] == "acknowledged"
    assert message(client, refused)["state"] == "waiting"


def message(client: Client, id_: str) -> dict[str, Any]:
    answer = client.http.get(f"/shop/deployments/key={KEY}/messages/{id_}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def attempts(client: Client, id_: str) -> list[dict[str, Any]]:
    """The deliveries of a message, once there are any."""
    deadline = time.monotonic() + SECONDS
    while not (found := message(client, id_)["attempts"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return list(found)


def the_job_runs(client: Client) -> None:
    """The official CLI has no command for it; it fails, as the commerce project is not there."""
    credentials = client.machine.shop.credentials
    settings = {
        "CONNECTORY_API_URL": client.server.url,
        "CONNECTORY_CLIENT_ID": credentials.client_id,
        "CONNECTORY_CLIENT_SECRET": credentials.client_secret,
    }
    command = ["connectory", "run-job", "job", "--deployment", KEY, "--wait"]
    done = client.machine.run(command, SECONDS, **settings)
    assert done.returncode == 1, done.stdout
    assert "run 1 failed: 500 " in done.stderr
    (run,) = client.http.get(f"/shop/deployments/key={KEY}/jobs/job/runs").json()["data"]
    assert (run["cause"], run["state"], run["status"]) == ("request", "failed", 500)
    assert "Error retrieving all orders from the commercetools SDK" in run["output"]


def the_official_cli_reads_the_logs(client: Client) -> None:
    printed = {
        "service": ("Service application listening", "Service post message received"),
        "event": ("Event application listening", "Event message received"),
        "job": ("Job application listening", 'POST "/job" 500'),
    }
    for application, lines in printed.items():
        said = client.does(f"deployment logs --key {KEY} --application {application}")
        for line in lines:
            assert line in said, said[-4000:]


def nothing_is_left_after_a_delete(client: Client, found: dict[str, Any]) -> None:
    """Without the scripts, which could not clean up what they could not set up."""
    answer = client.http.delete(f"/shop/deployments/key={KEY}?skipScripts=true")
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + SECONDS
    while client.http.get(f"/shop/deployments/key={KEY}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    gone = client.http.post(f"/v1/{topic_of(found)}:publish", json={"messages": [{"data": "e30="}]})
    assert gone.status_code == 404, gone.text
    assert KEY not in client.does("deployment list")
    assert programs_of(client.installation.data) == []
