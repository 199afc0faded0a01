"""Whose turn it is: a Project has so many deploys under way at once, and the others are `Queued`.

Who waits has no work in the queue. Whoever ends a deploy lets the next one begin, in the same
transaction: so there is never one that waits for nothing.
"""

import logging

from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentStatus
from connectory.database.documents import Damaged
from connectory.deployments import model, store
from connectory.deployments.model import Deployment
from connectory.deployments.transitions import DeploymentEvent
from connectory.identity import store as identity
from connectory.work import store as work

log = logging.getLogger(__name__)

#: The kinds of work that serve Deployments.
DEPLOY, UNDEPLOY = "deploy", "undeploy"


class Turns:
    """Counts the deploys that are under way in each Project."""

    def __init__(self, most: int) -> None:
        """Make it; `most` of one Project are under way at once."""
        self._most = most

    def are_taken(self, connection: Connection, project: str) -> bool:
        """Whether a new deploy of a Project (`region:projectKey`) has to wait."""
        _lock(connection, project)
        return not self._free(connection, project)

    def begin(self, connection: Connection, project: str, now: int) -> None:
        """Let those that wait begin, as many as may, who waits longest first.

        To be called where one has ended, after that was written. The caller must have locked no
        Deployment that waits: they are locked after the Project.
        """
        _lock(connection, project)
        while self._free(connection, project) and (id_ := store.first_queued(connection, project)):
            try:
                before = store.lock(connection, id_)
            except Damaged as damaged:
                log.error("%s: its deploy is given up", damaged, extra={"deployment": id_})  # noqa: TRY400 - what is wrong is no fault of the program
                store.mark_damaged(connection, id_, DeploymentEvent.DEPLOY_FAILED)
                continue
            # One that was deleted meanwhile is not found again.
            if before is not None and before.status is DeploymentStatus.QUEUED:
                after = model.admitted(before, now)
                store.save(connection, after)
                enqueue(connection, DEPLOY, after, now)

    def _free(self, connection: Connection, project: str) -> int:
        under_way = store.count(connection, project, DeploymentStatus.DEPLOYING)
        return max(0, self._most - under_way)


def enqueue(connection: Connection, kind: str, subject: Deployment, now: int) -> None:
    """Queue the work of a request that is under way."""
    work.enqueue(
        connection,
        kind=kind,
        subject=subject.id,
        project=subject.project,
        payload={"request": subject.build},
        now=now,
    )


def _lock(connection: Connection, project: str) -> None:
    """One at a time: who counts must see what the others are about to write."""
    identity.lock_project(connection, project.partition(":")[2])
