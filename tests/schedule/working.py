"""Job applications that are deployed, and what can be seen of their runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.deployments.shops import SECONDS, Shop

_PACKAGE = '{"name": "worker", "version": "1.0.0", "scripts": {"start": "node index.js"}}'
#: A schedule that is valid and does not come while tests run.
SELDOM = "0 0 29 2 *"


def workers(schedules: dict[str, str], *, number: int = 1) -> dict[str, str]:
    """The files of a connector with jobs, by their names; `number` makes another build of it."""
    files = {"connect.yaml": "deployAs:\n"}
    for name, schedule in schedules.items():
        files["connect.yaml"] += (
            f"  - name: {name}\n    applicationType: job\n    endpoint: /{name}\n"
            f'    properties:\n      schedule: "{schedule}"\n'
            "    configuration:\n      standardConfiguration:\n"
            "        - {key: ANSWER, description: Status, required: false}\n"
            "        - {key: WAIT, description: Milliseconds, required: false}\n"
            "        - {key: MEMORY, description: Mebibytes, required: false}\n"
        )
        files |= {
            f"{name}/package.json": _PACKAGE,
            f"{name}/index.js": Path(__file__).with_name("worker.js").read_text(),
            f"{name}/number": str(number),
        }
    return files


def configured(name: str, **values: str) -> dict[str, Any]:
    """The configuration of a job."""
    standard = [{"key": key.upper(), "value": value} for key, value in values.items()]
    return {"applicationName": name, "standardConfiguration": standard}


@dataclass
class Working:
    """A Deployment of such a connector."""

    shop: Shop
    deployment: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.deployment["id"])

    @property
    def path(self) -> str:
        return f"{self.shop.path}/{self.id}/jobs"

    def jobs(self) -> dict[str, dict[str, Any]]:
        answer = self.shop.http.get(self.path)
        assert answer.status_code == 200, answer.text
        return {each["applicationName"]: each for each in answer.json()["data"]}

    def runs(self, name: str, **query: Any) -> dict[str, Any]:
        answer = self.shop.http.get(f"{self.path}/{name}/runs", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ask(self, name: str, **more: Any) -> httpx.Response:
        return self.shop.http.post(f"{self.path}/{name}/runs", **more)

    def run(self, name: str, **more: Any) -> dict[str, Any]:
        answer = self.ask(name, **more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def until(
        self, name: str, condition: Callable[[list[dict[str, Any]]], Any]
    ) -> list[dict[str, Any]]:
        """The runs of a job, the oldest first, once they fulfil a condition."""
        deadline = time.monotonic() + SECONDS
        while not condition(found := self.runs(name, limit=500)["data"][::-1]):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return list(found)

    def ended(self, name: str, id_: str) -> dict[str, Any]:
        """A run when it has ended."""
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self.shop.http.get(f"{self.path}/{name}/runs/{id_}")
            assert answer.status_code == 200, answer.text
            found = dict(answer.json())
            if found["state"] in ("succeeded", "failed"):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def told(self, correlation_id: str) -> dict[str, Any]:
        """What the application logged of the call with a correlation id."""
        deadline = time.monotonic() + SECONDS
        while True:
            for each in self.shop.logs(self.id, text=correlation_id):
                if each["type"] == "APPLICATION_JSON":
                    return dict(each["details"])
            assert time.monotonic() < deadline
            time.sleep(0.05)


def working(shop: Shop, schedules: dict[str, str], *configurations: dict[str, Any]) -> Working:
    """One that was deployed just now."""
    published = shop.published(workers(schedules))
    return Working(shop, shop.deployed(published, configurations=list(configurations)))
