"""Releases that follow each other under load: nobody who calls notices, but for the answers."""

import contextlib
import http.client
import itertools
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.deployments.shops import Shop, configured, example, url_of
from tests.messages.listeners import Listening
from tests.staging.conftest import Creator, Platform

pytestmark = pytest.mark.long

CALLS, CALLERS = 10_000, 8
#: How long one call in so many takes: some are under way at every switch.
SLOW, SLOW_MILLISECONDS = 50, 400

#: It dies at once when it is asked to end: what is under way then is lost.
SERVICE = f"""\
const http = require('node:http');
const answer = JSON.stringify({{ greeting: process.env.GREETING }});
http.createServer((request, response) => {{
  request.resume();
  const end = () => response.end(answer);
  request.on('end', () => {{
    if (request.url.endsWith('slow')) setTimeout(end, {SLOW_MILLISECONDS});
    else end();
  }});
}}).listen(8080);
"""


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


def deployed(shop: Shop) -> dict[str, Any]:
    """One with two releases, `One` and `Two`."""
    files = example("hard-coded-port") | {"service/index.js": SERVICE}
    made = shop.deployed(shop.published(files), configurations=configured("One"))
    return shop.redeploy(made["id"], configurationValues=configured("Two"))


@dataclass
class Load:
    """Calls by many at once: what was answered, and what went wrong."""

    host: str
    calls: int
    greetings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> bool:
        return self.greetings.total() + len(self.faults) >= self.calls

    def call(self) -> None:
        """Call until all calls are made, on one connection as long as it is kept."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        while (number := next(self.numbers)) < self.calls:
            path = "/slow" if number % SLOW == 0 else "/"
            method, body = ("POST", b"x" * 2_000) if number % 3 == 0 else ("GET", None)
            try:
                connection.request(method, path, body)
                answer = connection.getresponse()
                text = answer.read()
                fault = "" if answer.status == 200 else f"{method} {path}: {answer.status} {text!r}"
            except (OSError, http.client.HTTPException) as error:
                fault = f"{method} {path}: {error!r}"
                connection.close()
            with self.lock:
                if fault:
                    self.faults.append(fault)
                else:
                    self.greetings[json.loads(text)["greeting"]] += 1
            time.sleep(0.002)
        connection.close()


@pytest.mark.timeout(300)
def test_no_call_fails_while_releases_follow_each_other(shop: Shop) -> None:
    made = deployed(shop)
    load = Load(url_of(made).removeprefix("http://").partition("/")[0], CALLS)
    with ThreadPoolExecutor(CALLERS) as pool:
        calling = [pool.submit(load.call) for _ in range(CALLERS)]
        greetings, releases = ["Two"], 0
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
        for each in calling:
            each.result()
    assert load.faults == []
    assert load.greetings.total() == CALLS
    # There was something to notice: calls were answered by most of the releases.
    assert releases >= 4
    assert len(load.greetings) >= len(set(greetings)) - 1
    shop.delete(made["id"])


def test_a_rollback_serves_within_a_second(shop: Shop) -> None:
    made = deployed(shop)
    host = url_of(made).removeprefix("http://").partition("/")[0]
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


def greeting_of(host: str) -> str:
    with contextlib.closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request("GET", "/")
        return str(json.loads(connection.getresponse().read())["greeting"])


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
    files = {
        "connect.yaml": LISTENER_YAML,
        "listener/package.json": package,
        "listener/index.js": LISTENER,
    }

    def values(name: str) -> list[dict[str, Any]]:
        value = {"key": "RELEASE", "value": name}
        return [{"applicationName": "listener", "standardConfiguration": [value]}]

    made = shop.deployed(shop.published(files), configurations=values("one"))
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
