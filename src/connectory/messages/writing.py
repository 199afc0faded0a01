"""Messages become durable: many publishers and deliveries share one transaction.

One thread writes. What comes while it does is the next batch, so that a disk that takes long makes
batches larger and nobody's wait much longer.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from connectory.database.engine import Database, DatabaseUnavailable
from connectory.kernel.clock import MILLISECOND, Clock
from connectory.messages import store, telling
from connectory.messages.model import Keeping, Message, Outcome

log = logging.getLogger(__name__)

#: The most messages, and the most outcomes, of one transaction.
_BATCH: Final = 5_000
_RETRY_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 2.0


class Published(Struct, eq=False):
    """Messages that a publisher waits for: each a `Content` as JSON.

    `done` has their ids; None where there is no such topic.
    """

    topic: str
    contents: Sequence[bytes]
    correlation_id: str
    done: "asyncio.Future[list[int] | None]"


class Batch(Struct):
    """What one transaction made durable."""

    messages: list[Message]
    outcomes: list[Outcome]


class Writer:
    """Writes what is published, and what deliveries come to."""

    def __init__(
        self, database: Database, clock: Clock, keeping: Keeping, written: Callable[[Batch], None]
    ) -> None:
        """Make it; `written` hears in the event loop what has become durable, in that order."""
        self._database = database
        self._clock = clock
        self._keeping = keeping
        self._written = written
        self._lock = threading.Lock()
        self._published: list[Published] = []
        self._outcomes: list[Outcome] = []
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def publish(
        self, topic: str, contents: Sequence[bytes], correlation_id: str
    ) -> list[int] | None:
        """Accept messages; their ids when they are durable, None where there is no such topic.

        Raises:
            DatabaseUnavailable: they could not be written.
        """
        loop = asyncio.get_running_loop()
        waiting = Published(topic, contents, correlation_id, loop.create_future())
        if self._loop is None:
            raise DatabaseUnavailable("the server is stopping")
        with self._lock:
            self._published.append(waiting)
        self._wake.set()
        return await waiting.done

    def settle(self, outcome: Outcome) -> None:
        """Have what a delivery came to written; `written` hears when it is."""
        with self._lock:
            self._outcomes.append(outcome)
        self._wake.set()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write while the block runs; at its end, what is left."""
        self._loop = asyncio.get_running_loop()
        self._stopped.clear()
        thread = threading.Thread(target=self._write_forever, name="messages", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._loop = None
            self._stopped.set()
            self._wake.set()
            thread.join(_LAST_SECONDS)  # a database that hangs keeps it longer, but not us

    def _write_forever(self) -> None:
        loop = self._loop
        if loop is None:
            return
        while True:
            self._wake.wait()
            self._wake.clear()
            stopped = self._stopped.is_set()
            while self._write(loop):
                pass
            if stopped:
                return

    def _write(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Write a batch; whether there may be more."""
        with self._lock:
            published, self._published = _first(self._published)
            outcomes, self._outcomes = self._outcomes[:_BATCH], self._outcomes[_BATCH:]
        if not published and not outcomes:
            return False
        try:
            with self._database.write() as connection:
                answers, messages = self._append(connection, published)
                if outcomes:
                    telling.tell_of_outcomes(connection, outcomes, self._clock())
                    store.settle(connection, outcomes)
        except Exception as error:  # noqa: BLE001 - whatever it is, publishers wait to hear of it
            self._failed(loop, published, outcomes, error)
            return False
        batch = Batch(messages, outcomes)
        _call(loop, self._hear, batch, published, answers)
        return True

    def _append(
        self, connection: Connection, published: Sequence[Published]
    ) -> tuple[list[list[int] | None], list[Message]]:
        """Write messages; the ids that each publisher gets, and the messages."""
        if not published:
            return [], []
        topics = store.held_names(connection, {each.topic for each in published})
        now = self._clock() // MILLISECOND * MILLISECOND  # as Pub/Sub tells it
        expires_at = now + self._keeping.waiting
        rows: list[dict[str, Any]] = []
        for each in published:
            place = topics.get(each.topic)
            if place is None:
                continue
            rows += [
                store.new_row(
                    application_id=place[0],
                    deployment_id=place[1],
                    content=content.decode(),
                    correlation_id=each.correlation_id,
                    now=now,
                    expires_at=expires_at,
                )
                for content in each.contents
            ]
        ids = store.append(connection, rows) if rows else []
        messages = [_message(id_, row) for id_, row in zip(ids, rows, strict=True)]
        answers: list[list[int] | None] = []
        start = 0
        for each in published:
            if each.topic in topics:
                answers.append(ids[start : start + len(each.contents)])
                start += len(each.contents)
            else:
                answers.append(None)
        return answers, messages

    def _failed(
        self,
        loop: asyncio.AbstractEventLoop,
        published: Sequence[Published],
        outcomes: list[Outcome],
        error: Exception,
    ) -> None:
        """Tell the publishers, and try again to write the outcomes, a little later."""
        if isinstance(error, DatabaseUnavailable):
            log.warning("messages cannot be written now: %s", error)
        else:
            log.error("messages could not be written", exc_info=error)
        _call(loop, _refuse, published, error)
        with self._lock:
            self._outcomes = outcomes + self._outcomes
        if not self._stopped.wait(_RETRY_SECONDS):
            self._wake.set()

    def _hear(
        self,
        batch: Batch,
        published: Sequence[Published],
        answers: Sequence[list[int] | None],
    ) -> None:
        for each, answer in zip(published, answers, strict=True):
            if not each.done.done():
                each.done.set_result(answer)
        self._written(batch)


def _refuse(published: Sequence[Published], error: Exception) -> None:
    for each in published:
        if not each.done.done():
            each.done.set_exception(error)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
        loop.call_soon_threadsafe(function, *args)


def _first(published: list[Published]) -> tuple[list[Published], list[Published]]:
    """Publishers whose messages make one batch, and the others."""
    count = 0
    for place, each in enumerate(published):
        count += len(each.contents)
        if count >= _BATCH:
            return published[: place + 1], published[place + 1 :]
    return published, []


def _message(id_: int, row: dict[str, Any]) -> Message:
    return Message(
        id=id_,
        application_id=row["application_id"],
        deployment_id=row["deployment_id"],
        due_at=row["due_at"],
        content=msgspec.Raw(row["content"].encode()),
        correlation_id=row["correlation_id"],
        published_at=row["published_at"],
        expires_at=row["expires_at"],
    )
