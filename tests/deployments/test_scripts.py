"""Scripts of connect.yaml: run when a release serves, and before it is stopped.

All with real builds, real programs and real npm, confined as this machine allows.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.shops import (
    Shop,
    answers,
    entries,
    example,
    metrics_of,
    opened,
    own_installation,
    url_of,
)
from tests.harness import Installation
from tests.staging.conftest import Creator, Platform

#: What processes of these tests sleep for; nothing else does.
MARK = "31536000.5"
SECRET = "a-secret-of-acme"

CONNECT = """
deployAs:
  - name: service
    applicationType: service
    endpoint: /service
    scripts:
      postDeploy: npm run --silent connector:post-deploy
      preUndeploy: npm run --silent connector:pre-undeploy
    configuration:
      standardConfiguration:
        - key: SET_UP
          description: What the postDeploy script does
          default: "exit 0"
        - key: CLEAN_UP
          description: What the preUndeploy script does
          default: "exit 0"
      securedConfiguration:
        - key: API_KEY
          description: A secret
          required: false
"""
PACKAGE = {
    "name": "service",
    "scripts": {
        "start": "node index.js",
        "connector:post-deploy": 'echo "the key is $API_KEY"; eval "$SET_UP"',
        "connector:pre-undeploy": 'echo "told $CONNECT_SERVICE_URL"; eval "$CLEAN_UP"',
    },
}
SERVICE = """
require("node:http")
  .createServer((request, response) => response.end(JSON.stringify(process.env.SET_UP)))
  .listen(8080);
"""
FILES = {
    "connect.yaml": CONNECT,
    "service/package.json": json.dumps(PACKAGE),
    "service/index.js": SERVICE,
}

FAILED = "Failed during the execution of 'postDeploy' script"
SUCCEEDED = "Post-deployment setup succeeded"
NOT_UNDEPLOYED = "Failed during the execution of 'preUndeploy' script"


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    """The embedded database; what is deployed does not mind which one it is."""
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return own_installation(tmp_path)


def does(set_up: str | None = None, clean_up: str | None = None) -> list[dict[str, Any]]:
    """Values by which the scripts of `FILES` do this; what is left out stays."""
    given = {"SET_UP": set_up, "CLEAN_UP": clean_up}
    values = [{"key": key, "value": value} for key, value in given.items() if value is not None]
    secret = [{"key": "API_KEY", "value": SECRET}]
    return [
        {
            "applicationName": "service",
            "standardConfiguration": values,
            "securedConfiguration": secret,
        }
    ]


def told(deployment: dict[str, Any], about: str) -> list[tuple[str, str, str]]:
    """Type, title and application of the entries whose titles tell of something."""
    return [
        (each["type"], each["title"], each.get("application", ""))
        for each in entries(deployment)
        if about in each["title"]
    ]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def sleepers() -> list[str]:
    """Processes of this machine that sleep for `MARK`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"sleep\0{MARK}" in (folder / "cmdline").read_text():
                found.append(folder.name)
    return found


def scripts_of(shop: Shop, script: str, outcome: str) -> float:
    name = f'connectory_scripts_total{{outcome="{outcome}",script="{script}"}}'
    return metrics_of(shop)[name]


def status_after_delete(shop: Shop, id_: str) -> dict[str, Any]:
    """A Deployment whose delete failed."""
    assert shop.http.delete(f"{shop.path}/{id_}").status_code == 202
    return until(lambda: (found := shop.get(id_))["status"] != "Undeploying" and found)


def test_scripts_get_what_the_platform_documents_and_are_told_of(shop: Shop) -> None:
    succeeded = scripts_of(shop, "postDeploy", "succeeded")
    cleaned = scripts_of(shop, "preUndeploy", "succeeded")
    found = shop.deployed(shop.published(example("scripts")))
    id_, project = found["id"], shop.creator.project.partition(":")[2]
    topic = found["applications"][1]["topic"].rpartition("/")[2]
    assert told(found, "script") == []
    assert told(found, "Post-deployment") == [
        ("Information", SUCCEEDED, "service"),
        ("Information", SUCCEEDED, "event"),
    ]
    (line,) = shop.logged(id_, "is to call")
    assert line["details"]["message"] == f"extension example-extension is to call {url_of(found)}"
    assert line["applicationName"] == "service"
    (line,) = shop.logged(id_, "subscription to")
    assert line["details"]["message"] == f"subscription to GoogleCloudPubSub {topic} {project} GCP"
    assert len(shop.logged(id_, "postDeploy: npm run connector:post-deploy")) == 2
    assert scripts_of(shop, "postDeploy", "succeeded") == succeeded + 2
    shop.delete(id_)
    assert scripts_of(shop, "preUndeploy", "succeeded") == cleaned + 2


