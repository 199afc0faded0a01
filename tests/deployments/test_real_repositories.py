"""Connectors that others wrote, from the git mirrors that CONNECTORY_TEST_REPOSITORIES names.

Each is registered, deployed with made-up values, used, redeployed and deleted. Used is: services
are called, events get messages, jobs are run. The end of the output has a line for each, also where
that fails without being our fault.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import lacking
from tests.deployments.real import (
    ByHand,
    checked_out,
    copied,
    declared,
    environment_of,
    made_up,
    repositories,
)
from tests.deployments.shops import Shop, entries, programs_of
from tests.deployments.using import Used, used
from tests.staging.conftest import Creator, Platform

VARIABLE = "CONNECTORY_TEST_REPOSITORIES"
BEGUN = "Health check for application"

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = os.environ.get(VARIABLE)
    found = repositories(Path(folder).absolute()) if folder else {}
    metafunc.parametrize("mirror", list(found.values()) or [None], ids=list(found) or ["none"])


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Iterator[Shop]:
    made = Shop(creator, platform, seconds=1800)
    yield made
    for each in made.http.get(made.path).json()["results"]:  # where a test has failed
        made.delete(each["id"], skip_scripts=True)


class Told:
    """The verdict of one repository."""

    def __init__(self, say: Callable[[str, object], None]) -> None:
        self._say = say

    def connector_fails(self, why: str) -> None:
        self._say("verdict", f"the connector fails by itself: {' '.join(why.split())}")

    def works(self, what: str) -> None:
        self._say("verdict", f"works: {what}")


def test_a_real_connector_is_deployed_used_redeployed_and_deleted(
    mirror: Path | None,
    shop: Shop,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    if mirror is None:
        lacking("repositories", f"{VARIABLE} names no folder with git repositories")
        return
    told = Told(record_property)
    repository = shop.creator.repositories.folder / shop.creator.repositories.owner / "real.git"
    repository.parent.mkdir(parents=True, exist_ok=True)
    copied(mirror, repository)
    connector = _published(shop, repository, told)
    if connector is None:
        return
    values = made_up(connector)
    found = shop.settled(shop.create(connector, **values)["id"])
    if found["status"] != "Deployed":
        told.connector_fails(_not_our_fault(found, connector, repository, tmp_path / "by-hand"))
        _gone(shop, found)
        return
    answers = used(shop, found)
    again = shop.redeploy(found["id"])
    assert again["status"] == "Deployed", entries(again, "Error")
    assert "Built before" in [each["title"] for each in entries(again)]
    used(shop, again)
    _gone(shop, found)
    for each in answers:
        if not each.status:
            _silent_by_hand(each, connector, repository, tmp_path / "by-hand")
    told.works("; ".join(map(str, answers)) or "started")


def _published(shop: Shop, repository: Path, told: Told) -> dict[str, Any] | None:
    """The Connector; None where its repository declares none."""
    draft = shop.creator.draft(
        "tested", key=shop.creator.name("real"), repository=_repository(shop)
    )
    answer = shop.http.post("/connectors/drafts", json=draft)
    if answer.status_code == 400:
        codes = {each["code"] for each in answer.json()["errors"]}
        assert codes <= {
            "ConnectorSpecificationFileNotFound",
            "ConnectorSpecificationFileNotValid",
        }, answer.text
        assert codes != {"ConnectorSpecificationFileNotFound"} or not declared(repository)
        told.connector_fails(answer.json()["message"])
        return None
    assert answer.status_code == 201, answer.text
    found = shop.creator.publish(answer.json()["id"])
    assert found["status"] == "Published", found
    return found


def _repository(shop: Shop) -> dict[str, str]:
    return {"url": shop.creator.repositories.url("real"), "tag": "tested"}


def _not_our_fault(
    found: dict[str, Any], connector: dict[str, Any], repository: Path, folder: Path
) -> str:
    """Why the connector fails by itself; an AssertionError where it does not."""
    failed = entries(found, "Error")[-1]
    name = failed.get("application")
    assert name, failed
    said = f"{name}: {failed['title']}"
    with checked_out(repository, folder) as tree:
        if not (tree / name).is_dir():
            return f"{said}: there is no such folder"
        by_hand = ByHand(tree / name, environment_of(connector, name))
        why = by_hand.build()
        if failed["title"].startswith(BEGUN):
            assert not why, f"{said}, yet by hand it cannot even be built: {why}"
            why = by_hand.start()
    assert why, f"OUR platform fails, by hand it works: {failed}"
    return f"{said}; by hand {why}"


def _silent_by_hand(asked: Used, connector: dict[str, Any], repository: Path, folder: Path) -> None:
    """An AssertionError where an application that gave us no answer gives one by hand."""
    endpoint = {each["name"]: each.get("endpoint", "") for each in declared(repository)["deployAs"]}
    name = asked.application
    with checked_out(repository, folder) as tree:
        by_hand = ByHand(tree / name, environment_of(connector, name))
        assert not by_hand.build(), f"we built {name}, by hand it cannot be"
        status = by_hand.post(endpoint[name], asked.body, asked.seconds)
    assert not status, f"OUR platform fails, by hand it answers {status}: {asked}"


def _gone(shop: Shop, found: dict[str, Any]) -> None:
    """Delete it; nobody answers at its URLs then, and nothing of it runs.

    A preUndeploy script that would clean up in a commerce project fails without one. That keeps
    the Deployment, and says so; it is deleted without the scripts then.
    """
    path = f"{shop.path}/{found['id']}"
    assert shop.http.delete(path).status_code == 202
    deadline = time.monotonic() + shop.seconds
    while (answer := shop.http.get(path)).status_code == 200:
        if answer.json()["status"] == "UndeployFailed":
            assert "preUndeploy" in entries(answer.json(), "Error")[-1]["title"], answer.text
            shop.delete(found["id"], skip_scripts=True)
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.status_code == 404, answer.text
    for application in found["applications"]:
        if application.get("url"):
            with pytest.raises(httpx.TransportError):
                httpx.get(application["url"], timeout=30, trust_env=False)
    assert programs_of(shop.platform.installation.data) == []
