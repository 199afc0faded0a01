"""Which releases of a Deployment are kept: the latest, and those that are needed.

(docs/decisions/0035-releases-that-are-kept.md)
"""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection

from connectory.contract.releases import ReleaseOutcome
from connectory.deployments import store
from connectory.deployments.model import Deployment, Release


class Kept(Struct, frozen=True, kw_only=True):
    """How many are kept.

    Attributes:
        latest: Of the latest, whatever became of them; 1 at least.
        built: Of those that were deployed, beside the one that serves: with what they were built
            into, so that a rollback builds nothing.
    """

    latest: int
    built: int


def in_use(subject: Deployment, releases: Sequence[Release], built: int) -> set[int]:
    """The numbers of the releases whose artifacts are kept; `releases` are the newest first.

    These are the one that serves, the latest, which may be under way, and the latest `built` others
    that were deployed.
    """
    deployed = [each.number for each in releases if each.outcome == ReleaseOutcome.DEPLOYED]
    others = [each for each in deployed if each != subject.release]
    return {each for each in (subject.release, subject.releases) if each} | set(others[:built])


def superfluous(
    subject: Deployment, releases: Sequence[Release], kept: Kept, named: Release | None
) -> list[int]:
    """The numbers of the releases that are not kept; `releases` are the newest first.

    Beside the latest those in use stay, the one that a rollback has `named`, and the one that the
    oldest of the latest is compared with.
    """
    needed = in_use(subject, releases, kept.built)
    if named is not None:
        needed.add(named.number)
    old = [each for each in releases if each.number <= subject.releases - kept.latest]
    deployed = [each.number for each in old if each.outcome == ReleaseOutcome.DEPLOYED]
    needed.update(deployed[:1])
    return [each.number for each in old if each.number not in needed]


def prune(
    connection: Connection, subject: Deployment, kept: Kept, named: Release | None = None
) -> None:
    """Remove the releases that are not kept, in the transaction that has written another.

    What cannot be read is left alone: another version of the program may read it.
    """
    if subject.releases > kept.latest:
        found = store.releases_of(connection, subject.id)
        store.remove_releases(connection, subject.id, superfluous(subject, found, kept, named))