def test_what_fails_is_a_warning_of_what_is_deployed_and_keeps_it_from_being_undeployed(
    shop: Shop,
) -> None:
    connector = shop.published(FILES)
    values = does("seq 50; exit 7", f"echo the key was {SECRET}; exit 9")
    found = shop.deployed(connector, configurations=values)
    id_, url = found["id"], url_of(found)
    (warning,) = entries(found, "Warning")[-1:]
    assert (warning["title"], warning["application"]) == (FAILED, "service")
    code, *lines = warning["message"].splitlines()
    assert (code, lines[-1], len(lines)) == ("exit code 7", "50", 40)
    assert shop.logged(id_, "the key is")[0]["details"]["message"] == "the key is ********"

    failed = status_after_delete(shop, id_)
    assert failed["status"] == "UndeployFailed"
    (error,) = entries(failed, "Error")
    assert (error["title"], error["application"]) == (NOT_UNDEPLOYED, "service")
    assert error["message"] == f"exit code 9\ntold {url}\nthe key was ********"
    assert answers(url) == values[0]["standardConfiguration"][0]["value"]

    again = status_after_delete(shop, id_)
    assert (again["status"], len(entries(again, "Error"))) == ("UndeployFailed", 1)
    ran = scripts_of(shop, "postDeploy", "failed")
    mended = shop.redeploy(id_, configurationValues=does(None, "exit 0"), skipScripts=True)
    assert (mended["status"], told(mended, "postDeploy")) == ("Deployed", [])
    assert scripts_of(shop, "postDeploy", "failed") == ran
    shop.delete(id_)


def test_a_delete_ends_the_script_of_a_deploy_at_once(shop: Shop) -> None:
    connector = shop.published(FILES)
    hangs = f"trap '' TERM; setsid -f sleep {MARK}; sleep {MARK}"
    first = shop.deployed(connector, configurations=does())
    ended = scripts_of(shop, "postDeploy", "interrupted")
    body = {
        "version": first["version"],
        "actions": [{"action": "redeploy", "configurationValues": does(hangs, "exit 9")}],
    }
    assert shop.http.post(f"{shop.path}/{first['id']}", json=body).status_code == 201
    until(sleepers)
    # It serves already, and is not said to be deployed before its script has ended.
    assert answers(url_of(first)) == hangs
    assert shop.get(first["id"])["status"] == "Deploying"
    failed = status_after_delete(shop, first["id"])
    assert sleepers() == []
    assert scripts_of(shop, "postDeploy", "interrupted") == ended + 1
    # The delete had its own script run, and that one failed: what serves still serves.
    assert failed["status"] == "UndeployFailed"
    assert answers(url_of(first)) == hangs
    assert shop.http.delete(f"{shop.path}/{first['id']}?skipScripts=true").status_code == 202
    until(lambda: shop.http.get(f"{shop.path}/{first['id']}").status_code == 404)


def applications(shop: Shop) -> list[float]:
    """How many applications there are, by what they do."""
    found = metrics_of(shop)
    return [found[name] for name in found if name.startswith("connectory_applications{")]


@contextlib.contextmanager
def strict(installation: Installation) -> Iterator[Shop]:
    settings = {"CONNECTORY_STRICT_SCRIPTS": "on"}
    with installation.serving(settings=settings) as server, opened(installation, server) as shop:
        yield shop


@pytest.mark.long
def test_where_scripts_are_strict_what_fails_does_not_serve(installation: Installation) -> None:
    with strict(installation) as shop:
        connector = shop.published(FILES)
        fails = does("exit 7")
        found = shop.settled(shop.create(connector, configurations=fails)["id"])
        id_ = found["id"]
        assert (found["status"], told(found, "Script")) == ("Failed", [])
        (error,) = entries(found, "Error")
        assert (error["title"], error["message"]) == (FAILED, "exit code 7\nthe key is ********")
        assert "url" not in found["applications"][0]
        assert not any(applications(shop))
        mended = shop.redeploy(id_, configurationValues=does("exit 0"))
        assert mended["status"] == "Deployed"
        assert answers(url_of(mended)) == "exit 0"
        failed = shop.redeploy(id_, configurationValues=fails)
        assert (failed["status"], entries(failed, "Error")[0]["title"]) == ("Failed", FAILED)
        assert answers(url_of(failed)) == "exit 0"
        left = shop.redeploy(id_, skipScripts=True)
        assert (left["status"], answers(url_of(left))) == ("Deployed", "exit 7")
        shop.delete(id_)


