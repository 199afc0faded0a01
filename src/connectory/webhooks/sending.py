"""Sends what webhooks tell: on each node, what it has claimed, so much of it at once."""

import asyncio
import contextlib
import functools
import logging
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection

from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.periodic import Periodic
from connectory.database.sealed import owner_of
from connectory.database.secrets import KeyRing, SecretKeysError
from connectory.kernel.clock import DAY, SECOND, Clock
from connectory.kernel.threads import DaemonThreads
from connectory.webhooks import store
from connectory.webhooks.addresses import Target, WebhookAddressRefused, parse_target, pinned
from connectory.webhooks.model import JITTER, Attempt, Delivery, Webhook, after, headers
from connectory.webhooks.posting import Answer, post

log = logging.getLogger(__name__)

#: How many attempts are under way at once, and how many of them by one webhook.
MOST: Final = 16
PER_WEBHOOK: Final = 4
ATTEMPT_SECONDS: Final = 10.0
#: What a node has claimed and not settled by then is another's.
_LEASE: Final = 60 * SECOND
_LOOK_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 600.0
#: How long the end of a server waits for a look, which may hang with the database.
_LAST_SECONDS: Final = 1.0
_SWEPT: Final = 1_000
_KEPT: Final = 30 * DAY


class Counted(Struct):
    """How many attempts there were on this node since its start."""

    delivered: int = 0
    refused: int = 0


class _Claimed(Struct, frozen=True):
    """A delivery of this node's, and what it is sent with; None where no key opens it."""

    delivery: Delivery
    webhook: Webhook
    secret: bytes | None


class Sender:
    """Sends deliveries while it runs."""

    def __init__(
        self, database: Database, clock: Clock, key_ring: Callable[[], KeyRing], *, private: bool
    ) -> None:
        """Make it; with `private`, private addresses are reached, too."""
        self._database = database
        self._clock = clock
        self._key_ring = key_ring
        self._private = private
        # On the embedded database nobody else sends: what is claimed, a process before had claimed.
        self._released = not database.is_sqlite
        self._looking = Periodic(
            self._look,
            every=_LOOK_SECONDS,
            failure="what webhooks tell cannot be looked for",
        )
        self._sweeping = Periodic(
            self._sweep, every=_SWEEP_SECONDS, failure="what webhooks told was not removed"
        )
        #: Looks now: something is due.
        self.look = self._looking.now
        # Of its own: a resolver that hangs keeps nothing else waiting, and no server from its end.
        self._threads = DaemonThreads(MOST, name="webhooks")
        self._under_way: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        # To read the authorities of the web takes a while; who has no webhook need not wait for it.
        self._tls = functools.cache(ssl.create_default_context)
        self.counted = Counted()

    def retire(self) -> None:
        """Begin no attempt any more."""
        self._looking.retire()

    async def resolved(self, target: Target) -> tuple[str, ...]:
        """The network addresses of a receiver.

        Raises:
            WebhookAddressRefused: it has none, or one of them is not to be reached.
        """
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await self._threads.run(
                    functools.partial(pinned, target, private=self._private)
                )
        except TimeoutError:
            raise WebhookAddressRefused(
                f"the addresses of {target.host} were not found in {ATTEMPT_SECONDS:g} s"
            ) from None

    @contextlib.asynccontextmanager
    async def sending(self, left: Callable[[], float]) -> AsyncIterator[None]:
        """Send while the block runs; then wait for what is under way, as long as `left` tells."""
        self._looking.start()
        try:
            async with self._sweeping.going_on():
                yield
        finally:
            await self._looking.end(_LAST_SECONDS)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=left())
            for task in self._tasks:
                task.cancel()

    async def _look(self) -> None:
        """Begin what is due, as far as there is room."""
        if not self._released:
            await self._database.writing(store.release_all, self._clock())
            self._released = True
        while (room := MOST - len(self._tasks)) > 0 and not self._looking.retired:
            if not await self._database.reading(store.is_due, self._clock()):
                return
            claimed = await self._database.writing(self._claim, room, dict(self._under_way))
            if not claimed:
                return
            for each in claimed:
                self._under_way[each.webhook.id] += 1
                task = asyncio.create_task(self._send(each))
                self._tasks.add(task)
                task.add_done_callback(functools.partial(self._ended, each.webhook.id))

    def _claim(self, connection: Connection, room: int, busy: dict[str, int]) -> list[_Claimed]:
        now = self._clock()
        found = store.claim(
            connection,
            now,
            until=now + _LEASE,
            limit=room,
            per_webhook=PER_WEBHOOK,
            busy=busy,
        )
        webhooks = store.with_ids(connection, {each.webhook_id for each in found})
        gone = [each.id for each in found if each.webhook_id not in webhooks]
        if gone:
            store.drop(connection, gone)
        secrets = {id_: self._secret(webhook) for id_, webhook in webhooks.items()}
        return [
            _Claimed(each, webhooks[each.webhook_id], secrets[each.webhook_id])
            for each in found
            if each.webhook_id in webhooks
        ]

    def _secret(self, webhook: Webhook) -> bytes | None:
        try:
            return self._key_ring().open(webhook.sealed, owner(webhook))
        except SecretKeysError as error:
            log.warning("webhook %s cannot be signed: %s", webhook.id, error)
            return None

    def _ended(self, webhook_id: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._under_way[webhook_id] -= 1
        if not self._under_way[webhook_id]:
            del self._under_way[webhook_id]
        if not task.cancelled() and task.exception() is not None:
            log.error("a webhook's delivery failed", exc_info=task.exception())
        self.look()

    async def _send(self, claimed: _Claimed) -> None:
        loop = asyncio.get_running_loop()
        began, moment = self._clock(), loop.time()
        answer = await self._answer(claimed)
        attempt = Attempt(
            at=began,
            status=answer.status,
            milliseconds=round((loop.time() - moment) * 1_000),
            answer=answer.text,
        )
        jitter = random.uniform(0, JITTER)  # noqa: S311 - no secret
        ended = after(claimed.delivery, attempt, self._clock(), jitter)
        if attempt.delivered:
            self.counted.delivered += 1
        else:
            self.counted.refused += 1
            log.info(
                "webhook %s: delivery %s: %s %s",
                claimed.webhook.id,
                claimed.delivery.id,
                answer.status or "no answer:",
                "" if answer.status else answer.text,
            )
        try:
            await self._database.writing(store.settle, claimed.delivery, ended)
        except DatabaseUnavailable as error:
            # It comes again when what was claimed is let go.
            log.warning("what became of a webhook's delivery was not written: %s", error)

    async def _answer(self, claimed: _Claimed) -> Answer:
        if claimed.secret is None:
            return Answer(text="the key that the webhook's secret is encrypted with is missing")
        signed = headers(claimed.delivery, claimed.secret, self._clock())
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                target = parse_target(claimed.webhook.url, private=self._private)
                addresses = await self.resolved(target)
                tls = await self._threads.run(self._tls) if target.secure else None
                return await post(target, addresses, claimed.delivery.payload, signed, tls)
        except WebhookAddressRefused as refused:
            return Answer(text=str(refused))
        except TimeoutError:
            return Answer(text=f"no answer within {ATTEMPT_SECONDS:g} s")

    async def _sweep(self) -> None:
        before = self._clock() - _KEPT
        while await self._database.writing(store.sweep, before, _SWEPT) >= _SWEPT:
            pass


def owner(webhook: Webhook) -> str:
    """What the secret of a webhook is bound to."""
    return owner_of("webhooks", webhook.id, webhook.project, webhook.url)
