"""Which request work serves: what was overtaken by a later one writes nothing, and ends soon."""

import time
from typing import Final

from sqlalchemy import Connection

from connectory.database.engine import Database, DatabaseUnavailable
from connectory.deployments import store
from connectory.deployments.model import Deployment, Release
from connectory.work.lease import Lease
from connectory.work.model import Work

#: How often it is looked, at most, whether a request was overtaken.
_LOOK_SECONDS: Final = 0.5


class Overtaken(Exception):
    """The request is not under way any more: the Deployment is being deleted, or is gone."""


def served(subject: Deployment | None, work: Work) -> Deployment:
    """The Deployment that work serves.

    Raises:
        Overtaken: its request is not the one under way.
    """
    if subject is None or subject.request is None or subject.request.id != work.payload["request"]:
        raise Overtaken
    return subject


def made_by(connection: Connection, subject: Deployment) -> Release:
    """The release that the deploy under way makes.

    Raises:
        Overtaken: it is gone.
    """
    number = subject.request.release if subject.request else subject.releases
    release = store.find_release(connection, subject.id, number)
    if release is None:
        raise Overtaken
    return release


class Watch:
    """Tells a long step whether it is still wanted; it may be asked all the time."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._looked_at = time.monotonic()
        self._overtaken = False

    def ended(self) -> bool:
        """Whether the step is to end: the work was interrupted, or its request overtaken."""
        return self._lease.interrupted or self._is_overtaken()

    def check(self) -> None:
        """Make sure that it is worth to go on.

        Raises:
            LeaseLost: another attempt has begun, or this one took too long.
            Cancelled: somebody asked for the work to be cancelled.
            Overtaken: the request is not the one under way.
        """
        self._lease.check()
        if self._is_overtaken():
            raise Overtaken

    def _is_overtaken(self) -> bool:
        now = time.monotonic()
        if not self._overtaken and now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            work = self._lease.work
            try:
                with self._database.read() as connection:
                    served(store.with_id(connection, work.subject), work)
            except Overtaken:
                self._overtaken = True
            except DatabaseUnavailable:
                pass  # whoever writes next will hear of it
        return self._overtaken
