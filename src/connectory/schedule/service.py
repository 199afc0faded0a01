"""Jobs: what other slices may call."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.errors import DeploymentApplicationDoesNotExist, JobRunUnderWay
from connectory.contract.scalars import ApplicationType
from connectory.contract.staged import ReportEntryType
from connectory.database import audit
from connectory.database.audit import Act
from connectory.database.engine import Database, DatabaseUnavailable
from connectory.database.periodic import Periodic
from connectory.database.shards import Shards
from connectory.deployments.model import Application, Deployment, Release, entry
from connectory.gateway.server import Gateway
from connectory.http.access import Grant
from connectory.kernel.clock import Clock
from connectory.schedule import cron, store
from connectory.schedule.firing import Firing
from connectory.schedule.model import Job, Run

#: How many runs of each application are kept.
KEPT_RUNS: Final = 100
_SWEEP_SECONDS: Final = 15.0


class Scheduled(Struct, frozen=True):
    """A job, and its latest run if it has one."""

    job: Job
    last: Run | None


class Jobs:
    """The jobs of a node (a `deployments.listening.Listener`)."""

    def __init__(self, database: Database, clock: Clock, gateway: Gateway, shards: Shards) -> None:
        """Make it."""
        self._database = database
        self._clock = clock
        self.firing = Firing(database, clock, gateway, shards=lambda: shards.held)
        self._sweeping = Periodic(
            self._sweep, every=_SWEEP_SECONDS, failure="old runs were not removed"
        )
        # A run may take long. Where its shard went to another node, that took it for abandoned.
        shards.join(busy=self.firing.busy, bound=True)

    @contextlib.asynccontextmanager
    async def running(self, left: Callable[[], float]) -> AsyncIterator[None]:
        """Run jobs while the block runs; `left` tells at its end for how long runs may go on."""
        self.firing.start()
        try:
            async with self._sweeping.going_on():
                yield
        finally:
            await self.firing.stop(left())

    def retire(self) -> None:
        """Begin no run any more; those that are asked for are still written."""
        self.firing.retire()

    # Deployments

    def prepared(self, connection: Connection, deployment: Deployment, release: Release) -> None:
        """Hear of a release that is about to start: the one before goes by its own schedules."""

    def deployed(
        self, connection: Connection, deployment: Deployment, release: Release
    ) -> Sequence[DeploymentReportEntry]:
        """Have the jobs of a release that serves run by their schedules, and no others."""
        now = self._clock()
        found = {each.id: each for each in release.applications if _schedule(each)}
        there = {each.application_id for each in store.of_deployment(connection, deployment.id)}
        for id_ in sorted(found):
            store.put(connection, _job(deployment, release, found[id_]), now)
        gone = there - found.keys()
        store.remove(connection, gone)
        store.remove_runs(connection, gone)
        told = []
        for each in found.values():
            reason = cron.why_never(_schedule(each), now)
            if reason is not None:
                told.append(_never_runs(each, reason, now))
        return told

    def changed(self) -> None:
        """Hear that what the others told has been committed; any thread may call it."""
        self.firing.look_soon()

    def forget(self, deployment_id: str) -> None:
        """Remove the jobs and runs of a Deployment; in any thread but the event loop's."""
        with self._database.write() as connection:
            store.remove_of(connection, deployment_id)

    # What can be seen and asked for

    async def runs(
        self, deployment: Deployment, application: str, *, before: int | None, limit: int
    ) -> list[Run]:
        """Runs of a job with ids less than one, the latest first.

        Raises:
            DeploymentApplicationDoesNotExist: the Deployment has no job of this name.
        """
        id_ = _job_of(deployment, application).id
        return await self._database.reading_promptly(store.runs_of, id_, before=before, limit=limit)

    async def find_run(self, deployment: Deployment, application: str, id_: int) -> Run | None:
        """A run of a job by its id.

        Raises:
            DeploymentApplicationDoesNotExist: the Deployment has no job of this name.
        """
        job = _job_of(deployment, application)
        return await self._database.reading_promptly(store.find_run, job.id, id_)

    async def run_now(
        self, deployment: Deployment, application: str, grant: Grant, correlation_id: str
    ) -> Run | None:
        """Have a job run now, whatever its schedule says; None where no release of it serves.

        Raises:
            DeploymentApplicationDoesNotExist: the Deployment has no job of this name.
            JobRunUnderWay: a run of it is under way.
        """
        job = _job_of(deployment, application)

        def asked(connection: Connection) -> Run | None:
            now = self._clock()
            made = store.request(connection, job.id, correlation_id, now)
            if isinstance(made, store.UnderWay):
                raise JobRunUnderWay(application)
            if made is not None:
                act = Act(
                    at=now,
                    actor=f"client:{grant.client_id}",
                    action="schedule:run:request",
                    subject=deployment.id,
                    details={"application": application, "run": str(made.id)},
                )
                audit.record(connection, act)
            return made

        run = await self._database.writing(asked)
        self.firing.look()
        return run

    async def list(self, deployment: Deployment) -> list[Scheduled]:
        """The jobs of a Deployment that serve, by name."""
        return await self._database.reading_promptly(_listed, deployment.id)

    async def _sweep(self) -> None:
        grown, self.firing.ended_of = self.firing.ended_of, set()
        try:
            await self._database.writing(store.sweep, grown, kept=KEPT_RUNS)
        except DatabaseUnavailable:
            self.firing.ended_of |= grown
            raise


def _schedule(application: Application) -> str:
    """When a job runs; "" for what is none."""
    if application.type is not ApplicationType.JOB:
        return ""
    return application.values.schedule or application.schedule or ""


def _job(deployment: Deployment, release: Release, application: Application) -> Job:
    endpoint = release.endpoints.get(application.name, "/")
    return Job(
        application_id=application.id,
        deployment_id=deployment.id,
        project=deployment.project,
        application=application.name,
        endpoint=endpoint if endpoint.startswith("/") else f"/{endpoint}",
        schedule=_schedule(application),
        since=0,
        next_at=None,
    )


def _job_of(deployment: Deployment, name: str) -> Application:
    application = deployment.application(name)
    if application.type is not ApplicationType.JOB:
        raise DeploymentApplicationDoesNotExist(name)
    return application


def _listed(connection: Connection, deployment_id: str) -> list[Scheduled]:
    jobs = store.of_deployment(connection, deployment_id)
    last = store.last_runs(connection, [each.application_id for each in jobs])
    return [Scheduled(each, last.get(each.application_id)) for each in jobs]


def _never_runs(application: Application, reason: str, now: int) -> DeploymentReportEntry:
    return entry(
        "The job never runs by itself",
        now,
        type_=ReportEntryType.WARNING,
        message=f"'{_schedule(application)[:80]}' is no time: {reason}",
        application=application.name,
    )
