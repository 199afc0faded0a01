"""Releases that follow each other under load: nobody who calls notices, but for the answers."""

import statistics
import time
from typing import Any

import pytest

from tests.deployments.calling import Load, files, greeting_of
from tests.deployments.shops import Shop, configured, url_of
from tests.messages.listeners import Listening
from tests.staging.conftest import Creator, Platform

pytestmark = pytest.mark.long

CALLS = 10_000


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


def deployed(shop: Shop) -> dict[str, Any]:
    """One with two releases, `One` and `Two`."""
    made = shop.deployed(shop.published(files()), configurations=configured("One"))
    return shop.redeploy(made["id"], configurationValues=configured("Two"))


def host_of(deployment: dict[str, Any]) -> str:
    return url_of(deployment).removeprefix("http://").partition("/")[0]


@pytest.mark.timeout(300)
def test_no_call_fails_while_releases_follow_each_other(shop: Shop) -> None:
    made = deployed(shop)
    load = Load(host_of(made), CALLS)
    greetings, releases = ["Two"], 0
    with load.running():
        while not load.done:
            if releases % 2:
                found = shop.brought_back(made["id"], 1)
                greetings.append("One")
            else:
                greetings.append(f"Release {releases}")
                values = configured(greetings[-1])
                found = shop.redeploy(made["id"], configurationValues=values)
            assert found["status"] == "Deployed", found
            releases += 1
    assert load.faults == []
    assert load.greetings.total() == CALLS
    # There was something to notice: calls were answered by most of the releases.
    assert releases >= 4
    assert len(load.greetings) >= len(set(greetings)) - 1
    shop.delete(made["id"])


def test_a_rollback_serves_within_a_second(shop: Shop) -> None:
    made = deployed(shop)
    host = host_of(made)
    seconds = []
    for number in (1, 2) * 4:
        greeting = "One" if number == 1 else "Two"
        began = time.monotonic()
        assert shop.roll_back(made["id"], number).status_code == 201
        while greeting_of(host) != greeting:
            assert time.monotonic() < began + 30
        seconds.append(time.monotonic() - began)
        assert shop.settled(made["id"])["status"] == "Deployed"
    assert statistics.median(seconds) < 1.0, seconds
    shop.delete(made["id"])


#: Tells when a delivery begins and when it ends, and by which release.
LISTENER = """\
const http = require('node:http');
const say = (what) => console.log(JSON.stringify({ what, by: process.env.RELEASE }));
http.createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    say('began');
    setTimeout(() => { say('ended'); response.writeHead(204).end(); }, 6000);
  });
}).listen(8080);
"""
LISTENER_YAML = """\
deployAs:
  - name: listener
    applicationType: event
    endpoint: /event
    configuration:
      standardConfiguration: [{key: RELEASE, description: Which one}]
"""


def test_a_delivery_under_way_at_a_switch_ends_on_the_instance_that_began_it(shop: Shop) -> None:
    package = '{"name": "listener", "version": "1.0.0", "scripts": {"start": "node index.js"}}'
    listener = {
        "connect.yaml": LISTENER_YAML,
        "listener/package.json": package,
        "listener/index.js": LISTENER,
    }

    def values(name: str) -> list[dict[str, Any]]:
        value = {"key": "RELEASE", "value": name}
        return [{"applicationName": "listener", "standardConfiguration": [value]}]

    made = shop.deployed(shop.published(listener), configurations=values("one"))
    listening = Listening(shop, made)
    for redeployed in (
        lambda: shop.redeploy(made["id"], configurationValues=values("two")),
        lambda: shop.brought_back(made["id"], 1),
    ):
        before = told(shop, made["id"], "began")
        (id_,) = listening.publish({})
        deadline = time.monotonic() + 30
        while len(told(shop, made["id"], "began")) == len(before):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert redeployed()["status"] == "Deployed"
        assert listening.get(id_)["state"] == "waiting"
        found = listening.settled(id_)
        assert (found["state"], found["attemptCount"]) == ("acknowledged", 1)
    (after,) = listening.publish({})
    assert listening.settled(after)["attemptCount"] == 1
    # Each was ended by the release that began it; release 3 has brought release 1 back.
    deadline = time.monotonic() + 30
    while len(told(shop, made["id"], "ended")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for what in ("began", "ended"):
        assert told(shop, made["id"], what) == ["one", "two", "one"]
    shop.delete(made["id"])


def told(shop: Shop, id_: str, what: str) -> list[str]:
    """The releases that said something, in their order."""
    found = shop.logs(id_, text=what)
    return [each["details"]["by"] for each in found if each["type"] == "APPLICATION_JSON"]
