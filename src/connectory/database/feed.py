"""The change feed: how every node hears what any node changed, in order, none skipped.

Whoever changes something that nodes keep in memory calls `advance` in the same transaction and
marks the changed rows with the number. The counter is one row, so its lock serializes those
transactions up to their commit: a number becomes visible only after all smaller ones. A `Follower`
polls the counter and reads the rows marked since; its subscribers apply them on the event loop.
A restore changes the feed's epoch, which makes followers load everything anew.
(docs/decisions/0003-one-change-feed.md)

Large changes are prepared: their rows are marked with a number far ahead, which is `reserve`d for
them, and nobody shows what is marked so; a follower may look `Ahead` and get ready for it. One row
says that the feed has reached it, and all of it is there.
(docs/decisions/0036-imports-are-prepared-in-place.md)
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import sqlalchemy

from connectory.database.engine import Database
from connectory.database.periodic import Periodic
from connectory.database.tables import feed
from connectory.kernel import ids

#: How often a follower asks, and how old what it knows may be before it must not be relied on.
POLL_SECONDS = 0.2
FRESH_SECONDS = 1.0

#: How far ahead a reserved number is, at least: more than others change while it is.
_AHEAD = 2**32


def advance(connection: sqlalchemy.Connection) -> int:
    """Take the next number of the feed; call it as late in the transaction as can be.

    All other transactions that want a number wait from here to this one's commit.
    """
    return int(
        connection.execute(
            feed.update().values(head=feed.c.head + 1).returning(feed.c.head)
        ).scalar_one()
    )


def hold(connection: sqlalchemy.Connection) -> tuple[str, int]:
    """The feed's position, which nobody else changes before this transaction ends.

    For a write that depends on what it has read: on PostgreSQL, what `position` tells may be old
    by the time that `advance` returns, because it waits for others meanwhile.
    """
    # SQLite has no such clause and needs none: its write transactions run one at a time.
    query = sqlalchemy.select(feed.c.epoch, feed.c.head).with_for_update()
    row = connection.execute(query).one()
    return row.epoch, row.head


def begin_epoch(connection: sqlalchemy.Connection, *, head: int) -> None:
    """Start the feed's life after a restore: all followers load anew.

    `head` is the largest number that any row is marked with, so that later changes get larger ones.
    """
    values = {"epoch": ids.new_id(), "head": head, "reserved": None}
    connection.execute(feed.update().values(values))


def reserve(connection: sqlalchemy.Connection) -> int:
    """Take a number far ahead, for rows that nobody is to see before `reach` is told of it.

    One number can be reserved at a time; whoever asks sees to it that nobody else does. It was
    never reserved before: whoever looks ahead of the feed knows by it whose rows they are.
    """
    number = feed.c.head + _AHEAD + secrets.randbelow(_AHEAD)
    query = feed.update().values(reserved=number).returning(feed.c.reserved)
    return int(connection.execute(query).scalar_one())


def reserved(connection: sqlalchemy.Connection) -> int | None:
    """The number that is reserved, if one is."""
    number: int | None = connection.execute(sqlalchemy.select(feed.c.reserved)).scalar_one()
    return number


def disturb(connection: sqlalchemy.Connection) -> None:
    """Tell whoever has reserved a number that some of what it prepared is gone."""
    connection.execute(feed.update().values(reserved=feed.c.reserved + 1))


def reach(connection: sqlalchemy.Connection, number: int) -> None:
    """Go on to a reserved number, as late in the transaction as can be: its rows are there."""
    connection.execute(feed.update().values(head=number, reserved=None))


def give_up(connection: sqlalchemy.Connection) -> None:
    """Reserve nothing any more; no row may be marked beyond the head."""
    connection.execute(feed.update().values(reserved=None))


def is_reached(mark: "sqlalchemy.ColumnElement[int]") -> "sqlalchemy.ColumnElement[bool]":
    """A condition: rows with this mark are there, and not only prepared."""
    return mark <= sqlalchemy.select(feed.c.head).scalar_subquery()


def position(connection: sqlalchemy.Connection) -> tuple[str, int]:
    """The feed's epoch and its last number."""
    row = connection.execute(sqlalchemy.select(feed.c.epoch, feed.c.head)).one()
    return row.epoch, row.head


class Subscriber(Protocol):
    """Something in memory that mirrors rows of the database."""

    def read(self, connection: sqlalchemy.Connection, since: int | None) -> Any:
        """In a worker thread: what changed after `since`; None asks for everything."""

    async def apply(self, changes: Any, *, anew: bool) -> None:
        """On the event loop: take the changes in; `anew` forgets what was known before."""


class Ahead(Protocol):
    """Something that gets ready for rows that are only prepared, before the feed comes to them."""

    def read_ahead(self, connection: sqlalchemy.Connection, mark: int | None) -> Any:
        """In a worker thread: more of the rows with the reserved number; None: nothing to do.

        Without a `mark` no number is reserved: what was read ahead is shown, or given up.
        """

    async def apply_ahead(self, piece: Any) -> bool:
        """On the event loop: take that in. Whether more of it is to be read at once."""


class Freshness:
    """When this node last knew everything that had been committed."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def mark(self, asked_at: float) -> None:
        """Everything committed before this instant of `time.monotonic` has been applied."""
        self._until = asked_at + FRESH_SECONDS

    def is_fresh(self) -> bool:
        """Whether everything committed more than a second ago has been applied here."""
        return time.monotonic() < self._until


class Follower:
    """Keeps a node's subscribers true; one for each node."""

    def __init__(
        self,
        database: Database,
        subscribers: Sequence[Subscriber],
        freshness: Freshness,
        ahead: Ahead | None = None,
    ) -> None:
        self._database = database
        self._subscribers = tuple(subscribers)
        self._ahead = ahead
        self._freshness = freshness
        self._epoch = ""
        self._head = 0
        self._one_at_a_time = asyncio.Lock()
        # Whatever goes wrong: a node that stops following serves what is no longer true.
        self._polling = Periodic(
            self.catch_up, every=POLL_SECONDS, failure="the change feed cannot be read"
        )
        #: Looks at once instead of at the next poll; any thread may call this.
        self.hint = self._polling.soon

    async def catch_up(self) -> None:
        """Apply everything committed before this call; a node's own writes end with it.

        Raises:
            DatabaseUnavailable: the database cannot be reached; nothing was applied.
        """
        async with self._one_at_a_time:
            asked_at = time.monotonic()
            epoch, head, news, piece = await self._database.reading(self._read)
            if news is not None:
                anew = epoch != self._epoch
                for subscriber, changes in zip(self._subscribers, news, strict=True):
                    await subscriber.apply(changes, anew=anew)
                self._epoch, self._head = epoch, head
            self._freshness.mark(asked_at)
            if self._ahead is not None and piece is not None:
                more = await self._ahead.apply_ahead(piece)
                if more:
                    self._polling.now()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while the block runs, after having caught up once."""
        await self.catch_up()
        async with self._polling.going_on():
            yield

    def _read(self, connection: sqlalchemy.Connection) -> tuple[str, int, list[Any] | None, Any]:
        epoch, head, mark = connection.execute(
            sqlalchemy.select(*feed.c["epoch", "head", "reserved"])
        ).one()
        news = None
        if epoch != self._epoch or head != self._head:
            since = self._head if epoch == self._epoch else None
            news = [each.read(connection, since) for each in self._subscribers]
        piece = None if self._ahead is None else self._ahead.read_ahead(connection, mark)
        return epoch, head, news, piece