def hanging(shop: Shop) -> str:
    """A Deployment whose postDeploy script hangs, while its release serves."""
    connector = shop.published(FILES)
    hangs = f"trap '' TERM; setsid -f sleep {MARK}; sleep {MARK}"
    id_ = str(shop.create(connector, configurations=does(hangs))["id"])
    until(sleepers)
    return id_


@pytest.mark.long
def test_a_script_ends_with_a_server_that_is_killed_and_is_run_again(
    installation: Installation,
) -> None:
    installation.settings |= {"CONNECTORY_SCRIPT_SECONDS": "4"}
    with installation.serving() as server, opened(installation, server) as shop:
        id_ = hanging(shop)
        server.kill()
        until(lambda: not sleepers(), 5)
    with installation.serving() as server, opened(installation, server) as shop:
        until(sleepers)
        # What serves was written down before its script began.
        assert answers(url_of(shop.get(id_))).startswith("trap")
        found = shop.settled(id_)
        assert found["status"] == "Deployed"
        (warning,) = entries(found, "Warning")[-1:]
        assert warning["message"].splitlines()[0] == "the script did not end within 4 s"
        assert sleepers() == []
        shop.delete(id_)


@pytest.mark.long
def test_a_deploy_that_is_cancelled_while_its_script_runs_is_deployed_with_a_warning(
    installation: Installation,
) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        id_ = hanging(shop)
        (row,) = [
            line for line in installation.run("work", "list").stdout.splitlines() if id_ in line
        ]
        installation.run("work", "cancel", row.split()[0])
        found = shop.settled(id_)
        assert (found["status"], sleepers()) == ("Deployed", [])
        (warning,) = entries(found, "Warning")[-1:]
        assert (warning["title"], warning["message"]) == (FAILED, "the deployment was cancelled")
        assert answers(url_of(found)).startswith("trap")
        shop.delete(id_)


@pytest.mark.long
def test_what_cannot_be_fetched_any_more_is_undeployed_where_its_scripts_are_left_out(
    installation: Installation,
) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        plain = shop.deployed(shop.published(example("hard-coded-port"), name="plain"))["id"]
        id_ = shop.deployed(shop.published(FILES), configurations=does())["id"]
        repositories = shop.creator.repositories.folder
    for folder in (repositories, installation.data / "sources"):
        shutil.rmtree(folder)
    with installation.serving() as server, opened(installation, server) as shop:
        failed = status_after_delete(shop, id_)
        assert failed["status"] == "UndeployFailed"
        (error,) = entries(failed, "Error")
        assert error["title"] == NOT_UNDEPLOYED
        assert error["message"].startswith("its source cannot be had: ")
        assert answers(url_of(failed)) == "exit 0"
        assert shop.http.delete(f"{shop.path}/{id_}?skipScripts=true").status_code == 202
        until(lambda: shop.http.get(f"{shop.path}/{id_}").status_code == 404)
        # One that has no such script needs no source.
        shop.delete(plain)


@pytest.mark.long
def test_one_that_installs_and_builds_again_as_the_starter_kit_has_it(shop: Shop) -> None:
    files = example("typescript")
    package = json.loads(files["service/package.json"])
    package["scripts"] |= {
        "build": "tsc",
        "connector:post-deploy": "node build/connector/post-deploy.js",
    }
    command = "npm install && npm run build && npm run connector:post-deploy"
    files |= {
        "service/package.json": json.dumps(package),
        "service/src/connector/post-deploy.ts": (
            "console.log(`is at ${process.env.CONNECT_SERVICE_URL}`);\n"
        ),
        "connect.yaml": files["connect.yaml"] + f"    scripts:\n      postDeploy: {command}\n",
    }
    found = shop.deployed(shop.published(files))
    assert told(found, "Post-deployment") == [("Information", SUCCEEDED, "service")], found
    assert shop.logged(found["id"], f"is at {url_of(found)}")
    shop.delete(found["id"])
