"""Which of the nodes looks after what: messages of an event application, the schedule of a job.

Applications fall into shards by their ids. Each node holds its fair share of the shards, so that
everything has one node, and after a node's death another one. On PostgreSQL a shard is an advisory
lock, which the database frees when the node's connection ends; the embedded database has one node.
(docs/decisions/0027-shards.md)
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

import sqlalchemy

from connectory.database.engine import Database
from connectory.database.serving import nodes

#: How many there are; a node more than this would have none.
SHARDS = 64
#: The first number of the locks, which have two; the second is the shard's.
_LOCKS = 7073
_TURN_SECONDS = 1.0
#: A shard is given up to another node when nothing of it is under way, or after so long.
_PATIENCE_TURNS = 15

log = logging.getLogger(__name__)


def shard_of(application_id: str) -> int:
    """The shard of an application, by its id, a random UUID."""
    return int(application_id[:4], 16) % SHARDS


class Shards:
    """The shards that this node holds. `held` is replaced, never changed: any thread reads it."""

    def __init__(self, database: Database, *, turn: float = _TURN_SECONDS) -> None:
        """Make it; what is done with the shards is told by `join`."""
        self._database = database
        self._busy: list[Callable[[int], bool]] = []
        self._bound: list[Callable[[int], bool]] = []
        self._turn = turn
        self.held: frozenset[int] = frozenset()
        self._stopped = threading.Event()

    def join(self, *, busy: Callable[[int], bool], bound: bool = False) -> None:
        """Have a shard given up only when nothing of it is under way here, which `busy` tells.

        It is asked in any thread. What is under way where it is `bound` may take long: meanwhile
        the shard stays here altogether, so that what else is of it has a node.
        """
        (self._bound if bound else self._busy).append(busy)

    def has(self, application_id: str) -> bool:
        """Whether this node looks after an application."""
        return shard_of(application_id) in self.held

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold shards while the block runs."""
        if self._database.is_sqlite:
            self.held = frozenset(range(SHARDS))
            try:
                yield
            finally:
                self.held = frozenset()
            return
        self._stopped.clear()
        keeper = threading.Thread(target=self._keep, name="shards", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._stopped.set()
            keeper.join(2 * self._turn)  # a database that hangs keeps it longer, but not us
            self.held = frozenset()

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
                self.held = frozenset()
            self._stopped.wait(self._turn)

    def _hold(self, connection: sqlalchemy.Connection) -> None:
        """Turn by turn, take what is free and give up what is too much, on one connection."""
        leaving: dict[int, int] = {}
        owned: set[int] = set()
        while not self._stopped.is_set():
            share = -(-SHARDS // max(1, nodes(connection)))
            for shard in sorted(set(range(SHARDS)) - owned):
                if len(owned) >= share:
                    break
                if _call(connection, "pg_try_advisory_lock", shard):
                    owned.add(shard)
            bound = {each for each in owned if any(busy(each) for busy in self._bound)}
            kept = bound.union(sorted(owned - bound)[: max(0, share - len(bound))])
            leaving = {each: leaving.get(each, 0) + 1 for each in owned - kept}
            self.held = frozenset(kept)
            for shard, turns in leaving.items():
                if any(busy(shard) for busy in self._bound):
                    continue  # it was begun before that was told; the next turn keeps the shard
                if turns > _PATIENCE_TURNS or not any(busy(shard) for busy in self._busy):
                    _call(connection, "pg_advisory_unlock", shard)
                    owned.discard(shard)
            self._stopped.wait(self._turn)


def _call(connection: sqlalchemy.Connection, function: str, shard: int) -> bool:
    query = sqlalchemy.text(f"SELECT {function}({_LOCKS}, :shard)")
    return bool(connection.execute(query, {"shard": shard}).scalar_one())
