"""Which request work serves: what was overtaken by a later one writes nothing."""

from sqlalchemy import Connection

from connectory.deployments import store
from connectory.deployments.model import Deployment, Release
from connectory.work.model import Work


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
