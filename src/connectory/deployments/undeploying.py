"""The background work of a delete: nothing of the Deployment is left, and then it is gone."""

import contextlib
from collections.abc import Callable

from sqlalchemy import Connection

from connectory.contract.staged import ReportEntryType
from connectory.database.engine import Database
from connectory.deployments import model, store
from connectory.deployments.api_clients import Places
from connectory.deployments.client_steps import ended
from connectory.deployments.hosting import Hosting
from connectory.deployments.model import Deployment
from connectory.deployments.overtaking import Overtaken, served
from connectory.kernel.clock import Clock
from connectory.work.lease import Lease
from connectory.work.model import Work


class Undeploying:
    """Does the work of deletes (`work.lease.Handler`)."""

    def __init__(
        self,
        database: Database,
        hosting: Hosting,
        clock: Clock,
        *,
        places: Places,
        forget: Callable[[str], None],
    ) -> None:
        """Make it; `forget` removes what else is kept of a Deployment, by its id."""
        self._database = database
        self._hosting = hosting
        self._clock = clock
        self._places = places
        self._forget = forget

    def run(self, work: Work, lease: Lease) -> None:
        """Stop all applications, and delete the Deployment with all that was made for it."""
        with self._database.read() as connection:
            found = store.with_id(connection, work.subject)
        with contextlib.suppress(Overtaken):
            deployment = served(found, work)
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

    def _end_clients(self, deployment: Deployment) -> None:
        """End all API Clients that were made for it, or may have been."""
        clients = [*deployment.retired_clients]
        if deployment.client is not None:
            clients.append(deployment.client)
        asked = deployment.asked_clients
        ended(self._places, deployment.project, clients, asked, self._clock).require_all()

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """Say that it could not be undeployed; it can be asked for again."""
        now = self._clock()
        entry = model.entry(
            "The Deployment could not be undeployed",
            now,
            type_=ReportEntryType.ERROR,
            message=error,
        )
        with contextlib.suppress(Overtaken):
            before = served(store.lock(connection, work.subject), work)
            store.save(connection, model.undeploy_failed(model.entered(before, entry), now))

    def cancelled(self, connection: Connection, work: Work) -> None:
        """The same, because an operator cancelled it."""
        self.give_up(connection, work, "an operator cancelled it")
