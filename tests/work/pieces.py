"""What the tests of work share: a clock that they move, and short ways to queue and look."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from connectory.database.engine import Database
from connectory.kernel.clock import SECOND
from connectory.work import claims, store
from connectory.work.lease import Handler
from connectory.work.model import Work
from connectory.work.service import Limits, Pace, Worker

#: As in life, but quick.
PACE = Pace(poll=0.02, beat=0.05, lease=0.3, alone=0.1, step=60.0)


class VirtualClock:
    """A wall clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def jump(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


def queue(database: Database, *, now: int = 0, project: str = "eu:shop", **fields: Any) -> Work:
    with database.write() as connection:
        return store.enqueue(
            connection,
            kind=fields.pop("kind", "test"),
            subject=fields.pop("subject", "subject"),
            project=project,
            payload=fields,
            now=now,
        )


def claim(
    database: Database, owner: str = "a", *, now: int = 0, per_project: int = 9
) -> Work | None:
    with database.write() as connection:
        return claims.claim(
            connection, owner=owner, now=now, kinds=["test"], per_project=per_project
        )


def claimed(database: Database, owner: str = "a", *, now: int = 0) -> Work:
    work = claim(database, owner, now=now)
    assert work is not None
    return work


def found(database: Database, work: Work) -> Work:
    with database.read() as connection:
        there = store.find(connection, work.id)
    assert there is not None
    return there


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait for something to become true; what it was."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)
    return value


def worker(
    database: Database,
    clock: Callable[[], int],
    handlers: Mapping[str, Handler],
    *,
    pace: Pace = PACE,
    **limits: int,
) -> Worker:
    return Worker(
        database,
        clock,
        handlers,
        limits=Limits(**({"concurrency": 2, "per_project": 9} | limits)),
        pace=pace,
    )


@contextlib.contextmanager
def working(*workers: Worker, drain: float = 5.0) -> Iterator[None]:
    for each in workers:
        each.start()
    try:
        yield
    finally:
        for each in workers:
            each.stop(drain)
