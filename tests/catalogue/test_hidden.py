"""A Connector that is hidden from a Project is found out by nothing, the time it takes included."""

import asyncio
import statistics
import time
import uuid

from connectory.catalogue.index import SearchIndex
from connectory.catalogue.model import Document
from connectory.catalogue.service import Catalogue
from connectory.database.engine import Database
from connectory.http.answers import Response

OWNER, STRANGER = "europe-west1.gcp:owner", "europe-west1.gcp:stranger"
COUNT = 2_000


def private(number: int) -> Document:
    return Document(
        id=str(uuid.uuid4()),
        version=1,
        key=f"key-{number}",
        name=f"Connector {number}",
        description=None,
        company=None,
        integration_types=(),
        private=True,
        projects=(OWNER,),
        created_at=number,
        last_modified_at=number,
    )


def test_what_its_owner_reads_is_not_answered_sooner_than_what_is_not_there(
    database: Database,
) -> None:
    catalogue = Catalogue(database, cache_bytes=10_000_000)
    documents = [private(number) for number in range(COUNT)]

    async def seconds(name: str) -> float:
        began = time.perf_counter()
        for _ in range(5):
            assert await catalogue.with_id(name, STRANGER) is None
        return time.perf_counter() - began

    async def scenario() -> None:
        await catalogue.apply(SearchIndex().prepared(documents), anew=False)
        for number, document in enumerate(documents):
            catalogue.cache.put(number, Response(200, b"{}"))
            assert await catalogue.with_id(document.id, OWNER) is not None
        ratios = [
            await seconds(document.id) / await seconds(str(uuid.uuid4())) for document in documents
        ]
        # Remembered and told at once, it took a quarter. What a request costs beside it is some
        # ten times as much as either.
        assert 0.7 < statistics.median(ratios) < 1.4

    asyncio.run(scenario())
