"""A Connector that is hidden from a Project is found out by nothing, the time it takes included."""

import asyncio
import json
import statistics
import time
import uuid

import pytest

from connectory.catalogue.following import Following
from connectory.catalogue.importing import import_connectors
from connectory.catalogue.service import Catalogue
from connectory.database.engine import Database
from tests.harness import connector

OWNER, STRANGER = "europe-west1.gcp:owner", "europe-west1.gcp:stranger"
COUNT = 2_000


def line(number: int) -> bytes:
    private = {"private": True, "owner": OWNER, "id": str(uuid.uuid4())}
    return json.dumps(connector(f"key-{number}", **private)).encode()


def test_what_its_owner_reads_is_not_answered_sooner_than_what_is_not_there(
    database: Database,
) -> None:
    following = Following(database, cache_bytes=10_000_000)
    catalogue = Catalogue(database, following)
    lines = [line(number) for number in range(COUNT)]
    import_connectors(
        database, lines, actor="test", now=1, fault=lambda found: pytest.fail(str(found))
    )
    ids = [json.loads(each)["id"] for each in lines]

    async def seconds(name: str) -> float:
        began = time.perf_counter()
        for _ in range(5):
            assert await catalogue.with_id(name, STRANGER) is None
        return time.perf_counter() - began

    async def scenario() -> None:
        with database.read() as connection:
            whole = following.read(connection, None)
        await following.apply(whole, anew=True)
        for id_ in ids:
            assert await catalogue.with_id(id_, OWNER) is not None
        ratios = [await seconds(id_) / await seconds(str(uuid.uuid4())) for id_ in ids]
        # Remembered and told at once, it took a quarter. What a request costs beside it is some
        # ten times as much as either.
        assert 0.7 < statistics.median(ratios) < 1.4

    asyncio.run(scenario())
