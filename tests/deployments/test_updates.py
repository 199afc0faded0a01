"""A redeploy with `updateConnector`: what a newer version lacks or wants is told at once."""

from typing import Any

import pytest

from tests.deployments.shops import Shop
from tests.staging.conftest import REGION, Creator, Platform
from tests.staging.repositories import GOOD

SERVICE = """\
  - name: service
    applicationType: service
    endpoint: /service
"""
OTHER = SERVICE.replace("service", "other", 1)


def files(*applications: str, first: str = "") -> dict[str, str]:
    """Those of a connector with applications; nothing of it starts."""
    others = {each.replace("service/", "other/"): text for each, text in GOOD.items()}
    yaml = f"{first}deployAs:\n{''.join(applications)}"
    return {**GOOD, **others, "connect.yaml": yaml}


def keys(kind: str, *names: str, indent: int = 4) -> str:
    lines = [f"configuration:\n  {kind}:\n"]
    lines += [f"    - {{key: {each}, description: New, required: true}}\n" for each in names]
    return "".join(" " * indent + line for line in "".join(lines).splitlines(keepends=True))


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


def redeploy(shop: Shop, deployment: dict[str, Any], **action: Any) -> Any:
    given = {"action": "redeploy", "updateConnector": True, **action}
    body = {"version": deployment["version"], "actions": [given]}
    return shop.http.post(f"{shop.path}/{deployment['id']}", json=body)


def refusal(shop: Shop, deployment: dict[str, Any], **action: Any) -> str:
    """Why the latest version does not take the place; nothing has been done then."""
    answer = redeploy(shop, deployment, **action)
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    assert error["code"] == "DeploymentConnectorUpdateFailure"
    connector = deployment["connector"]
    head = (
        f"Deployment with id={deployment['id']} or key=live failed while trying to update"
        f" Connector id={connector['id']} or key={connector['key']} (cause: "
    )
    assert error["message"].startswith(head)
    assert shop.get(deployment["id"]) == deployment
    assert shop.releases(deployment["id"])["total"] == 1
    return str(error["message"]).removeprefix(head).removesuffix(")")


def test_what_the_latest_version_cannot_do_is_told_by_name_before_anything_runs(shop: Shop) -> None:
    connector = shop.published(files(SERVICE, OTHER))
    made = shop.settled(shop.create(connector, key="live")["id"])
    assert made["connector"]["version"] == 1

    own = SERVICE + keys("standardConfiguration", "NEW_SHOP") + "      securedConfiguration:\n"
    own += "        - {key: NEW_TOKEN, description: New, required: true}\n"
    shared = f"inheritAs:\n{keys('securedConfiguration', 'NEW_MASTER', indent=2)}"
    shop.next_version(connector, files(own, OTHER, first=shared), "v2")
    assert refusal(shop, made) == (
        "application 'service' needs a value for the standard key 'NEW_SHOP';"
        " application 'service' needs a value for the secret key 'NEW_TOKEN';"
        " Deployment global configuration requires secret with key NEW_MASTER."
    )
    values = [
        {
            "applicationName": "service",
            "standardConfiguration": [{"key": "NEW_SHOP", "value": "berlin"}],
            "securedConfiguration": [{"key": "NEW_TOKEN", "value": ""}],
        }
    ]
    assert refusal(shop, made, configurationValues=values) == (
        "application 'service' needs a value that is not empty for the secret key 'NEW_TOKEN';"
        " Deployment global configuration requires secret with key NEW_MASTER."
    )

    shop.next_version(connector, files(SERVICE), "v3")
    gone = [{"applicationName": "other"}]
    assert refusal(shop, made, configurationValues=gone) == ("it has no application 'other'")

    regions = {"action": "setSupportedRegions", "regions": ["us-central1.gcp"]}
    shop.creator.update(connector["id"], regions)
    shop.creator.publish(connector["id"])
    assert refusal(shop, made) == f"it does not support the region {REGION}"

    shop.creator.update(connector["id"], regions | {"regions": [REGION]})
    shop.creator.publish(connector["id"])
    # An application that the version does not have, and for which nothing is given, goes.
    accepted = redeploy(shop, made)
    assert accepted.status_code == 201, accepted.text
    assert [each["applicationName"] for each in accepted.json()["applications"]] == ["service"]
    assert shop.settled(made["id"])["connector"]["version"] == 5
    shop.delete(made["id"])


def test_new_required_keys_are_given_with_the_update(shop: Shop) -> None:
    connector = shop.published(files(SERVICE))
    made = shop.settled(shop.create(connector)["id"])
    own = SERVICE + keys("securedConfiguration", "NEW_TOKEN")
    shop.next_version(connector, files(own))
    values = [
        {
            "applicationName": "service",
            "securedConfiguration": [{"key": "NEW_TOKEN", "value": "t0ken"}],
        }
    ]
    assert redeploy(shop, made, configurationValues=values).status_code == 201
    found = shop.settled(made["id"])
    assert (found["status"], found["connector"]["version"]) == ("Deployed", 2)
    shop.delete(made["id"])
