"""How a node's index of the catalogue follows the change feed, and is kept quick.

What changes is found as soon as it was appended to the index: searches look through its texts.
What takes longer comes after, in the background: a few changes are taken to pieces and put to the
others; after many, another index is built beside this one and takes its place.

Imports prepare their rows before anybody may see them (`preparing`). They are appended meanwhile,
not yet to be found, so that hardly anything is left to do when the feed comes to them.
(docs/decisions/0037-found-before-indexed.md)
"""

import asyncio
import contextlib
import functools
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import sqlalchemy
from msgspec import Struct

from connectory.catalogue import preparing, store
from connectory.catalogue.cache import ResponseCache
from connectory.catalogue.index import Placed, SearchIndex
from connectory.catalogue.model import Document
from connectory.database import feed
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.periodic import Periodic
from connectory.http.answers import Response, tag_of

#: More changes at once are found only when an index was built with them: to look through so many
#: texts takes too long.
MOST_SCANNED = 150_000
#: Another index is built when more than so many Connectors and this share of all were taken in
#: since this one was: then other terms are frequent, and many documents are no longer live.
MOST_GROWN = 2_000
SHARE_GROWN = 0.25
#: So many texts at once are taken to pieces, and so many prepared rows are read.
_AT_ONCE = 4_000
#: How long the event loop may be kept by changes before it serves requests again.
_SLICE_SECONDS = 0.005
#: How long the end of a server waits for a step of cleaning up; the database may hang.
_LAST_SECONDS = 1.0
#: How often it is looked whether there is something to be done about the index, unasked.
_LOOK_SECONDS = 5.0

log = logging.getLogger(__name__)


class _Whole(Struct, frozen=True):
    """All that is kept in memory, made anew."""

    index: SearchIndex
    cache: ResponseCache[int]


class _Ahead(Struct):
    """What was taken in of an import that is not shown yet: its rows up to an id.

    Attributes:
        mark: What the feed marks the rows with.
        last: The largest id among them.
        numbers: Of the documents, in the index.
        placed: What it takes to publish them, or the most of them.
        waits: Whether all was taken in that had been prepared when it was last looked for.
    """

    mark: int
    last: str = ""
    numbers: list[int] = []
    placed: Placed | None = None
    waits: bool = False


class _Piece(Struct, frozen=True):
    """More of an import that is not shown yet; no documents: nothing more for now."""

    mark: int | None
    documents: Sequence[Document] = ()


class _News(Struct, frozen=True):
    """Documents that changed; without those taken in ahead, where these are shown now."""

    documents: Sequence[Document]
    shown: _Ahead | None


class _Ended(Exception):
    """The server stops."""


