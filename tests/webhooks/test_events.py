"""What happens in a Project is told, each thing once."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from connectory.contract.messages import MessageState
from connectory.contract.webhooks import WebhookEvent
from connectory.database.engine import Database
from connectory.deployments import store as deployments
from connectory.deployments.running import crash_loops
from connectory.kernel import ids
from connectory.messages import store as messages
from connectory.messages import telling
from connectory.messages.model import Attempt, Keeping, Outcome, Topic, outcome
from connectory.runtime.model import Program
from connectory.webhooks import store
from connectory.webhooks.model import Webhook
from tests.deployments.examples import deployment
from tests.deployments.shops import SECONDS, Shop, example
from tests.messages.listeners import listening
from tests.messages.test_delivery import EXPONENTIAL
from tests.webhooks.receivers import Hooks, Receiver

NOW = 1_700_000_000_000_000


def test_what_happens_to_connectors_and_deployments_is_told_once(
    shop: Shop, hooks: Hooks, receiver: Receiver
) -> None:
    made = hooks.create(receiver.url())
    working = shop.published(example("hard-coded-port"), name="working")
    live = shop.deployed(working)
    creator, run = shop.creator, shop.platform.installation.run
    broken = shop.published(example("crash-at-start"), name="broken")
    id_ = broken["id"]
    failed = shop.settled(shop.create(broken)["id"])
    assert failed["status"] == "Failed"
    creator.update(id_, {"action": "publish", "certification": True})
    creator.settled(id_)
    run("certification", "take", broken["key"])
    run("certification", "approve", broken["key"])
    creator.update(id_, {"action": "unlist"})
    # It is unlisted already; the other one is by its end.
    for each in (working["id"], id_):
        assert creator.http.delete(f"/connectors/drafts/{each}").status_code == 200
    expected = {
        "connector.published": 3,
        "connector.certified": 1,
        "connector.unlisted": 2,
        "deployment.deployed": 1,
        "deployment.failed": 1,
    }
    heard = receiver.until(sum(expected.values()))
    assert Counter(each.payload["type"] for each in heard) == expected
    assert len(hooks.deliveries(made["id"])) == len({each.id for each in heard}) == len(heard)
    told = {
        each.payload["type"]: each.payload["data"]
        for each in heard
        if each.payload["data"]["id"] != working["id"]
    }
    connector = {"id": id_, "key": broken["key"], "name": "Acme", "version": 2}
    assert told["connector.certified"] == connector | {"certified": True}
    assert told["connector.unlisted"] == connector | {"certified": True}
    assert told["deployment.deployed"]["id"] == live["id"]
    assert told["deployment.deployed"]["status"] == "Deployed"
    assert told["deployment.failed"] == {
        "id": failed["id"],
        "key": None,
        "version": failed["version"],
        "status": "Failed",
        "connector": connector | {"version": 1},
        "reason": "Health check for application service failed",
    }
    shop.delete(live["id"])


@pytest.fixture
def webhook(database: Database) -> str:
    """A webhook for everything, of a Project with a Deployment; nobody sends what it tells."""
    subject = deployment()
    made = Webhook(
        id=ids.new_id(),
        project=subject.project,
        url="https://acme.example/",
        events=tuple(WebhookEvent),
        sealed="of no key",
        created_at=NOW,
    )
    with database.write() as connection:
        store.add(connection, made)
        deployments.add(connection, subject)
    return made.id


def told_by(database: Database, webhook_id: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        found = store.listed(connection, webhook_id, before=None, limit=100)
    return [json.loads(each.payload) for each in reversed(found)]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_crash_loop_is_told_once_and_again_when_it_comes_again(
    database: Database, webhook: str
) -> None:
    subject = deployment()
    program = Program(
        application_id=subject.applications[0].id,
        release=1,
        deployment_id=subject.id,
        application="shop",
        artifact=None,
        environment={},
    )

    for each in ("it ended with exit code 7 and TOKEN=secret", "", "it ended with exit code 7"):
        asyncio.run(crash_once(database, program, each))
    first, second = told_by(database, webhook)
    assert first == second
    assert first["type"] == "application.crash_loop"
    assert first["data"]["id"] == subject.id
    assert first["data"]["applicationName"] == "shop"
    assert "secret" not in json.dumps(first)


async def crash_once(database: Database, program: Program, message: str) -> None:
    crash_loops(database, lambda: NOW)(program, message)
    await asyncio.get_running_loop().shutdown_default_executor()


def test_dead_letters_are_told_by_application_and_not_twice(
    database: Database, webhook: str
) -> None:
    subject = deployment()
    topic = Topic(
        name="event-a",
        application_id=ids.new_id(),
        deployment_id=subject.id,
        project=subject.project,
        application="mails",
        endpoint="/",
        retry_policy=None,
        delivers=True,
    )
    other = replace(topic, name="event-b", application_id=ids.new_id(), application="taxes")
    with database.write() as connection:
        for each in (topic, other):
            messages.put_topic(connection, each, NOW)
        rows = [
            messages.new_row(
                application_id=each.application_id,
                deployment_id=subject.id,
                content="{}",
                correlation_id="x",
                now=NOW,
                expires_at=NOW + 1,
            )
            for each in (*[topic] * 150, other)
        ]
        numbers = messages.append(connection, rows)
        first = messages.find(connection, subject.id, numbers[0])
        assert first is not None
        died = dead(first)
        for _ in range(2):  # the second comes of a node that has lost its turn
            telling.tell_of_outcomes(connection, [died], NOW)
            messages.settle(connection, [died])
    with database.write() as connection:
        messages.expire(connection, NOW + 1, 1_000, kept=10)
    with database.write() as connection:
        messages.expire(connection, NOW + 1, 1_000, kept=10)
    one, *two = told_by(database, webhook)
    assert (one["data"]["messageIds"], one["data"]["count"]) == ([str(numbers[0])], 1)
    expired = {each["data"]["applicationName"]: each["data"] for each in two}
    assert len(two) == 2
    assert expired["mails"]["count"] == 149
    assert expired["mails"]["messageIds"] == list(map(str, numbers[1:101]))
    assert expired["taxes"]["messageIds"] == [str(numbers[-1])]


def dead(message: Any) -> Outcome:
    """What a delivery makes of a message whose time is up."""
    attempt = Attempt(at=NOW, status=500, milliseconds=1)
    found = outcome(message, attempt, None, NOW, Keeping(waiting=1, dead=10))
    assert found.state is MessageState.DEAD
    return found


@pytest.mark.long  # five attempts, a second between them
def test_a_message_that_nobody_takes_is_told(shop: Shop, hooks: Hooks, receiver: Receiver) -> None:
    hooks.create(receiver.url(), "message.dead_letter")
    live = listening(shop, EXPONENTIAL)
    (message,) = live.publish({"name": "poor", "answers": [500]})
    (heard,) = receiver.until(1)
    assert heard.payload["data"] == {
        "deploymentId": live.id,
        "applicationName": "listener",
        "topic": live.topic,
        "count": 1,
        "messageIds": [message],
    }
    shop.delete(live.id)


@pytest.mark.long  # five deaths, each later than the one before
def test_an_application_that_crashes_again_and_again_is_told(
    shop: Shop, hooks: Hooks, receiver: Receiver
) -> None:
    hooks.create(receiver.url(), "application.crash_loop")
    files = example("hard-coded-port") | {
        "service/index.js": "require('node:http').createServer((q, r) => r.end()).listen(8080);\n"
        "setTimeout(() => process.exit(7), 300);\n"
    }
    found = shop.deployed(shop.published(files, name="looping"))
    (heard,) = receiver.until(1, seconds=SECONDS)
    assert heard.payload["data"]["id"] == found["id"]
    assert heard.payload["data"]["applicationName"] == "service"
    shop.delete(found["id"])
