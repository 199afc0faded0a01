"""A server that stops waits for all that is under way, side by side, in one bound."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from connectory.contract.jobs import JobRunState
from connectory.contract.messages import MessageState
from connectory.contract.webhooks import WebhookEvent
from connectory.kernel.clock import DAY, system_clock
from connectory.kernel.drain import Drain
from connectory.messages import store as message_store
from connectory.schedule import store as job_store
from connectory.schedule.model import Run
from connectory.webhooks.service import emit
from tests.deployments.shops import Shop, opened, own_installation
from tests.harness import until_refused
from tests.messages.listeners import listener, message
from tests.schedule.working import SELDOM, configured, workers
from tests.webhooks.conftest import ALLOWED
from tests.webhooks.receivers import Hooks, receiving

#: What is under way takes longer, each of it.
DRAIN = 3.0


def test_the_seconds_of_a_drain_are_counted_once_for_everybody() -> None:
    now = 100.0
    drain = Drain(20.0, clock=lambda: now)
    drain.begin()
    now = 105.0
    drain.begin()
    assert drain.left() == 15.0
    now = 130.0
    assert drain.left() == 0.0
    assert Drain(20.0, clock=lambda: now).left() == 20.0


def connector() -> dict[str, str]:
    """The files of a connector with an event application and two jobs."""
    jobs = workers({"worker": SELDOM, "idler": SELDOM})
    described = listener()["connect.yaml"] + jobs["connect.yaml"].removeprefix("deployAs:\n")
    return listener() | jobs | {"connect.yaml": described}


@dataclass
class Scene:
    """A Deployment of it, and what happens in its Project."""

    shop: Shop
    deployment: dict[str, Any]

    def id_of(self, name: str) -> str:
        applications = self.deployment["applications"]
        (found,) = (each for each in applications if each["applicationName"] == name)
        return str(found["id"])

    def happen(self, connection: Connection) -> None:
        project, event = self.shop.creator.project, WebhookEvent.DEPLOYMENT_DEPLOYED
        emit(connection, project, event, {"id": "of-a-test"}, system_clock())

    def message(self, connection: Connection, name: str) -> int:
        """A message that is answered too late."""
        data = message({"name": name, "answers": ["late"]})["data"]
        row = message_store.new_row(
            application_id=self.id_of("listener"),
            deployment_id=self.deployment["id"],
            content=json.dumps({"data": data}),
            correlation_id="",
            now=system_clock(),
            expires_at=system_clock() + DAY,
        )
        (made,) = message_store.append(connection, [row])
        return made

    def run(self, connection: Connection, name: str) -> int:
        made = job_store.request(connection, self.id_of(name), f"run-of-{name}", system_clock())
        assert isinstance(made, Run)
        return made.id


def test_what_takes_long_is_waited_for_side_by_side_and_nothing_new_begins(tmp_path: Path) -> None:
    installation = own_installation(tmp_path)
    settings = ALLOWED | {"CONNECTORY_DRAIN_SECONDS": str(DRAIN)}
    with (
        receiving() as receiver,
        installation.serving(settings=settings) as server,
        opened(installation, server) as shop,
    ):
        published = shop.published(connector())
        slow = [configured("worker", wait="60000")]
        scene = Scene(shop, shop.deployed(published, configurations=slow))
        database, id_ = shop.platform.database, scene.deployment["id"]
        receiver.free.clear()
        Hooks(shop.http, shop.creator.project).create(receiver.url(), "deployment.deployed")
        with database.write() as connection:
            scene.happen(connection)
            scene.message(connection, "slow")
            scene.run(connection, "worker")
        receiver.until(1)
        shop.logged(id_, "run-of-worker")
        shop.logged(id_, "slow")
        began = time.monotonic()
        server.process.terminate()
        until_refused("127.0.0.1", int(server.url.rpartition(":")[2]))
        with database.write() as connection:
            scene.happen(connection)
            late = scene.message(connection, "late")
            run = scene.run(connection, "idler")
        assert server.process.wait(60) == 0
        took = time.monotonic() - began
        with database.read() as connection:
            left = message_store.find(connection, id_, late)
            idle = job_store.find_run(connection, scene.id_of("idler"), run)
    assert DRAIN <= took < 2 * DRAIN
    assert len(receiver.heard) == 1
    assert left is not None
    assert (left.state, left.attempts) == (MessageState.WAITING, ())
    assert idle is not None
    assert idle.state is JobRunState.QUEUED
