"""The background work of a delete: nothing of the Deployment is left, and then it is gone.

Before anything is stopped, the preUndeploy scripts of the release that serves are run.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.staged import ReportEntryType
from connectory.database.documents import Damaged
from connectory.database.engine import Database
from connectory.deployments import model, store
from connectory.deployments.api_clients import Places
from connectory.deployments.client_steps import ended
from connectory.deployments.hosting import Hosting
from connectory.deployments.model import Deployment
from connectory.deployments.overtaking import Overtaken, served
from connectory.deployments.scripts import Hook, ScriptFailed, Scripts
from connectory.deployments.transitions import DeploymentEvent
from connectory.deployments.turns import DEPLOY
from connectory.kernel.clock import Clock
from connectory.work import store as works
from connectory.work.lease import Lease
from connectory.work.model import Work, WorkState

#: How long a deploy that was overtaken may take to notice; it looks several times a second.
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05


class Undeploying:
    """Does the work of deletes (`work.lease.Handler`)."""

    def __init__(
        self,
        database: Database,
        hosting: Hosting,
        clock: Clock,
        *,
        places: Places,
        scripts: Scripts,
        forget: Callable[[str], None],
    ) -> None:
        """Make it; `forget` removes what else is kept of a Deployment, by its id."""
        self._database = database
        self._hosting = hosting
        self._clock = clock
        self._places = places
        self._scripts = scripts
        self._forget = forget

    def run(self, work: Work, lease: Lease) -> None:
        """Stop all applications, and delete the Deployment with all that was made for it."""
        with contextlib.suppress(Overtaken):
            self._await_deploy(lease)
            with self._database.read() as connection:
                deployment = served(store.with_id(connection, work.subject), work)
            try:
                self._scripts.run(lease, Hook.PRE_UNDEPLOY, ReportEntryType.ERROR)
            except ScriptFailed as failure:
                entry = failure.entry
                lease.finish(also=lambda connection: self._failed(connection, work, entry))
                return
            self._hosting.remove([each.id for each in deployment.applications])
            self._hosting.remove(deployment.retired)
            self._end_clients(deployment)
            # While it can be repeated: who dies after the Deployment is gone leaves nothing.
            self._forget(deployment.id)

            def deleted(connection: Connection) -> None:
                before = served(store.lock(connection, work.subject), work)
                self._places.forget(connection, before, self._clock())
                store.remove(connection, before.id)

            lease.finish(also=deleted)

    def _await_deploy(self, lease: Lease) -> None:
        """Let a deploy that this delete has overtaken come to its end, if it does so soon.

        So no script of it runs beside those of the delete, and it switches to nothing after it.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            lease.check()
            with self._database.read() as connection:
                others = works.open_of_subject(connection, lease.work.subject)
            if not any(each.kind == DEPLOY and each.state is WorkState.RUNNING for each in others):
                return
            time.sleep(_LOOK_SECONDS)

    def _end_clients(self, deployment: Deployment) -> None:
        """End all API Clients that were made for it, or may have been."""
        clients = [*deployment.retired_clients]
        if deployment.client is not None:
            clients.append(deployment.client)
        asked = deployment.asked_clients
        result = ended(self._places, deployment.project, clients, asked, self._clock)
        if result.found:
            place = self._places.of(deployment.project)
            with self._database.write() as connection:
                for each in result.found:
                    place.forget(connection, deployment, each, self._clock())
        result.require_all()

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """Say that it could not be undeployed; it can be asked for again."""
        entry = model.entry(
            "The Deployment could not be undeployed",
            self._clock(),
            type_=ReportEntryType.ERROR,
            message=error,
        )
        try:
            with contextlib.suppress(Overtaken):
                self._failed(connection, work, entry)
        except Damaged as damaged:
            store.mark_damaged(connection, damaged.id, DeploymentEvent.UNDEPLOY_FAILED)

    def cancelled(self, connection: Connection, work: Work) -> None:
        """The same, because an operator cancelled it."""
        self.give_up(connection, work, "an operator cancelled it")

    def _failed(self, connection: Connection, work: Work, entry: DeploymentReportEntry) -> None:
        before = served(store.lock(connection, work.subject), work)
        after = model.undeploy_failed(model.entered(before, entry), self._clock())
        store.save(connection, after)
