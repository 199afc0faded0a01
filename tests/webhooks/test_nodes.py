"""Several nodes send what webhooks tell: each thing is sent by one of them."""

import asyncio
import contextlib
import time

import pytest
from msgspec.structs import replace

from connectory.contract.webhooks import WebhookEvent
from connectory.database.engine import Database
from connectory.database.secrets import load_key_ring
from connectory.kernel import ids
from connectory.kernel.clock import system_clock
from connectory.settings import Settings
from connectory.webhooks import store
from connectory.webhooks.model import Webhook
from connectory.webhooks.sending import Sender, owner
from connectory.webhooks.service import emit
from tests.harness import Installation
from tests.webhooks.receivers import SECONDS, Receiver

PROJECT = "europe-west1.gcp:shop"
MANY = 60


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_what_two_nodes_send_comes_once(
    installation: Installation, database: Database, receiver: Receiver
) -> None:
    ring = load_key_ring(Settings(data=installation.data))
    made = []
    for number in range(3):
        draft = Webhook(
            id=ids.new_id(),
            project=PROJECT,
            url=receiver.url(f"/{number}"),
            events=tuple(WebhookEvent),
            sealed="",
            created_at=number,
        )
        made.append(replace(draft, sealed=ring.seal(b"secret", owner(draft))))
    now = system_clock()
    with database.write() as connection:
        for each in made:
            store.add(connection, each)
        for number in range(MANY):
            data = {"id": str(number)}
            emit(connection, PROJECT, WebhookEvent.DEPLOYMENT_DEPLOYED, data, now)

    async def send() -> None:
        nodes = [Sender(database, system_clock, lambda: ring, private=True) for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            for each in nodes:
                await stack.enter_async_context(each.sending(lambda: 10.0))
            deadline = time.monotonic() + SECONDS
            while sum(each.counted.delivered for each in nodes) < 3 * MANY:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        assert all(each.counted.delivered for each in nodes)

    asyncio.run(send())
    assert len(receiver.heard) == 3 * MANY
    assert len({each.id for each in receiver.heard}) == 3 * MANY
    with database.read() as connection:
        assert not store.is_due(connection, system_clock())
