"""The way back: which release can be brought back, and what a Deployment is then.

A rollback makes a new release with everything of an earlier one. What that one was built into is
used again, so nothing is fetched and nothing built. (docs/decisions/0030-releases.md)
"""

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from connectory.contract.deployments import DeploymentReportEntry
from connectory.contract.errors import InvalidJsonInput
from connectory.contract.releases import ReleaseOutcome
from connectory.contract.staged import ReportEntryType
from connectory.deployments import model, store
from connectory.deployments.model import Deployment, Release


def find(connection: Connection, subject: Deployment, number: int) -> Release:
    """The release of a Deployment that is to be brought back.

    Raises:
        InvalidJsonInput: there is none of this number any more, it was never deployed, or it cannot
            be read.
    """
    what = f"actions[0].release: release {number} of the Deployment with {subject.name}"
    known = 1 <= number <= subject.releases  # a database takes no number of any size
    try:
        release = store.find_release(connection, subject.id, number) if known else None
    except store.Damaged:
        raise InvalidJsonInput(f"{what} cannot be read") from None
    if not known:
        raise InvalidJsonInput(f"{what} does not exist; its releases are 1 to {subject.releases}")
    if release is None:
        raise InvalidJsonInput(f"{what} is not kept any more: take one of those that are listed")
    if release.outcome != ReleaseOutcome.DEPLOYED:
        raise InvalidJsonInput(
            f"{what} was never deployed: its outcome is '{release.outcome}'; only one that was can"
            " be brought back"
        )
    return release


def rolled_back(before: Deployment, release: Release) -> Deployment:
    """A Deployment with everything of a release, before it is under way.

    Applications have the ids, and so the addresses and topics, that they had. The API Client is the
    one that is there; the deploy makes another where its scopes are not those of the release.
    """
    known = {each.id: each for each in before.applications}
    applications = tuple(
        replace(each, url=known[each.id].url if each.id in known else None)
        for each in release.applications
    )
    staying = {each.id for each in applications}
    gone = dict.fromkeys((*before.retired, *known))
    return replace(
        before,
        connector=release.connector,
        commit=release.commit,
        scopes=None if release.client is None else release.client.scopes,
        applications=applications,
        shared=release.shared,
        retired=tuple(each for each in gone if each not in staying),
    )


def brought_back(made: Release, earlier: Release) -> Release:
    """The release that a rollback makes, with all that the earlier one ran with."""
    return replace(
        made,
        rollback_to=earlier.number,
        artifacts=earlier.artifacts,
        endpoints=earlier.endpoints,
        health_checks=earlier.health_checks,
        retry_policies=earlier.retry_policies,
        scripts=earlier.scripts,
    )


def entries(release: Release, gone: Sequence[str], now: int) -> tuple[DeploymentReportEntry, ...]:
    """What the report of a rollback begins with; `gone` are applications whose build is lost."""
    version, commit = release.connector.version, release.commit
    first = model.entry(
        f"Release {release.rollback_to} is brought back",
        now,
        message=f"version {version} of the Connector, commit {commit}",
    )
    if not gone:
        return (first,)
    lost = model.entry(
        "What was built is gone",
        now,
        type_=ReportEntryType.WARNING,
        message=f"{', '.join(gone)}: built again from commit {commit}",
    )
    return (first, lost)
