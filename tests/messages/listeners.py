"""An event application that is deployed, and what a publisher does to it."""

import json
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deployments.shops import SECONDS, Shop

_PACKAGE = '{"name": "listener", "version": "1.0.0", "scripts": {"start": "node index.js"}}'


def listener(policy: str = "", *, number: int = 1) -> dict[str, str]:
    """The files of a connector with an event application; `number` makes another build of it."""
    retry = f"    retryPolicy: {policy}\n" if policy else ""
    return {
        "connect.yaml": (
            "deployAs:\n  - name: listener\n    applicationType: event\n"
            f"    endpoint: /event\n{retry}"
            "    configuration:\n      standardConfiguration:\n"
            "        - {key: RECORDER, description: Where deliveries are told}\n"
        ),
        "listener/package.json": _PACKAGE,
        "listener/index.js": Path(__file__).with_name("listener.js").read_text(),
        "listener/number": str(number),
    }


@dataclass
class Listening:
    """A Deployment of such a connector."""

    shop: Shop
    deployment: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.deployment["id"])

    @property
    def topic(self) -> str:
        (application,) = self.deployment["applications"]
        return str(application["topic"])

    @property
    def path(self) -> str:
        return f"{self.shop.path}/{self.id}"

    def publish(self, *told: dict[str, Any], **more: Any) -> list[str]:
        """Send messages whose data is JSON; their ids."""
        body = {"messages": [message(each) for each in told]}
        answer = self.shop.http.post(f"/v1/{self.topic}:publish", json=body, **more)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["messageIds"])

    def get(self, id_: str) -> dict[str, Any]:
        answer = self.shop.http.get(f"{self.path}/messages/{id_}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, id_: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while not condition(found := self.get(id_)):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def settled(self, id_: str) -> dict[str, Any]:
        return self.until(id_, lambda found: found["state"] != "waiting")

    def messages(self, state: str = "dead", **query: Any) -> dict[str, Any]:
        answer = self.shop.http.get(f"{self.path}/messages", params={"state": state, **query})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def act(self, action: str, **more: Any) -> int:
        body = {"action": action, **more}
        answer = self.shop.http.post(f"{self.path}/dead-letters", json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["count"])

    def told(self, name: str) -> list[dict[str, Any]]:
        """What the application logged of a message, by the name in its data."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = [
                each["details"]
                for each in self.shop.logs(self.id, text=name)
                if each["type"] == "APPLICATION_JSON" and each["details"].get("name") == name
            ]
            if found:
                return found
            assert time.monotonic() < deadline
            time.sleep(0.1)


def message(told: dict[str, Any], **attributes: str) -> dict[str, Any]:
    """A message as a publisher sends it."""
    found: dict[str, Any] = {"data": b64encode(json.dumps(told).encode()).decode()}
    return found | ({"attributes": attributes} if attributes else {})


def listening(shop: Shop, policy: str = "", **fields: Any) -> Listening:
    """One that was deployed just now."""
    return Listening(shop, shop.deployed(shop.published(listener(policy)), **fields))
