"""What happens to a Deployment, as server-sent events.

The stream begins with what is: a `status`, and a `report` for each entry of the report. It stays
open when nothing is under way, until the Deployment is gone.
"""

from connectory.contract import deployments as wire
from connectory.contract.connectors import Wire
from connectory.contract.deployments import DeploymentReportEntry, DeploymentStatus
from connectory.deployments.model import shown
from connectory.deployments.service import Deployments, Name
from connectory.http import events
from connectory.http.events import EventStream


class DeploymentStatusEvent(Wire, frozen=True, kw_only=True):
    """The data of a `status` event: sent first, and when any of it changes.

    Attributes:
        id: Of the Deployment.
        version: Its version.
        status: Its status.
    """

    id: str
    version: int
    status: DeploymentStatus


class DeploymentReportEvent(Wire, frozen=True, kw_only=True):
    """The data of a `report` event: an entry that was added to the report.

    Attributes:
        build: Id of the deploy that it is about.
        index: Its place in the report; 0 begins a new one.
        entry: The entry.
    """

    build: str
    index: int
    entry: DeploymentReportEntry


async def stream(deployments: Deployments, name: Name, project: str) -> EventStream:
    """The events of a Deployment of a Project.

    Raises:
        ResourceNotFound: there is none of this name.
    """
    found = await deployments.get(name, project)

    async def read() -> wire.Deployment:
        return shown(await deployments.get(Name(id=found.id), project))

    return EventStream(lambda: events.watching(read, told))


def told(before: wire.Deployment | None, now: wire.Deployment) -> list[bytes]:
    """The events that lead from one state to the next."""
    status = events.event("status", _status(now))
    (build, entries), (old, known) = _report(now), ("", ()) if before is None else _report(before)
    first = len(known) if build == old and entries[: len(known)] == known else 0
    found = [
        events.event(
            "report", DeploymentReportEvent(build=build, index=index, entry=entries[index])
        )
        for index in range(first, len(entries))
    ]
    if before is None:
        return [status, *found]
    return found if _status(before) == _status(now) else [*found, status]


def _status(deployment: wire.Deployment) -> DeploymentStatusEvent:
    return DeploymentStatusEvent(
        id=deployment.id, version=deployment.version, status=deployment.status
    )


def _report(deployment: wire.Deployment) -> tuple[str, tuple[DeploymentReportEntry, ...]]:
    build = deployment.details.build
    if not isinstance(build, wire.DeploymentDetailsBuild):
        return "", ()
    report = build.report
    return build.id, report.entries if isinstance(report, wire.DeploymentReport) else ()
