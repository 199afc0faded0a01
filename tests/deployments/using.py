"""What applications of others answer when they are used: called, sent a message, run."""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from connectory.kernel.clock import system_clock, to_rfc3339
from connectory.messages.samples import sample
from tests.deployments.shops import Shop, entries

#: What a gateway answers where there is nobody behind it.
NOBODY: Final = (502, 503, 504)
#: How long a message has: see docs/how-to/messages.md.
MESSAGE_SECONDS: Final = 10.0
#: Not how long a run has, which is longer than anybody waits for a test.
RUN_SECONDS: Final = 120.0
#: What a Subscription of the commerce platform sends first, and an order in both formats: an
#: application may understand one of them only.
_MESSAGES: Final = (
    ("subscription-test", "platform"),
    ("order-created", "platform"),
    ("order-created", "cloudevents"),
)
_SHOWN: Final = 60


@dataclass(frozen=True)
class Used:
    """An application that was used, and what it answered.

    `body` and `seconds` are what it was asked and how long it had; `status` is 0 where it gave no
    answer, and the text says why then.
    """

    application: str
    how: str
    status: int
    text: str
    body: bytes = b""
    seconds: float = 0.0

    def __str__(self) -> str:
        said = " ".join(self.text.split())[:_SHOWN]
        return f"{self.application} {self.how} {self.status or 'nothing'}" + (
            f" ({said})" if self.how != "called" and said else ""
        )


def used(shop: Shop, found: dict[str, Any]) -> list[Used]:
    """Use every application of a Deployment as its kind is used."""
    done = []
    for application in found["applications"]:
        name, url = application["applicationName"], application.get("url")
        if url:
            done.append(_called(name, url))
        else:
            started = ("Application started", name)
            assert started in [(each["title"], each.get("application")) for each in entries(found)]
        place = f"{shop.path}/{found['id']}"
        if application.get("topic"):
            done += [_sent(shop, place, application, *each) for each in _MESSAGES]
        if application.get("schedule"):
            done.append(_run(shop, f"{place}/jobs/{name}/runs", name))
        for line in shop.logs(found["id"], applicationName=name):
            assert str(line["details"]).isprintable(), line
    return done


def _called(name: str, url: str) -> Used:
    answer = httpx.get(url, timeout=60, trust_env=False)
    assert answer.status_code not in NOBODY, (name, answer.text)
    return Used(name, "called", answer.status_code, answer.text)


def _sent(shop: Shop, place: str, application: dict[str, Any], which: str, format_: str) -> Used:
    """Publish to the topic, and see the first delivery."""
    now = to_rfc3339(system_clock())
    text = json.dumps(sample(which, format_, project_key="made-up-project", now=now))
    data = base64.b64encode(text.encode()).decode()
    answer = shop.http.post(
        f"/v1/{application['topic']}:publish", json={"messages": [{"data": data}]}
    )
    assert answer.status_code == 200, answer.text
    (id_,) = answer.json()["messageIds"]
    message = _once(shop, f"{place}/messages/{id_}", lambda message: message["attempts"])
    first = message["attempts"][0]
    pushed = {"data": data, "messageId": id_, "message_id": id_, "attributes": {}}
    pushed |= {"publishTime": now, "publish_time": now}
    body = json.dumps({"message": pushed, "subscription": "by-hand"}).encode()
    name, how = application["applicationName"], f"sent {which} of {format_}"
    return Used(name, how, first["status"], first["answer"], body, MESSAGE_SECONDS)


def _run(shop: Shop, path: str, name: str) -> Used:
    """Run a job now, or see the run that its schedule has begun."""
    answer = shop.http.post(path)
    assert answer.status_code in (201, 409), answer.text
    if answer.status_code == 409:
        assert [each["code"] for each in answer.json()["errors"]] == ["JobRunUnderWay"]
        id_ = shop.http.get(path).json()["data"][0]["id"]
    else:
        id_ = answer.json()["id"]
    run = _once(
        shop, f"{path}/{id_}", lambda run: run["state"] in ("succeeded", "failed"), RUN_SECONDS
    )
    text = run["output"] or f"{run['state']} after {RUN_SECONDS:g} s"
    return Used(name, "run", run.get("status", 0), text, b"{}", RUN_SECONDS)


def _once(
    shop: Shop,
    path: str,
    condition: Callable[[dict[str, Any]], Any],
    patience: float | None = None,
) -> dict[str, Any]:
    """What is at a path when it fulfils a condition, or when patience is at its end."""
    deadline = time.monotonic() + (patience or shop.seconds)
    while True:
        answer = shop.http.get(path)
        assert answer.status_code == 200, answer.text
        found = dict(answer.json())
        if condition(found):
            return found
        if time.monotonic() > deadline:
            assert patience, found
            return found
        time.sleep(0.1)
