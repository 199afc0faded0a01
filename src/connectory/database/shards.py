"""Which of the nodes looks after what: messages of an event application, the schedule of a job.

Applications fall into shards by their ids. Each node holds its fair share of the shards, so that
everything has one node, and after a node's death another one. On PostgreSQL a shard is an advisory
lock, which the database frees when the node's connection ends; the embedded database has one node.
Who cannot ask the database holds nothing after a few turns, before others may have taken it.
(docs/decisions/0027-shards.md)
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import sqlalchemy

from connectory.database.engine import Database

#: How many there are; a node more than this would have none.
SHARDS = 64
#: The first number of the locks, which have two; the second is the shard's. One more is shared by
#: all who hold shards, so that they can be counted: a worker of its own holds none.
_LOCKS = 7073
_HOLDERS = SHARDS
_TURN_SECONDS = 1.0
#: What was held is believed for so many turns; then the database was asked in vain.
_BELIEVED_TURNS = 3
#: The database gives up a machine that has gone without a word, in seconds: not before that machine
#: believes itself to hold nothing.
_KEEPALIVE = ("tcp_keepalives_idle = 1", "tcp_keepalives_interval = 1", "tcp_keepalives_count = 3")
#: A shard is given up to another node when nothing of it is under way, or after so long.
_PATIENCE_TURNS = 15

log = logging.getLogger(__name__)


def shard_of(application_id: str) -> int:
    """The shard of an application, by its id, a random UUID."""
    return int(application_id[:4], 16) % SHARDS


class Shards:
    """The shards that this node holds; any thread may ask."""

    def __init__(self, database: Database, *, turn: float = _TURN_SECONDS) -> None:
        """Make it; what is done with the shards is told by `join`."""
        self._database = database
        self._busy: list[Callable[[int], bool]] = []
        self._bound: list[Callable[[int], bool]] = []
        self._turn = turn
        #: Replaced, never changed: what is held, and until when it is believed.
        self._state: tuple[frozenset[int], float] = (frozenset(), 0.0)
        self._stopped = threading.Event()

    def join(self, *, busy: Callable[[int], bool], bound: bool = False) -> None:
        """Have a shard given up only when nothing of it is under way here, which `busy` tells.

        It is asked in any thread. What is under way where it is `bound` may take long: meanwhile
        the shard stays here altogether, so that what else is of it has a node.
        """
        (self._bound if bound else self._busy).append(busy)

    @property
    def held(self) -> frozenset[int]:
        """The shards that this node holds."""
        shards, until = self._state
        return shards if time.monotonic() < until else frozenset()

    def has(self, application_id: str) -> bool:
        """Whether this node looks after an application."""
        return shard_of(application_id) in self.held

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold shards while the block runs."""
        if self._database.is_sqlite:
            self._state = frozenset(range(SHARDS)), math.inf
            try:
                yield
            finally:
                self._drop()
            return
        self._stopped.clear()
        keeper = threading.Thread(target=self._keep, name="shards", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._stopped.set()
            keeper.join(self._turn)  # a database that hangs keeps it longer, but not us
            self._drop()

    def _drop(self) -> None:
        self._state = frozenset(), 0.0

    def _keep(self) -> None:
        told = ""
        while not self._stopped.is_set():
            try:
                with self._database.autocommitting() as connection:
                    told = ""
                    self._hold(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, another turn is made
                if told != str(error):
                    log.warning("the locks of this node's shards were lost: %s", error)
                told = str(error)
            finally:
                self._drop()
            self._stopped.wait(self._turn)

    def _hold(self, connection: sqlalchemy.Connection) -> None:
        """Turn by turn, take what is free and give up what is too much, on one connection."""
        for each in _KEEPALIVE:
            connection.execute(sqlalchemy.text(f"SET {each}"))
        _call(connection, "pg_advisory_lock_shared", _HOLDERS)
        leaving: dict[int, int] = {}
        owned: set[int] = set()
        while not self._stopped.is_set():
            asked_at = time.monotonic()
            locked = _locked(connection)
            share = -(-SHARDS // locked[_HOLDERS])
            for shard in sorted(set(range(SHARDS)).difference(locked)):
                if len(owned) < share and _call(connection, "pg_try_advisory_lock", shard):
                    owned.add(shard)
            bound = {each for each in owned if any(busy(each) for busy in self._bound)}
            kept = bound.union(sorted(owned - bound)[: max(0, share - len(bound))])
            leaving = {each: leaving.get(each, 0) + 1 for each in owned - kept}
            self._state = frozenset(kept), asked_at + _BELIEVED_TURNS * self._turn
            for shard, turns in leaving.items():
                if any(busy(shard) for busy in self._bound):
                    continue  # it was begun before that was told; the next turn keeps the shard
                if turns > _PATIENCE_TURNS or not any(busy(shard) for busy in self._busy):
                    _call(connection, "pg_advisory_unlock", shard)
                    owned.discard(shard)
            self._stopped.wait(self._turn)


def _locked(connection: sqlalchemy.Connection) -> Mapping[int, int]:
    """The shards that anybody holds, and how many hold shards, by the numbers of their locks."""
    query = sqlalchemy.text(
        "SELECT CAST(objid AS integer) AS number, count(*) AS holders FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted AND classid = :locks AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " GROUP BY objid"
    )
    return {row.number: row.holders for row in connection.execute(query, {"locks": _LOCKS})}


def _call(connection: sqlalchemy.Connection, function: str, number: int) -> bool:
    query = sqlalchemy.text(f"SELECT {function}({_LOCKS}, :number)")
    return bool(connection.execute(query, {"number": number}).scalar_one())