class Following:
    """The index of the published Connectors, and the bodies of those that are asked for.

    It is a `Subscriber` of the change feed, and looks `Ahead` of it.
    """

    def __init__(self, database: Database, cache_bytes: int) -> None:
        self._database = database
        self._cache_bytes = cache_bytes
        self.index = SearchIndex()
        #: By the number of the document.
        self.cache: ResponseCache[int] = ResponseCache(cache_bytes)
        #: The numbers of live public documents that were asked for, by id and by `key={key}`;
        #: forgotten with every change.
        self.public: dict[str, int] = {}
        #: Held by whoever changes the index, or puts another one in its place. While something is
        #: taken in ahead, no other one does.
        self._changing = asyncio.Lock()
        #: Held while places are worked out: what was worked out ahead need not be again.
        self._placing = asyncio.Lock()
        self._ahead: _Ahead | None = None
        #: The documents that were taken in while another index is being built; None: none is.
        self._missed: list[Document] | None = None
        self._keeping = Periodic(
            self._keep_quick,
            every=_LOOK_SECONDS,
            failure="the index of the catalogue is not kept quick",
        )
        #: Set when the server stops, and what was begun is of no use any more.
        self._ended = threading.Event()

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """While the block runs, keep the index quick, and remove what a broken import has left."""
        sweep = functools.partial(preparing.sweep, self._database, self._ended)
        sweeping = asyncio.create_task(self._swept(sweep), name="what imports have left")
        try:
            async with self._keeping.going_on():
                yield
        finally:
            self._ended.set()
            await asyncio.wait({sweeping}, timeout=_LAST_SECONDS)
            sweeping.cancel()

    def read(self, connection: sqlalchemy.Connection, since: int | None) -> Any:
        """The changed Connectors, or a whole new index (see `database.feed.Subscriber`)."""
        if since is None or store.count_changed(connection, since) > MOST_SCANNED:
            return self._whole(connection)
        ahead = self._ahead
        if ahead is None or not _is_shown(connection, ahead):
            return _News(store.documents(connection, since), None)
        beyond = store.documents(connection, since, besides=(ahead.mark, ahead.last))
        return _News(beyond, ahead)

    async def apply(self, changes: Any, *, anew: bool) -> None:  # noqa: ARG002 - `read` knows
        """Take in what `read` found (see `database.feed.Subscriber`)."""
        async with self._changing:
            if isinstance(changes, _Whole):
                self._take_over(changes)
            else:
                await self._take_in(changes)

    def read_ahead(self, connection: sqlalchemy.Connection, mark: int | None) -> Any:
        """More of what an import has prepared (see `database.feed.Ahead`)."""
        ahead = self._ahead
        if ahead is None or ahead.mark != mark:
            if mark is None:
                return None if ahead is None else _Piece(None)
            ahead = _Ahead(mark)
        if len(ahead.numbers) >= MOST_SCANNED:
            return None
        rows = store.prepared(connection, mark, after=ahead.last, limit=_AT_ONCE)
        # A small import is over before it would help.
        return _Piece(mark, rows) if ahead.numbers or len(rows) == _AT_ONCE else None

    async def apply_ahead(self, piece: Any) -> bool:
        """Take in what `read_ahead` found, not yet to be found (see `database.feed.Ahead`)."""
        async with self._changing:
            if self._ahead is not None and self._ahead.mark != piece.mark:
                self._ahead = None  # that import has ended, and nobody will see it
                self._keeping.now()
            if piece.mark is None:
                return False
            if self._ahead is None:
                self._ahead = _Ahead(piece.mark)
            if piece.documents:
                self._ahead.numbers += await _staged(self.index, piece.documents)
                self._ahead.last = piece.documents[-1].id
            self._ahead.waits = len(piece.documents) < _AT_ONCE
            if self._ahead.waits:
                self._keeping.now()
            return not self._ahead.waits

    async def _take_in(self, news: _News) -> None:
        numbers = await _staged(self.index, news.documents)
        if news.shown is not None:
            numbers = news.shown.numbers + numbers
            self._ahead = None
            # An index that is being built may lack them: build another one.
            self._missed = None
        if numbers:
            self.index.publish(await self._placed(numbers, news.shown))
            self.public.clear()
            self._keeping.now()
        if self._missed is not None:
            self._missed += news.documents

    async def _placed(self, numbers: Sequence[int], ahead: _Ahead | None) -> Placed:
        """What it takes to publish documents, of which some may have been placed ahead."""
        async with self._placing:
            if ahead is None:
                return await asyncio.to_thread(self.index.placed, numbers)
            ahead.placed = await asyncio.to_thread(self.index.placed, numbers, ahead.placed)
            return ahead.placed

    def _take_over(self, whole: _Whole) -> None:
        """Have a new index in place of the one there was, and of the one that is being built."""
        # Counted on: what is told of hits is told since the start.
        whole.cache.hits, whole.cache.misses = self.cache.hits, self.cache.misses
        self.index, self.cache = whole.index, whole.cache
        self.public.clear()
        self._missed, self._ahead = None, None
        # Nothing of it is garbage: the collector need not walk a million objects again.
        gc.freeze()

    async def _swept(self, sweep: Callable[[], None]) -> None:
        try:
            await self._database.in_thread(sweep)
        except DatabaseUnavailable as error:
            log.warning("what a broken import has left stays for the next start: %s", error)

    async def _keep_quick(self) -> None:
        """Build another index, or absorb some of what is scanned, where either is due."""
        index, ahead = self.index, self._ahead
        if ahead is not None:
            # The rest waits until that import is shown, or over.
            if ahead.waits:
                await self._placed(tuple(ahead.numbers), ahead)
        elif index.grown > MOST_GROWN + SHARE_GROWN * len(index):
            await self._build_anew()
            self._keeping.now()
        elif index.scanned:
            pieces = await asyncio.to_thread(index.pieces, _AT_ONCE)
            async with self._changing:
                if index is self.index:
                    await _in_slices(index.absorb(pieces))
            self._keeping.now()

    async def _build_anew(self) -> None:
        """Build another index beside the one that is searched, and have it in that one's place."""

        def going_on() -> None:
            if self._ended.is_set():
                raise _Ended

        missed = self._missed = []
        whole = await self._database.reading(self._whole, going_on)
        while True:
            async with self._changing:
                if self._missed is not missed or self._ahead is not None:
                    self._missed = None
                    return  # it lacks something: another one is built, now or later
                if not missed:
                    self._take_over(whole)
                    return
                latest = list(missed)
                missed.clear()
            await asyncio.to_thread(_take_in, whole.index, latest)

    def _whole(
        self, connection: sqlalchemy.Connection, going_on: Callable[[], None] = lambda: None
    ) -> _Whole:
        """An index of all Connectors, with as many of their bodies as the cache can keep."""
        cache: ResponseCache[int] = ResponseCache(self._cache_bytes)

        def kept() -> Iterator[Document]:
            for number, (document, content) in enumerate(store.everything(connection)):
                if cache.has_room(len(content)):
                    cache.put(number, encoded((document.id, document.version), content))
                yield document

        return _Whole(SearchIndex(kept(), going_on=going_on), cache)


def encoded(version: store.Version, content: str) -> Response:
    """A Connector as the API shows it: its id and version before what the version holds."""
    body = b'{"id":"%b","version":%d,%b' % (version[0].encode(), version[1], content[1:].encode())
    return Response(200, body, etag=tag_of(body))


def _is_shown(connection: sqlalchemy.Connection, ahead: _Ahead) -> bool:
    """Whether all that was taken in ahead is there now, and is still as it was.

    An import that was given up has no rows any more, and one that was shown may have changed since.
    """
    _, head = feed.position(connection)
    return ahead.mark <= head and store.count_marked(
        connection, ahead.mark, last=ahead.last
    ) == len(ahead.numbers)


async def _staged(index: SearchIndex, documents: Sequence[Document]) -> list[int]:
    first = index.taken_in
    await _in_slices(index.stage(documents))
    return list(range(first, index.taken_in))


async def _in_slices(steps: Iterator[None]) -> None:
    """Take steps without keeping the event loop from its requests for long."""
    began = time.monotonic()
    for _ in steps:
        if time.monotonic() - began > _SLICE_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()


def _take_in(index: SearchIndex, documents: Sequence[Document]) -> None:
    """Take documents in where nobody searches yet."""
    first = index.taken_in
    for _ in index.stage(documents):
        pass
    index.publish(index.placed(range(first, index.taken_in)))
