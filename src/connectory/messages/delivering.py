"""Deliveries: each message that is due goes to its application, until that acknowledges it.

All of it lives in the event loop. A message is in memory from when it is read, or published here,
until what became of it is durable; meanwhile nobody delivers it again. So a message is delivered
after its acknowledgement was durable only by a node that died in between.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.periodic import Periodic
from connectory.gateway.model import Route
from connectory.gateway.posting import Answer, Post, post
from connectory.gateway.server import Gateway
from connectory.kernel.clock import MILLISECOND, SECOND, Clock
from connectory.messages import store
from connectory.messages.model import (
    ACKNOWLEDGE_SECONDS,
    ACKNOWLEDGING,
    Attempt,
    Keeping,
    Message,
    Outcome,
    Topic,
    Window,
    envelope,
    outcome,
)
from connectory.messages.writing import Batch, Writer

log = logging.getLogger(__name__)

#: As Pub/Sub names itself.
AGENT: Final = "CloudPubSub-Google"
#: How many messages to one application are in memory, but for those under way.
_BUFFER: Final = 500
#: How often a node asks which topics there are, and what is due that it does not know of.
_LOOK_SECONDS: Final = 0.5
#: An application that does not acknowledge in time may go on for so long.
_REQUEST_SECONDS: Final = 300.0


class Counted(Struct):
    """What was counted since the start."""

    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    died: int = 0


class Deliveries:
    """The deliveries of a node: of those applications that it looks after."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        gateway: Gateway,
        *,
        keeping: Keeping,
        has: Callable[[str], bool],
    ) -> None:
        """Make it; `has` tells whether this node looks after an application, by its id."""
        self._database = database
        self.clock = clock
        self.gateway = gateway
        self.keeping = keeping
        self._has = has
        self.writer = Writer(database, clock, keeping, self._written)
        self._of: dict[str, _Subscription] = {}
        #: All topics by their names, as they were a moment ago.
        self.topics: dict[str, Topic] = {}
        self._looking = Periodic(
            self._look, every=_LOOK_SECONDS, failure="topics cannot be looked for"
        )
        #: Looks for topics and messages now: something has changed.
        self.look = self._looking.now
        #: The same, from any thread.
        self.look_soon = self._looking.soon
        self.counted = Counted()

    def start(self) -> None:
        """Begin to deliver."""
        self._looking.start()

    def retire(self) -> None:
        """Begin no delivery any more; `stop` is to follow."""
        self._looking.retire()
        for each in self._of.values():
            each.leave()

    async def stop(self, seconds: float) -> None:
        """Begin no delivery any more, and wait for those under way, so many seconds at most."""
        self.retire()
        await self._looking.end()
        tasks = [task for each in self._of.values() for task in each.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()

    def busy(self, application_id: str) -> bool:
        """Whether a delivery to an application is under way, or not durable yet."""
        subscription = self._of.get(application_id)
        return subscription is not None and bool(subscription.known)

    @property
    def applications(self) -> list[str]:
        """The applications that are delivered to, by their ids."""
        return list(self._of)

    def takes(self, application_id: str) -> bool:
        """Whether deliveries to an application may begin: what does not run yet is waited for."""
        serves = self.gateway.runtime.serving(application_id) is not None
        return serves and not self._looking.retired and self._has(application_id)

    async def due(self, application_id: str, limit: int) -> list[Message]:
        """Messages that are due."""
        now = self.clock()
        return await self._database.reading(store.due, application_id, now, limit)

    def _written(self, batch: Batch) -> None:
        """Hear what is durable: new messages may be delivered, and ended ones are forgotten."""
        self.counted.published += len(batch.messages)
        awake: set[_Subscription] = set()
        for message in batch.messages:
            subscription = self._of.get(message.application_id)
            if subscription is not None:
                subscription.take(message)
                awake.add(subscription)
        for each in batch.outcomes:
            subscription = self._of.get(each.message.application_id)
            if subscription is not None:
                subscription.settled(each)
        for subscription in awake:
            subscription.pump()

    async def _look(self) -> None:
        self._take_in(await self._database.reading(store.known_topics, self.clock()))

    def _take_in(self, known: list[store.Known]) -> None:
        self.topics = {each.topic.name: each.topic for each in known}
        mine = {
            each.topic.application_id: each
            for each in known
            if each.topic.delivers and self.takes(each.topic.application_id)
        }
        for application_id in [each for each in self._of if each not in mine]:
            self._of[application_id].leave()
            if not self.busy(application_id):
                del self._of[application_id]
        for application_id, each in mine.items():
            subscription = self._of.get(application_id)
            if subscription is None:
                subscription = self._of[application_id] = _Subscription(self, each.topic)
            subscription.topic = each.topic
            if each.due:
                subscription.more = True
                subscription.pump()


class _Subscription:
    """The deliveries to one application."""

    def __init__(self, deliveries: Deliveries, topic: Topic) -> None:
        self.topic = topic
        #: Whether there may be messages in the database that are due and not here.
        self.more = True
        #: Those that are here, by their ids: in the buffer, under way, or not durable yet.
        self.known: set[int] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._deliveries = deliveries
        self._buffer: deque[Message] = deque()
        self._window = Window()
        self._paused_until = 0.0
        self._fetching = False
        #: Those that became durable while messages were being read, which may have been read still.
        self._settled_meanwhile: set[int] = set()
        self._fetch_task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0

    def take(self, message: Message) -> None:
        """Take a message that was just published; where there are many, it is read later."""
        if self.more or len(self._buffer) >= _BUFFER:
            self.more = True
        elif message.id not in self.known:
            self.known.add(message.id)
            self._buffer.append(message)

    def settled(self, ended: Outcome) -> None:
        """What became of a message is durable."""
        id_ = ended.message.id
        self.known.discard(id_)
        if self._fetching:
            self._settled_meanwhile.add(id_)
        if ended.due_at is not None:
            self._look_at(ended.due_at)

    def leave(self) -> None:
        """Begin no more: another node delivers, or nobody does."""
        self.known.difference_update(each.id for each in self._buffer)
        self._buffer.clear()

    def pump(self) -> None:
        """Begin as many deliveries as the window allows."""
        deliveries = self._deliveries
        if not deliveries.takes(self.topic.application_id):
            self.leave()
            return
        loop = asyncio.get_running_loop()
        pause = self._paused_until - loop.time()
        if pause > 0:
            self._wake_in(pause)
            return
        while self._buffer and len(self.tasks) < self._window.size:
            task = loop.create_task(self._deliver(self._buffer.popleft()))
            self.tasks.add(task)
            task.add_done_callback(self._ended)
        if self.more and not self._fetching and len(self._buffer) <= _BUFFER // 4:
            self._fetching, self.more = True, False
            # Not one of the tasks that a stop waits for: the database may hang.
            self._fetch_task = loop.create_task(self._fetch())
            self._fetch_task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a delivery failed", exc_info=task.exception())
        self.pump()

    async def _fetch(self) -> None:
        limit = len(self.known) + _BUFFER
        try:
            found = await self._deliveries.due(self.topic.application_id, limit)
        except DatabaseUnavailable:
            return  # the next look finds it
        finally:
            gone, self._settled_meanwhile = self._settled_meanwhile, set()
            self._fetching = False
        self.more = self.more or len(found) == limit
        for message in found:
            if message.id not in self.known and message.id not in gone:
                self.known.add(message.id)
                self._buffer.append(message)

    async def _deliver(self, message: Message) -> None:
        deliveries, topic = self._deliveries, self.topic
        began = deliveries.clock()
        try:
            answer = await self._answer(message, topic)
        except KeyError:
            # It has gone in this moment; where it is served again, it is delivered.
            self.known.discard(message.id)
            self.more = True
            return
        except asyncio.CancelledError:
            self.known.discard(message.id)
            raise
        except Exception:
            log.exception("a delivery failed")
            answer = Answer(status=0, text="a fault of the server", seconds=0.0)
        attempt = Attempt(
            at=began,
            status=answer.status,
            milliseconds=round(answer.seconds * 1_000),
            answer=answer.text,
        )
        ended = outcome(
            message, attempt, topic.retry_policy, deliveries.clock(), deliveries.keeping
        )
        self._heed(attempt.status)
        counted = deliveries.counted
        if attempt.status in ACKNOWLEDGING:
            counted.acknowledged += 1
        else:
            counted.refused += 1
            counted.died += ended.due_at is None
        deliveries.writer.settle(ended)

    async def _answer(self, message: Message, topic: Topic) -> Answer:
        asked = Post(
            route=route_of(topic),
            path=topic.endpoint,
            body=envelope(message, topic),
            correlation_id=message.correlation_id,
            agent=AGENT,
            seconds=ACKNOWLEDGE_SECONDS,
            request_seconds=_REQUEST_SECONDS,
            processing=True,
        )
        return await post(self._deliveries.gateway, asked)

    def _heed(self, status: int) -> None:
        if status in ACKNOWLEDGING:
            self._window.acknowledged()
            return
        pause = self._window.refused(answered=status > 0)
        if pause:
            loop = asyncio.get_running_loop()
            self._paused_until = max(self._paused_until, loop.time() + pause)

    def _look_at(self, due_at: int) -> None:
        """Look for messages at an instant, where that is sooner than everybody looks."""
        seconds = (due_at - self._deliveries.clock() + MILLISECOND) / SECOND
        if seconds < _LOOK_SECONDS:
            self._wake_in(max(seconds, 0.0))

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._timer is None or self._wakes_at > at:
            if self._timer is not None:
                self._timer.cancel()
            # Not asked of the timer: uvloop's for no time at all cannot tell.
            self._timer, self._wakes_at = loop.call_later(seconds, self._woken), at

    def _woken(self) -> None:
        self._timer, self.more = None, True
        self.pump()


def route_of(topic: Topic) -> Route:
    """An event application, as the gateway names it in logs; nobody calls it from outside."""
    return Route(
        application_id=topic.application_id,
        deployment_id=topic.deployment_id,
        application=topic.application,
        slug="",
        prefix="event",
    )
