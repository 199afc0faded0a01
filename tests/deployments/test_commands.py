"""`connectory deployment`: the life of a Deployment by command, over HTTP."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.shops import Shop, example, url_of
from tests.harness import Installation
from tests.staging.conftest import REGION, Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


@pytest.fixture
def connectory(shop: Shop, tmp_path: Path) -> Any:
    """Runs `connectory deployment …` as an API Client of the Project."""
    installation = shop.platform.installation
    credentials = installation.credentials(shop.creator.project.partition(":")[2])
    settings = {
        "CONNECTORY_API_URL": shop.platform.server.url,
        "CONNECTORY_CLIENT_ID": credentials.client_id,
        "CONNECTORY_CLIENT_SECRET": credentials.client_secret,
    }
    client = Installation(tmp_path / "nothing", settings=settings)

    def run(*arguments: str, expect: int = 0) -> Any:
        return client.run("deployment", *arguments, expect=expect)

    return run


def test_the_life_of_a_deployment(shop: Shop, connectory: Any, tmp_path: Path) -> None:
    connector = shop.published(example("hard-coded-port"))
    (secret := tmp_path / "key.txt").write_text("key-of-acme\n")
    create = ("create", connector["key"], "--key", "live", "--region", REGION, "--wait", "--json")
    made = json.loads(connectory(*create, "--secret", f"service.API_KEY={secret}").stdout)
    assert made["status"] == "Deployed"
    assert httpx.get(url_of(made), trust_env=False).json()["secret"] == "given"
    assert "live" in connectory("list").stdout
    first = connectory("rollback", "live", expect=1).stderr
    assert first == "connectory: no release of live was deployed before release 1\n"
    told = connectory("redeploy", "live", "--set", "service.GREETING=Moin", "--wait")
    assert "Information [service]: Application started" in told.stderr
    assert httpx.get(url_of(made), trust_env=False).json()["greeting"] == "Moin"
    heading, second, first = connectory("releases", "live").stdout.splitlines()
    assert heading.split()[:2] == ["RELEASE", "OUTCOME"]
    assert second.startswith("2*")
    assert second.endswith("service.GREETING changed")
    assert first.startswith("1 ")
    told = connectory("rollback", "live", "--wait")
    assert "Information: Release 1 is brought back" in told.stderr
    assert httpx.get(url_of(made), trust_env=False).json()["greeting"] == "Hello"
    newest = connectory("releases", "live", "--limit", "1").stdout.splitlines()[1]
    assert "back to release 1; service.GREETING changed" in newest
    wrong = connectory("rollback", "live", "--release", "9", expect=1).stderr
    assert "release 9 of the Deployment" in wrong
    assert len(wrong.splitlines()) == 1
    connectory("rollback", "live", "--release", "2", "--wait")
    assert httpx.get(url_of(made), trust_env=False).json()["greeting"] == "Moin"
    shown = connectory("show", "live").stdout
    assert url_of(made) in shown
    assert "key-of-acme" not in shown
    shop.logged(made["id"], "GET /service")
    assert "GET /service" in connectory("logs", "live").stdout
    assert connectory("delete", "live", "--wait").stdout == "live is gone\n"
    missing = connectory("show", "live", expect=1).stderr
    assert missing == "connectory: ResourceNotFound: Deployment with key=live does not exist\n"


def test_a_deploy_that_fails_is_told_in_one_line_and_by_the_exit_code(
    shop: Shop, connectory: Any
) -> None:
    connector = shop.published(example("crash-at-start"), name="crash")
    done = connectory("create", connector["key"], "--region", REGION, "--wait", expect=1)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("connectory: ")
    assert "is Failed: Health check for application service failed of service: " in last
    assert "exit code 3" in last


def test_a_script_that_fails_is_told_last_and_by_the_exit_code_where_that_is_wanted(
    shop: Shop, connectory: Any
) -> None:
    files = example("hard-coded-port")
    scripts = "    endpoint: /service\n    scripts:\n      postDeploy: echo sorry; exit 7\n"
    files["connect.yaml"] = files["connect.yaml"].replace("    endpoint: /service\n", scripts)
    connector = shop.published(files)
    create = ("create", connector["key"], "--key", "warned", "--region", REGION, "--wait")
    told = connectory(*create, "--strict", expect=1).stderr.splitlines()
    warning = [
        "Warning [service]: Failed during the execution of 'postDeploy' script",
        "    exit code 7",
        "    sorry",
    ]
    assert told[-4:] == [*warning, "connectory: warned is Deployed, and a script failed"]
    overlooked = connectory("redeploy", "warned", "--wait", "--json")
    assert json.loads(overlooked.stdout)["status"] == "Deployed"
    assert overlooked.stderr.splitlines() == warning
    connectory("delete", "warned", "--wait", "--skip-scripts")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "x"), "Missing option '--region'"),
        (("create", "x", "--region", REGION, "--set", "KEY"), "--set KEY: [APP.]KEY=… is wanted"),
        (
            ("create", "x", "--region", REGION, "--schedule", "a"),
            "--schedule a: APP=CRON is wanted",
        ),
    ],
)
def test_wrong_use_is_told_in_one_line(
    connectory: Any, arguments: tuple[str, ...], said: str
) -> None:
    done = connectory(*arguments, expect=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
