"""What happens to a ConnectorStaged, as server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
from msgspec import UNSET
from msgspec.structs import replace

from connectory.contract.staged import (
    ConnectorReport,
    ConnectorReportEntry,
    ConnectorStatus,
    ReportEntryType,
)
from connectory.kernel import ids
from connectory.staging import events
from connectory.staging.model import created, shown
from tests.staging.conftest import Creator, Platform
from tests.staging.examples import declared, draft

Json = dict[str, Any]


def read(answer: httpx.Response) -> Iterator[tuple[str, Json]]:
    """The events of a stream: name and data."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def report(*titles: str) -> ConnectorReport:
    return ConnectorReport(
        entries=tuple(
            ConnectorReportEntry(type=ReportEntryType.INFORMATION, title=title, created_at=title)
            for title in titles
        )
    )


def names(found: list[bytes]) -> list[str]:
    """The events in short: `status`, and the titles of entries."""
    told = []
    for each in found:
        name, data = each.decode().split("\n")[:2]
        body = json.loads(data.removeprefix("data: "))
        told.append(
            "status" if name == "event: status" else f"{body['index']}{body['entry']['title']}"
        )
    return told


def test_who_knows_nothing_is_told_what_is_then_what_changes():
    subject = shown(created(draft(), declared(), id_=ids.new_id(), project="r:p", now=1))
    one = replace(subject, previewable_report=report("a"))
    two = replace(subject, previewable_report=report("a", "b"), publishing_report=report("c"))
    new = replace(subject, previewable_report=report("d"))
    other = replace(subject, status=ConnectorStatus.PROCESSING, version=2)

    assert names(events.told(None, subject)) == ["status"]
    assert names(events.told(None, two)) == ["status", "0a", "1b", "0c"]
    assert names(events.told(subject, subject)) == []
    assert names(events.told(subject, one)) == ["0a"]
    assert names(events.told(one, two)) == ["1b", "0c"]
    assert names(events.told(two, new)) == ["0d"]
    assert names(events.told(new, subject)) == []
    assert names(events.told(subject, other)) == ["status"]
    assert subject.publishing_report is UNSET


def test_a_preview_is_followed_from_its_request_to_its_end(creator: Creator):
    creator.repositories.tag("v1.0.0")
    made = creator.create()
    path = f"/connectors/drafts/{made['id']}"
    with creator.http.stream("GET", f"{path}/events") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        told = read(answer)
        name, first = next(told)
        assert (name, first["version"], first["isPreviewable"]) == ("status", 1, "none")
        assert first["id"] == made["id"]
        creator.update(made["id"], {"action": "updatePreviewable"})
        seen: list[tuple[str, Json]] = []
        for event in told:
            seen.append(event)
            if event[0] == "status" and event[1]["isPreviewable"] in ("true", "false"):
                break

    statuses = [data["isPreviewable"] for name, data in seen if name == "status"]
    assert set(statuses) <= {"pending", "true"}  # a preview may be quicker than a look
    shown_now = creator.http.get(path).json()
    entries = [data for name, data in seen if name == "report"]
    assert [each["entry"] for each in entries] == shown_now["previewableReport"]["entries"]
    assert [each["index"] for each in entries] == list(range(len(entries)))
    assert {each["report"] for each in entries} == {"previewable"}


def test_the_events_of_others_do_not_exist(creator: Creator, platform: Platform):
    creator.repositories.tag("v1.0.0")
    made = creator.create()
    with platform.creator() as other:
        assert other.http.get(f"/connectors/drafts/{made['id']}/events").status_code == 404
    assert creator.http.get("/connectors/drafts/key=none/events").status_code == 404


def test_a_stream_ends_when_its_subject_is_deleted(creator: Creator):
    creator.repositories.tag("v1.0.0")
    made = creator.create()
    with creator.http.stream("GET", f"/connectors/drafts/{made['id']}/events") as answer:
        told = read(answer)
        next(told)
        deleted = creator.http.delete(
            f"/connectors/drafts/{made['id']}", params={"version": made["version"]}
        )
        assert deleted.status_code == 200
        assert list(told) == []
