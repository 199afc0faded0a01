"""Worker processes that are killed again and again, until all work has ended.

    python -m tests.work.workers '{"url": …, "data": …, "kills": 10, "seed": 1}'

A parent forks workers and kills them (SIGKILL) at random moments; those it kills, and those that
kill themselves at the boundary of a step because their work says so, it replaces at once. As long
as there are kills left it queues more work. It ends when nothing is queued or running, and prints
how many died, and what it had queued.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from sqlalchemy import text

from connectory.database.engine import open_database
from connectory.kernel.clock import system_clock
from connectory.work import store
from connectory.work.service import Limits, Pace, Worker

STEPS = ("fetch", "check", "build")
PROCESSES = 2
PACE = Pace(poll=0.02, beat=0.08, lease=0.4)
#: So much is queued while there are kills left.
ENOUGH = 12
#: Where a worker kills itself: before a step is recorded, in the transaction, after it.
MOMENTS = ("before", "within", "after")


class Steps:
    """Leaves an effect for each step, and one at the end; dies where its work says so."""

    def run(self, work, lease):
        after = STEPS.index(work.step) + 1 if work.step else 0
        for step in STEPS[after:]:
            time.sleep(random.uniform(0, 0.02))
            self._dying(work, "before", step)
            lease.advance(
                step, also=lambda connection, step=step: self._write(connection, step, work)
            )
            self._dying(work, "after", step)
        self._dying(work, "before", "done")
        lease.finish(also=lambda connection: self._write(connection, "done", work))
        self._dying(work, "after", "done")

    def _write(self, connection, step, work):
        connection.execute(
            text("INSERT INTO effects VALUES (:id, :step, :attempt)"),
            {"id": work.id, "step": step, "attempt": work.attempt},
        )
        self._dying(work, "within", step)

    def _dying(self, work, moment, step):
        if work.attempt == 1 and work.payload.get("die") == f"{moment} {step}":
            os.kill(os.getpid(), signal.SIGKILL)

    def give_up(self, connection, work, error):
        self._write(connection, f"gave up: {error}", work)

    def cancelled(self, connection, work):
        self._write(connection, "cancelled", work)


def work_in_child(url: str, data: Path, concurrency: int) -> int:
    """Fork a worker; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        database = open_database(url, data)
        limits = Limits(concurrency=concurrency, per_project=100)
        Worker(database, system_clock, {"test": Steps()}, limits=limits, pace=PACE).start()
        while True:
            signal.pause()
    finally:
        os._exit(1)


def queue_more(database) -> list[str]:
    """See to it that there is enough to die over; the ids of what was queued."""
    with database.write() as connection:
        missing = ENOUGH - store.backlog(connection).queued
        made = [
            store.enqueue(
                connection,
                kind="test",
                subject="subject",
                project=f"eu:{number % 3}",
                payload={},
                now=system_clock(),
            )
            for number in range(missing)
        ]
    return [work.id for work in made]


def main(url: str, data: str, *, concurrency: int, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    children = {work_in_child(url, Path(data), concurrency) for _ in range(PROCESSES)}
    database = open_database(url, Path(data))
    deaths, queued, killed_in_all = 0, [], kills
    next_kill = time.monotonic() + chance.uniform(0.05, 0.3)
    while True:
        time.sleep(0.02)
        while (dead := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            children.discard(dead)
            deaths += 1
            database.engine.dispose()  # a fork must not inherit connections
            children.add(work_in_child(url, Path(data), concurrency))
        if kills:
            queued += queue_more(database)
            if time.monotonic() > next_kill:
                killed = chance.choice(sorted(children))
                os.kill(killed, signal.SIGKILL)
                # Seen to be dead, and left to be found above.
                os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
                kills -= 1
                next_kill = time.monotonic() + chance.uniform(0.05, 0.3)
            continue
        if deaths < killed_in_all:
            continue
        with database.read() as connection:
            backlog = store.backlog(connection)
        if backlog.queued + backlog.running == 0:
            break
    for child in children:
        os.kill(child, signal.SIGKILL)
    print(json.dumps({"deaths": deaths, "queued": queued}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
