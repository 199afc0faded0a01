"""How a deploy ends, and what is written when its release begins to serve.

Once a release serves, whatever befalls its scripts is a Warning: also where the work is cancelled
or given up, the Deployment is `Deployed`. Before that the deploy fails, and the release before goes
on serving.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.staged import ReportEntryType
from connectory.contract.webhooks import WebhookEvent
from connectory.database.documents import Damaged
from connectory.deployments import api_clients, model, store, telling
from connectory.deployments.hosting import Hosting
from connectory.deployments.listening import Listener
from connectory.deployments.measuring import Outcomes
from connectory.deployments.model import Deployment, Release, serves_already
from connectory.deployments.overtaking import Overtaken, served
from connectory.deployments.programs import Programs
from connectory.deployments.scripts import Hook, failure_title
from connectory.deployments.transitions import DeploymentEvent
from connectory.deployments.turns import Turns
from connectory.kernel.clock import Clock
from connectory.work.lease import Lease
from connectory.work.model import Work

SERVES: Final = "serves"


class Ending:
    """Writes how deploys end."""

    def __init__(
        self,
        clock: Clock,
        *,
        hosting: Hosting,
        programs: Programs,
        turns: Turns,
        outcomes: Outcomes,
        listeners: Sequence[Listener],
    ) -> None:
        self._clock = clock
        self._hosting = hosting
        self._programs = programs
        self._turns = turns
        self._outcomes = outcomes
        self._listeners = listeners

    def serve(self, lease: Lease, release: Release) -> None:
        """Record that a release takes the calls, so that it does so after a crash, too."""
        work = lease.work
        gone: list[str] = []

        def told(connection: Connection) -> None:
            before = self._locked(connection, work)
            urls = {
                each.name: url
                for each in before.applications
                if (url := self._programs.url(before, release, each)) is not None
            }
            gone.extend(before.retired)
            after = model.serving(before, urls)
            for listener in self._listeners:
                for entry in listener.deployed(connection, after, release):
                    after = model.entered(after, entry)
            store.save(connection, after)

        lease.advance(SERVES, also=told)
        for listener in self._listeners:
            listener.changed()
        self._hosting.remove(gone)

    def succeed(self, lease: Lease) -> None:
        """End a deploy whose release serves."""
        work = lease.work
        lease.finish(also=lambda connection: self._succeeded(connection, work, ()))
        self._outcomes.count("deployed")

    def fail(self, lease: Lease, entry: DeploymentReportEntry) -> None:
        """End a deploy whose release does not serve."""
        work = lease.work
        lease.finish(also=lambda connection: self._failed(connection, work, entry, "failed"))
        self._outcomes.count("failed")

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """As `Handler` says: it could not be served."""
        with contextlib.suppress(Overtaken), self._minding(connection, work):
            if self._warned(connection, work, error):
                self._outcomes.count("deployed")
                return
            entry = self._entry("The deployment could not be made", error)
            self._failed(connection, work, entry, "failed")
            self._outcomes.count("failed")

    def cancelled(self, connection: Connection, work: Work) -> None:
        """As `Handler` says."""
        with contextlib.suppress(Overtaken), self._minding(connection, work):
            if not self._warned(connection, work, "the deployment was cancelled"):
                advice = "Ask the operator why, or redeploy."
                entry = self._entry("The deployment was cancelled", advice)
                self._failed(connection, work, entry, "cancelled")
            self._outcomes.count("cancelled")

    @contextlib.contextmanager
    def _minding(self, connection: Connection, work: Work) -> Iterator[None]:
        """Let the turn of a Deployment that cannot be read go on to the next one."""
        try:
            yield
        except Damaged as damaged:
            store.mark_damaged(connection, damaged.id, DeploymentEvent.DEPLOY_FAILED)
            self._turns.begin(connection, work.project, self._clock())
            self._outcomes.count("failed")

    def _warned(self, connection: Connection, work: Work, why: str) -> bool:
        """End a deploy whose release serves with a Warning; False where it does not serve."""
        if not serves_already(self._locked(connection, work)):
            return False
        title = failure_title(Hook.POST_DEPLOY)
        self._succeeded(connection, work, (self._entry(title, why, ReportEntryType.WARNING),))
        return True

    def _succeeded(
        self, connection: Connection, work: Work, entries: Sequence[DeploymentReportEntry]
    ) -> None:
        before = self._locked(connection, work)
        now = self._clock()
        for each in entries:
            before = model.entered(before, each)
        self._finish_release(connection, before, "deployed", now)
        after = model.succeeded(before, now)
        store.save(connection, api_clients.settled(connection, after, now))
        telling.tell(connection, WebhookEvent.DEPLOYMENT_DEPLOYED, after, now)
        self._turns.begin(connection, after.project, now)

    def _failed(
        self, connection: Connection, work: Work, entry: DeploymentReportEntry, outcome: str
    ) -> None:
        before = self._locked(connection, work)
        now = self._clock()
        self._finish_release(connection, before, outcome, now)
        after = model.failed(model.entered(before, entry), now)
        store.save(connection, api_clients.settled(connection, after, now))
        telling.tell_failed(connection, after, now)
        self._turns.begin(connection, after.project, now)

    def _finish_release(
        self, connection: Connection, before: Deployment, outcome: str, now: int
    ) -> None:
        number = before.request.release if before.request else before.releases
        release = store.find_release(connection, before.id, number)
        if release is not None:
            store.put_release(connection, replace(release, outcome=outcome, finished_at=now))

    def _locked(self, connection: Connection, work: Work) -> Deployment:
        return served(store.lock(connection, work.subject), work)

    def _entry(
        self, title: str, message: str, type_: ReportEntryType = ReportEntryType.ERROR
    ) -> DeploymentReportEntry:
        return model.entry(title, self._clock(), type_=type_, message=message)
