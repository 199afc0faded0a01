"""A publisher of Google Pub/Sub, unchanged, publishes to a topic over REST."""

import asyncio

import aiohttp
import pytest
from gcloud.aio.pubsub import PublisherClient, PubsubMessage

from tests.deployments.shops import Shop
from tests.messages.listeners import listening
from tests.staging.conftest import Creator, Platform


@pytest.fixture
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


def test_a_client_of_pubsub_publishes(platform: Platform, creator: Creator) -> None:
    made = listening(Shop(creator, platform))
    header = made.shop.http.headers["authorization"]

    async def publish() -> list[str]:
        # Given another address than Google's, it leaves tokens to whoever made its session.
        async with aiohttp.ClientSession(headers={"Authorization": header}) as session:
            client = PublisherClient(session=session, api_root=f"{platform.server.url}/v1")
            messages = [PubsubMessage(b'{"name": "one"}', kind="test"), PubsubMessage(b"{}")]
            answer = await client.publish(made.topic, messages)
        return list(answer["messageIds"])

    ids = asyncio.run(publish())
    assert len(ids) == 2
    found = [made.settled(each) for each in ids]
    assert [each["state"] for each in found] == ["acknowledged", "acknowledged"]
    assert found[0]["message"]["attributes"] == {"kind": "test"}
    made.shop.delete(made.id)
