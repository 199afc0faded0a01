"""What others may ask of the catalogue on a node: a Connector, a page of a search.

All answers come from one index, which says which Connectors there are, in which version and for
whom. Their bodies are those of that version, kept in memory or read from the database; a version
never changes, so neither can be out of step with the other.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy
from msgspec import Struct

from connectory.catalogue import preparing, store
from connectory.catalogue.cache import ResponseCache
from connectory.catalogue.index import Batch, SearchIndex
from connectory.catalogue.model import Document, Query
from connectory.contract.errors import ServiceUnavailable
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.http.access import Grant
from connectory.http.answers import Response, tag_of

#: The index is built anew, in a worker thread, when more than so many Connectors and this share of
#: all were taken in since: then other terms are frequent, and many documents are no longer live.
MOST_GROWN = 2_000
SHARE_GROWN = 0.25
#: How long the event loop may be kept by changes before it serves requests again.
_SLICE_SECONDS = 0.005
#: How long the end of a server waits for a step of cleaning up; the database may hang.
_LAST_SECONDS = 1.0
#: How long a thread that builds an index goes on when the event loop wants the interpreter.
_SWITCH_SECONDS = 0.0005

log = logging.getLogger(__name__)


class _Whole(Struct, frozen=True):
    """All that is kept in memory, made anew."""

    index: SearchIndex
    cache: ResponseCache[int]


class Catalogue:
    """The published Connectors, as a node knows them; follows the change feed."""

    def __init__(self, database: Database, cache_bytes: int) -> None:
        self._database = database
        self._cache_bytes = cache_bytes
        self._index = SearchIndex()
        #: By the number of the document.
        self.cache: ResponseCache[int] = ResponseCache(cache_bytes)
        #: The numbers of live public documents that were asked for, by id and by `key={key}`;
        #: forgotten with every change.
        self._public: dict[str, int] = {}

    def __len__(self) -> int:
        """How many Connectors there are."""
        return len(self._index)

    def at_hand(self, path: Mapping[str, str], _grant: Grant) -> Response | None:
        """What `with_id` gives of a public Connector that was asked for before (see `Endpoint`)."""
        number = self._public.get(path["id"])
        return None if number is None else self.cache.get(number)

    async def with_id(self, id_: str, project: str) -> Response | None:
        """A Connector by its id, if it exists for a Project (given as `region:projectKey`)."""
        return await self._visible(id_, project, lambda index: index.with_id(id_))

    async def with_key(self, key: str, project: str) -> Response | None:
        """A Connector by its key, if it exists for a Project (given as `region:projectKey`)."""
        return await self._visible(f"key={key}", project, lambda index: index.with_key(key))

    def has(self, id_: str, version: int) -> bool:
        """Whether this node knows a version of a Connector, or a later one."""
        number = self._index.with_id(id_)
        return number is not None and self._index.version_of(number)[1] >= version

    async def search(self, query: Query, project: str) -> Response:
        """A page of the Connectors that a Project finds: a ConnectorSearchPagedQueryResponse."""
        page = self._index.search(query, project)
        bodies = await self._bodies(page.numbers)
        body = b'{"offset":%d,"limit":%d,"total":%d,"count":%d,"results":[%b]}' % (
            query.offset,
            query.limit,
            page.total,
            len(bodies),
            b",".join(bodies),
        )
        return Response(200, body, etag=tag_of(body))

    @contextlib.asynccontextmanager
    async def tidied(self) -> AsyncIterator[None]:
        """While the block runs, remove what an import that died has left behind."""
        ended = threading.Event()
        sweep = functools.partial(preparing.sweep, self._database, ended)
        task = asyncio.create_task(self._swept(sweep), name="what imports have left")
        try:
            yield
        finally:
            ended.set()
            await asyncio.wait({task}, timeout=_LAST_SECONDS)
            task.cancel()

    async def _swept(self, sweep: Callable[[], None]) -> None:
        try:
            await self._database.in_thread(sweep)
        except DatabaseUnavailable as error:
            log.warning("what a broken import has left stays for the next start: %s", error)

    def read(self, connection: sqlalchemy.Connection, since: int | None) -> Any:
        """The changed Connectors, or a whole new index (see `database.feed.Subscriber`)."""
        with _giving_way():
            return self._read_changes(connection, since)

    def _read_changes(self, connection: sqlalchemy.Connection, since: int | None) -> Any:
        if since is not None:
            grown = self._index.grown + store.count_changed(connection, since)
            if grown <= MOST_GROWN + SHARE_GROWN * len(self._index):
                documents = store.documents(connection, since)
                return self._index.prepared(documents) if documents else None
        return self._whole(connection)

    async def apply(self, changes: Any, *, anew: bool) -> None:  # noqa: ARG002 - `read` knows
        """Take in what `read` found (see `database.feed.Subscriber`)."""
        if isinstance(changes, _Whole):
            # Counted on: what is told of hits is told since the start.
            changes.cache.hits, changes.cache.misses = self.cache.hits, self.cache.misses
            self._index, self.cache = changes.index, changes.cache
            self._public.clear()
            # Nothing of it is garbage: the collector need not walk a million objects again.
            gc.freeze()
        elif changes is not None:
            await self._staged(changes)
            with _giving_way():
                orders = await asyncio.to_thread(self._index.ordered, changes.numbers)
            self._index.publish(changes.numbers, orders)
            self._public.clear()

    def _whole(self, connection: sqlalchemy.Connection) -> "_Whole":
        """An index of all Connectors, with as many of their bodies as the cache can keep."""
        cache: ResponseCache[int] = ResponseCache(self._cache_bytes)

        def kept() -> Iterator[Document]:
            for number, (document, content) in enumerate(store.everything(connection)):
                if cache.has_room(len(content)):
                    cache.put(number, _encoded((document.id, document.version), content))
                yield document

        return _Whole(SearchIndex(kept()), cache)

    async def _staged(self, batch: Batch) -> None:
        """Take documents in without keeping the event loop from its requests for long."""
        began = time.monotonic()
        for _ in self._index.stage(batch):
            if time.monotonic() - began > _SLICE_SECONDS:
                await asyncio.sleep(0)
                began = time.monotonic()

    async def _visible(
        self, name: str, project: str, look_up: Callable[[SearchIndex], int | None]
    ) -> Response | None:
        number = self._public.get(name)
        if number is None:
            # What is hidden takes as long as what is not there: neither is remembered.
            number = look_up(self._index)
            if number is None or not self._index.is_visible(number, project):
                return None
            if self._index.is_public(number):
                if len(self._public) > len(self._index) * 2:
                    self._public.clear()
                self._public[name] = number
        return self.cache.get(number) or (await self._read((number,)))[number]

    async def _bodies(self, numbers: Sequence[int]) -> list[bytes]:
        """The encoded Connectors of live documents, from memory or from the database."""
        kept = {number: self.cache.get(number) for number in numbers}
        missing = [number for number, response in kept.items() if response is None]
        if missing:
            kept |= await self._read(missing)
        return [response.body for response in kept.values() if response is not None]

    async def _read(self, numbers: Sequence[int]) -> dict[int, Response]:
        """The encoded Connectors of live documents, from the database.

        Raises:
            ServiceUnavailable: they are not there any more.
        """
        index = self._index
        self.cache.misses += len(numbers)
        versions = {number: index.version_of(number) for number in numbers}
        contents = await self._database.reading_promptly(store.contents, list(versions.values()))
        if len(contents) < len(versions):
            raise ServiceUnavailable("The catalogue is being replaced; try again")
        read = {number: _encoded(key, contents[key]) for number, key in versions.items()}
        if index is self._index:
            for number, response in read.items():
                self.cache.put(number, response)
        return read


@contextlib.contextmanager
def _giving_way() -> Iterator[None]:
    """While the block runs, the event loop waits less long for a thread that reckons.

    Python takes the interpreter from a thread only so often. A request waits for it several times.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _encoded(version: store.Version, content: str) -> Response:
    """A Connector as the API shows it: its id and version before what the version holds."""
    body = b'{"id":"%b","version":%d,%b' % (version[0].encode(), version[1], content[1:].encode())
    return Response(200, body, etag=tag_of(body))
