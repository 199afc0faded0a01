"""What happens to a ConnectorStaged, as server-sent events.

The stream begins with what is: a `status`, and a `report` for each entry of the reports. It stays
open when nothing is under way, until the ConnectorStaged is deleted.
"""

from msgspec import UNSET, UnsetType

from connectory.contract.connectors import Wire
from connectory.contract.staged import (
    ConnectorReportEntry,
    ConnectorStaged,
    ConnectorStatus,
    IsPreviewable,
    WaitingFor,
)
from connectory.http import events
from connectory.http.events import EventStream
from connectory.staging.model import shown
from connectory.staging.service import Name, Staging


class StatusEvent(Wire, frozen=True, kw_only=True):
    """The data of a `status` event: sent first, and when any of it changes.

    Attributes:
        id: Of the ConnectorStaged.
        version: Its version.
        status: Its status.
        is_previewable: Whether it is previewable.
        already_listed: Whether its Connector is listed.
        waiting_for: What a request under way waits for.
    """

    id: str
    version: int
    status: ConnectorStatus
    is_previewable: IsPreviewable
    already_listed: bool
    waiting_for: WaitingFor | UnsetType = UNSET


class ReportEvent(Wire, frozen=True, kw_only=True):
    """The data of a `report` event: an entry that was added to a report.

    Attributes:
        report: `previewable` or `publishing`.
        index: Its place in the report; 0 begins a new one.
        entry: The entry.
    """

    report: str
    index: int
    entry: ConnectorReportEntry


async def stream(staging: Staging, name: Name, project: str) -> EventStream:
    """The events of a ConnectorStaged of a Project.

    Raises:
        ResourceNotFound: it has none of this name.
    """
    found = await staging.get(name, project)

    async def read() -> ConnectorStaged:
        return shown(await staging.get(Name(id=found.id), project))

    return EventStream(lambda: events.watching(read, told))


def told(before: ConnectorStaged | None, now: ConnectorStaged) -> list[bytes]:
    """The events that lead from one state to the next; None is the state of who knows nothing."""
    found = []
    reports = (
        ("previewable", before.previewable_report if before else UNSET, now.previewable_report),
        ("publishing", before.publishing_report if before else UNSET, now.publishing_report),
    )
    for report, old, new in reports:
        entries = () if new is UNSET else new.entries
        known = () if old is UNSET else old.entries
        first = len(known) if entries[: len(known)] == known else 0
        found += [
            events.event("report", ReportEvent(report=report, index=index, entry=entries[index]))
            for index in range(first, len(entries))
        ]
    status = _status(now)
    if before is None:
        return [events.event("status", status), *found]
    return found if status == _status(before) else [*found, events.event("status", status)]


def _status(subject: ConnectorStaged) -> StatusEvent:
    return StatusEvent(
        id=subject.id,
        version=subject.version,
        status=subject.status,
        is_previewable=subject.is_previewable,
        already_listed=subject.already_listed,
        waiting_for=subject.waiting_for,
    )
