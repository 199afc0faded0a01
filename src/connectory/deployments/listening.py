"""Who hears what becomes of Deployments: what belongs to them and is not theirs to know.

The topics of event applications and the schedules of jobs follow the release that serves.
"""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.deployments.model import Deployment, Release


class Listener(Protocol):
    """Hears of Deployments, in the transactions that change them."""

    def prepared(self, connection: Connection, deployment: Deployment, release: Release) -> None:
        """A release is about to start; the one before still serves."""

    def deployed(
        self, connection: Connection, deployment: Deployment, release: Release
    ) -> Sequence[DeploymentReportEntry]:
        """A release serves from now on, and what it does not have is gone.

        What is given is added to the report of the deploy.
        """

    def forget(self, deployment_id: str) -> None:
        """Remove all that is kept of a Deployment that is being deleted; it may be called again.

        In a thread of work, outside a transaction.
        """

    def changed(self) -> None:
        """What was told before has been committed; any thread may call it."""
