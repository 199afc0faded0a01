"""What comes of a rollback: a release is there again with all that it had."""

import shutil

import httpx
import pytest

from connectory.building.model import FOLDER
from connectory.deployments import store
from tests.deployments.shops import (
    Shop,
    answers,
    codes,
    compared,
    configured,
    entries,
    example,
    url_of,
)
from tests.staging.conftest import Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


WITH_A_JOB = """\
deployAs:
  - name: service
    applicationType: service
    endpoint: /other
    configuration:
      standardConfiguration:
        - {key: GREETING, description: What it says, default: Hello}
      securedConfiguration:
        - {key: API_KEY, description: Key of the account}
        - {key: MORE, description: What only this version knows}
  - name: night
    applicationType: job
    endpoint: /night
    properties: {schedule: "0 3 * * *"}
"""


def with_a_job() -> dict[str, str]:
    """The next version of the example: another path, another answer, a job and a secret more."""
    files = example("hard-coded-port")
    source = files["service/index.js"].replace("{ greeting,", "{ newer: true, greeting,")
    source = source.replace("'/service'", "'/other'")
    night = {each.replace("service/", "night/"): text for each, text in files.items()}
    return files | night | {"connect.yaml": WITH_A_JOB, "service/index.js": source}


def test_a_release_is_brought_back_with_all_that_it_had_and_without_a_build(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    first = shop.deployed(connector, configurations=configured("One", "key-of-acme 1"))
    id_ = first["id"]
    shop.next_version(connector, with_a_job())
    second = shop.redeploy(
        id_, updateConnector=True, configurationValues=configured("Two", "key-of-acme 2")
    )
    assert (second["status"], second["connector"]["version"]) == ("Deployed", 2)
    assert answers(url_of(second))["newer"] is True
    third = shop.brought_back(id_, 1)
    assert third["status"] == "Deployed"
    # Without fetching, building, or anything else than what is here.
    assert [each["title"] for each in entries(third)] == [
        "Release 1 is brought back",
        "Environment changed",
        "Application started",
        'Script for "postDeploy" not defined',
    ]
    (change,) = compared(third)
    assert change[2].startswith("3 values changed: ")
    assert "API_KEY (secured)" in change[2]
    for name in ("connector", "applications"):
        assert third[name] == first[name]
    assert answers(url_of(third)) == {"greeting": "One", "secret": "given", "method": "GET"}
    newest, before, oldest = shop.releases(id_)["results"]
    assert (newest["number"], newest["rollbackTo"], newest["serving"]) == (3, 1, True)
    assert newest["commit"] == oldest["commit"] != before["commit"]
    assert newest["changes"]["applications"] == [{"applicationName": "night", "change": "removed"}]
    # It is deployed as any other: the next redeploy keeps its values and its version.
    again = shop.redeploy(id_, configurationValues=configured("Three"))
    assert (again["status"], again["connector"]["version"]) == ("Deployed", 1)
    assert answers(url_of(again))["greeting"] == "Three"
    # The job that was gone is there again, as it was.
    forward = shop.brought_back(id_, 2)
    assert forward["applications"] == second["applications"]
    assert answers(url_of(forward))["newer"] is True
    shop.delete(id_)


def test_what_was_built_and_is_gone_is_built_again(shop: Shop) -> None:
    made = shop.deployed(shop.published(example("hard-coded-port") | {"service/own": "1"}))
    shop.redeploy(made["id"], configurationValues=configured("Two"))
    with shop.platform.database.read() as connection:
        earlier = store.find_release(connection, made["id"], 1)
    assert earlier is not None
    (artifact,) = earlier.artifacts.values()
    builds = shop.platform.installation.data / FOLDER / "artifacts"
    shutil.rmtree(builds / artifact)
    found = shop.brought_back(made["id"], 1)
    assert found["status"] == "Deployed"
    titles = [(each["title"], each["type"]) for each in entries(found)]
    assert titles[:2] == [
        ("Release 1 is brought back", "Information"),
        ("What was built is gone", "Warning"),
    ]
    assert ("Application built", "Information") in titles
    assert answers(url_of(found))["greeting"] == "Hello"
    shop.delete(made["id"])


def test_what_is_no_number_of_a_release_is_a_400(shop: Shop) -> None:
    made = shop.deployed(shop.published(example("hard-coded-port")))
    for number in (0, "1", None, 10**30, 2):
        answer = shop.roll_back(made["id"], number)
        assert answer.status_code == 400, number
        assert codes(answer.json()["errors"]) == ["InvalidJsonInput"]
    assert "release 2 of" in answer.text
    assert shop.get(made["id"])["version"] == made["version"]
    shop.delete(made["id"])


SHOWS = """\
const { CTP_CLIENT_ID: id, CTP_CLIENT_SECRET: secret } = process.env;
const told = JSON.stringify([id, secret]);
require('node:http').createServer((q, r) => r.end(told)).listen(8080);
"""


def with_client(scope: str) -> dict[str, str]:
    yaml = (
        f"inheritAs:\n  apiClient:\n    scopes: [{scope}]\n"
        "deployAs:\n  - {name: service, applicationType: service, endpoint: /service}\n"
    )
    return example("hard-coded-port") | {"connect.yaml": yaml, "service/index.js": SHOWS}


def test_a_release_gets_an_api_client_with_the_scopes_that_it_had(shop: Shop) -> None:
    def logs_in(credentials: list[str]) -> bool:
        answer = httpx.post(
            f"{shop.platform.server.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(credentials[0], credentials[1]),
            trust_env=False,
        )
        return answer.status_code == 200

    with shop.other_client("manage_project manage_api_clients") as http:
        shop.creator.http = http
        connector = shop.published(with_client("view_connectors"))
        made = shop.deployed(connector)
        first = answers(url_of(made))
        shop.next_version(connector, with_client("manage_connectors"))
        shop.redeploy(made["id"], updateConnector=True)
        second = answers(url_of(made))
        assert not logs_in(first)
        found = shop.brought_back(made["id"], 1)
        assert found["apiClient"]["scopes"] == ["view_connectors"]
        third = answers(url_of(found))
        assert third not in (first, second)
        assert (logs_in(second), logs_in(third)) == (False, True)
        # The scopes are the same: so is the API Client.
        shop.brought_back(made["id"], 3)
        assert answers(url_of(found)) == third
        shop.delete(made["id"])
