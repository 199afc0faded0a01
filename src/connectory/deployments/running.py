"""Deployments on a node: what builds, runs, routes and logs, from the start to the stop.

Joined by the composition root; here is the order in which they begin and end.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Collection

from msgspec import Struct
from sqlalchemy import Connection

from connectory.building.model import Maker
from connectory.containment.first_use import FirstUse
from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.staged import ReportEntryType
from connectory.contract.webhooks import WebhookEvent
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.periodic import Periodic
from connectory.deployments import model, restoring, store, telling
from connectory.deployments.hosting import Hosting
from connectory.deployments.model import Deployment
from connectory.deployments.programs import Programs
from connectory.gateway.server import Gateway
from connectory.kernel.clock import Clock
from connectory.logs.service import Logs
from connectory.runtime.model import CrashLoops, Program
from connectory.runtime.processes import Processes

log = logging.getLogger(__name__)

#: How often disk is freed of what was built and is not used.
_SWEEP_SECONDS = 600.0
#: How long applications have at least to end by themselves, when a server stops.
_GRACE_SECONDS = 2.0


class _Building(Struct, frozen=True):
    """Whose build or script a line is of."""

    deployment_id: str
    application: str


class Running(Struct, frozen=True, kw_only=True):
    """The parts."""

    database: Database
    clock: Clock
    containment: FirstUse
    builds: Maker
    runtime: Processes
    gateway: Gateway
    hosting: Hosting
    programs: Programs
    logs: Logs
    #: How many releases of each Deployment can be brought back without a build.
    releases_kept: int
    host: str
    #: Of the gateway for names of a domain; 0, which is any, where applications have addresses of
    #: their own and nobody calls it.
    port: int

    @contextlib.asynccontextmanager
    async def running(
        self, left: Callable[[], float], *, built_here: Callable[[], set[str]]
    ) -> AsyncIterator[None]:
        """Take over what was deployed, and serve it while the block runs.

        `left` tells at its end for how many seconds calls may go on; `built_here` gives the
        artifacts in use that no release names.

        Raises:
            OSError: nothing can listen on the gateway's address.
        """
        self.hosting.attach(asyncio.get_running_loop())
        with self.logs.writing():
            await self.gateway.serve(self.host, self.port)
            # Where there may be more nodes, `following` takes over, and builds what is not here.
            if self.database.is_sqlite:
                await asyncio.to_thread(
                    restoring.restore,
                    self.database,
                    self.builds,
                    self.hosting,
                    self.programs,
                    self.clock,
                )
            # What a crash left at once, the rest now and then.
            sweeping = Periodic(
                functools.partial(self._sweep, built_here),
                every=_SWEEP_SECONDS,
                failure="what is in nobody's use was not removed",
            )
            try:
                async with sweeping.going_on():
                    yield
            finally:
                await self.gateway.close(left())
                await self.runtime.close(max(left(), _GRACE_SECONDS))
                await asyncio.to_thread(self.containment.close)

    def built(self, deployment_id: str, application: str, line: str) -> None:
        """Take a line that a build or a script printed."""
        self.logs.output(_Building(deployment_id, application), "stdout", line.encode())

    def forget(self, deployment_id: str) -> None:
        """Remove what is kept of a Deployment that is gone: its log, and what is masked in it."""
        self.hosting.wait(self.logs.remove(deployment_id))

    async def _sweep(self, built_here: Callable[[], set[str]]) -> None:
        """Remove what is in nobody's use."""
        # Not in a thread of the event loop's: a database that hangs would keep a server alive.
        used = await self.database.reading(restoring.in_use, self.releases_kept)
        used |= built_here()
        await asyncio.to_thread(self.builds.sweep, used)
        # Some may be logged in the moment in which a Deployment is deleted.
        logged = await self.logs.deployments()
        # What is there now was there before it was logged.
        gone = logged - await self.database.reading(store.ids)
        for each in sorted(gone):
            await self.logs.remove(each)


def refusal_of(
    containment: FirstUse, trusted: Collection[str], *, unconfined: bool
) -> Callable[[str], str]:
    """Why the code of a repository is not to be run on this machine; "" where it may be."""

    def refusal(repository: str) -> str:
        if unconfined or repository in trusted or containment.holds.safe:
            return ""
        return (
            "nothing keeps applications from what is the server's on this machine:"
            " `connectory doctor` says what is lacking; CONNECTORY_RUN_UNCONFINED=on runs them"
            " all the same"
        )

    return refusal


def crash_loops(database: Database, clock: Clock) -> CrashLoops:
    """Tells in a Deployment's report that one of its applications crashes again and again.

    What it gives is called in the event loop.
    """

    def hear(program: Program, message: str) -> None:
        name = f"{program.application} of Deployment {program.deployment_id}"
        if message:
            log.warning("%s crashes again and again", name)
        else:
            log.info("%s is well again", name)
        entry = model.entry(
            "Application crashes again and again" if message else "Application is well again",
            clock(),
            type_=ReportEntryType.ERROR if message else ReportEntryType.INFORMATION,
            message=message,
            application=program.application,
        )
        asyncio.get_running_loop().run_in_executor(None, tell, program.deployment_id, entry)

    def tell(id_: str, entry: DeploymentReportEntry) -> None:
        def also(connection: Connection, subject: Deployment) -> None:
            if entry.type is ReportEntryType.ERROR:
                name = str(entry.application)
                type_ = WebhookEvent.CRASH_LOOP
                telling.tell(connection, type_, subject, clock(), applicationName=name)

        try:
            restoring.tell(database, id_, entry, also)
        except DatabaseUnavailable as error:
            log.warning("a crash loop was not told: %s", error)

    return hear
