"""The way back: the seconds of a rollback, and calls that fail while releases follow each other."""

import time
from typing import Any, Protocol

import httpx
from tests.deployments.calling import Load, files, greeting_of
from tests.deployments.shops import configured
from tests.staging.repositories import Repositories

from bench import load
from bench.report import Section, milliseconds

ROLLBACKS, CALLS = 10, 10_000
ROLLBACK_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_POLL_SECONDS = 0.005
_FIRST, _SECOND = "One", "Two"


class Platform(Protocol):
    """A server that deploys, as the other measures of deploys have it."""

    @property
    def api(self) -> httpx.Client:
        """A client of it."""

    @property
    def repositories(self) -> Repositories:
        """The repositories that it reaches."""

    def published(self, key: str, repository: str, tag: str) -> str:
        """A Connector of a tag; its id."""

    def created(self, connector: str) -> str:
        """Ask for a Deployment of a Connector; its id."""

    def url(self, deployment: str) -> str:
        """Where a Deployment answers; waits until it is deployed."""

    def delete(self, deployment: str) -> None:
        """Delete a Deployment, and wait until it is gone."""


def judge(
    section: Section, platform: Platform, path: str, rollbacks: int = ROLLBACKS, calls: int = CALLS
) -> None:
    """Measure both on one service; `path` is that of the Project's Deployments."""
    platform.repositories.tag("v1.0.0", files(), name="rolling")
    deployment = platform.created(platform.published("rolling", "rolling", "v1.0.0"))
    rolling = _Rolling(platform, f"{path}/{deployment}", deployment)
    for greeting in (_FIRST, _SECOND):  # releases 2 and 3
        rolling.redeploy(greeting)
    _judge_seconds(section, rolling, rollbacks)
    _judge_calls(section, rolling, calls)
    platform.delete(deployment)


class _Rolling:
    """A Deployment whose releases follow each other."""

    def __init__(self, platform: Platform, path: str, deployment: str) -> None:
        self._platform = platform
        self._path = path
        self._deployment = deployment
        self.host = platform.url(deployment).removeprefix("http://")

    def redeploy(self, greeting: str) -> None:
        self.ask(action="redeploy", configurationValues=configured(greeting))
        self.settle()

    def ask(self, **action: Any) -> None:
        version = self._platform.api.get(self._path).json()["version"]
        body = {"version": version, "actions": [action]}
        answer = self._platform.api.post(self._path, json=body)
        assert answer.status_code == 201, answer.text

    def settle(self) -> None:
        self._platform.url(self._deployment)


def _judge_seconds(section: Section, rolling: _Rolling, rollbacks: int) -> None:
    """From `POST` to the first answer of the release that was brought back."""
    seconds = []
    for turn in range(rollbacks):
        release, greeting = ((2, _FIRST), (3, _SECOND))[turn % 2]
        began = time.perf_counter()
        rolling.ask(action="rollback", release=release)
        while greeting_of(rolling.host) != greeting:
            assert time.perf_counter() < began + _LONGEST_SECONDS, "it takes too long"
            time.sleep(_POLL_SECONDS)
        seconds.append(time.perf_counter() - began)
        rolling.settle()
    middle = load.median(seconds)
    section.judge(
        "rollback of a service, `POST` to the switch",
        f"< {milliseconds(ROLLBACK_SECONDS)}",
        milliseconds(middle),
        middle < ROLLBACK_SECONDS,
    )
    spread = f"{milliseconds(min(seconds))} to {milliseconds(max(seconds))}"
    rows = [("", "median", "lowest and highest"), ("rollback", milliseconds(middle), spread)]
    section.tables.append((f"{rollbacks} rollbacks, each from `POST` to the first answer", rows))


def _judge_calls(section: Section, rolling: _Rolling, calls: int) -> None:
    """Calls by many at once, while redeploys and rollbacks take turns."""
    found, releases = Load(rolling.host, calls), 0
    began = time.perf_counter()
    with found.running():
        while not found.done:
            if releases % 2:
                rolling.ask(action="rollback", release=2)
                rolling.settle()
            else:
                rolling.redeploy(f"Release {releases}")
            releases += 1
    seconds = time.perf_counter() - began
    failed = len(found.faults)
    section.judge(
        f"failed calls of {calls:,} while releases follow each other", "0", str(failed), failed == 0
    )
    section.notes.append(
        f"The {calls:,} calls took {seconds:.0f} s, in which {releases} releases followed each"
        f" other; {len(found.greetings)} of them answered."
        + "".join(f" Failed: {each}." for each in found.faults[:3])
    )
