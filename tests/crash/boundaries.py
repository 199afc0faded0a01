"""Real nodes that kill themselves at the boundary of a step of real work, where a file says so.

What is put in the place of the program's own is as little as can be: a lease that does what it does
and dies before, in the middle of or after it, and a pace at which a death is noticed in less than a
second.
"""

import contextlib
import functools
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from connectory.database.engine import Database
from connectory.work import lease, service

#: Where a node dies: before a step is recorded, in the transaction that does it, after the
#: commit of what the step changes.
MOMENTS = ("before", "within", "after")
#: What ends the work, after its last step.
OUTCOME = "outcome"
PACE = service.Pace(poll=0.02, beat=0.08, lease=0.4, alone=0.2)


def quick() -> None:
    """Have the worker of this process notice soon who has died."""
    service.Pace = lambda: PACE


def dying(file: Path) -> Callable[[], None]:
    """What a process calls first that dies where a file says, and is quick."""
    return functools.partial(_die, file)


def _die(file: Path) -> None:
    quick()
    DyingLease.moments = json.loads(file.read_text())
    service.Lease = DyingLease


class DyingLease(lease.Lease):
    """Kills its process once for each piece of work: on the first attempt at it."""

    #: "{kind} {subject}" → "{moment} {step}".
    moments: dict[str, str]

    def __init__(self, database: Database, *others: Any) -> None:
        super().__init__(database, *others)
        self._database = self
        self._real = database
        #: The step whose change has been written.
        self._written = ""

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; once what a step changes is committed, whatever else is not."""
        with self._real.write() as connection:
            yield connection
        self._die("after", self._written)

    def advance(self, step: str, *found: Any, also: lease.Also) -> None:
        self._die("before", step)
        super().advance(step, *found, also=self._dying_in(step, also))

    def finish(self, *, also: lease.Also) -> None:
        self._die("before", OUTCOME)
        super().finish(also=self._dying_in(OUTCOME, also))

    def _dying_in(self, step: str, also: lease.Also) -> lease.Also:
        def written_and_dead(connection: Connection) -> None:
            also(connection)
            self._written = step
            self._die("within", step)

        return written_and_dead

    def _die(self, moment: str, step: str) -> None:
        work = self.work
        where = self.moments.get(f"{work.kind} {work.subject}")
        if work.attempt == 1 and where == f"{moment} {step}":
            os.kill(os.getpid(), signal.SIGKILL)
