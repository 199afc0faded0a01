"""The two state machines: every state with every event, and the pictures of them in the docs."""

from pathlib import Path
from typing import Any

import pytest

from connectory.contract.staged import ConnectorStatus as S
from connectory.contract.staged import IsPreviewable as P
from connectory.kernel.transitions import NoTransition, Transitions
from connectory.staging.transitions import PREVIEWABLE, STATUS, PreviewEvent, StatusEvent
from tests.conftest import ROOT

#: What the documentation says, written down once more: all that is not here cannot be.
STATUS_STEPS = {
    (S.DRAFT, StatusEvent.EDITED): S.DRAFT,
    (S.PUBLISHED, StatusEvent.EDITED): S.PUBLISHED,
    (S.FAILED, StatusEvent.EDITED): S.FAILED,
    (S.DRAFT, StatusEvent.PUBLISH_REQUESTED): S.PROCESSING,
    (S.PUBLISHED, StatusEvent.PUBLISH_REQUESTED): S.PROCESSING,
    (S.FAILED, StatusEvent.PUBLISH_REQUESTED): S.PROCESSING,
    (S.PROCESSING, StatusEvent.PUBLISHED_PRIVATELY): S.PUBLISHED,
    (S.PROCESSING, StatusEvent.READY_TO_CERTIFY): S.READY_FOR_CERTIFICATION,
    (S.PROCESSING, StatusEvent.CHECKS_FAILED): S.FAILED,
    (S.PROCESSING, StatusEvent.PUBLISH_CANCELLED): S.FAILED,
    (S.READY_FOR_CERTIFICATION, StatusEvent.REVIEW_TAKEN): S.IN_CERTIFICATION,
    (S.IN_CERTIFICATION, StatusEvent.APPROVED): S.PUBLISHED,
    (S.IN_CERTIFICATION, StatusEvent.REJECTED): S.FAILED,
}
PREVIEW_STEPS = {
    (P.NONE, PreviewEvent.PREVIEW_REQUESTED): P.PENDING,
    (P.TRUE, PreviewEvent.PREVIEW_REQUESTED): P.PENDING,
    (P.FALSE, PreviewEvent.PREVIEW_REQUESTED): P.PENDING,
    (P.PENDING, PreviewEvent.GRANTED): P.TRUE,
    (P.PENDING, PreviewEvent.REFUSED): P.FALSE,
    (P.PENDING, PreviewEvent.PREVIEW_CANCELLED): P.NONE,
    (P.NONE, PreviewEvent.REPOSITORY_SET): P.NONE,
    (P.PENDING, PreviewEvent.REPOSITORY_SET): P.NONE,
    (P.TRUE, PreviewEvent.REPOSITORY_SET): P.NONE,
    (P.FALSE, PreviewEvent.REPOSITORY_SET): P.NONE,
}


@pytest.mark.parametrize(
    ("machine", "states", "events", "steps"),
    [(STATUS, S, StatusEvent, STATUS_STEPS), (PREVIEWABLE, P, PreviewEvent, PREVIEW_STEPS)],
    ids=["status", "isPreviewable"],
)
def test_every_event_leads_from_every_state_to_where_it_should(
    machine: Transitions[Any, Any], states: Any, events: Any, steps: dict[Any, Any]
) -> None:
    for state in states:
        for event in events:
            expected = steps.get((state, event))
            assert machine.allows(state, event) == (expected is not None)
            if expected is None:
                with pytest.raises(NoTransition, match=str(state)):
                    machine.after(state, event)
            else:
                assert machine.after(state, event) is expected
    assert {(before, event): after for before, event, after in machine} == steps


def test_every_state_can_be_reached_and_none_is_the_end() -> None:
    for machine in (STATUS, PREVIEWABLE):
        steps = [(before, after) for before, _, after in machine]
        reached = {machine.initial}
        for _ in steps:
            reached |= {after for before, after in steps if before in reached}
        assert reached == set(type(machine.initial))
        assert {before for before, after in steps if before != after} == reached


@pytest.mark.parametrize("machine", [STATUS, PREVIEWABLE], ids=["status", "isPreviewable"])
def test_the_docs_show_the_tables(machine: Transitions[Any, Any]) -> None:
    page = Path(ROOT / "docs/explanation/from-connectorstaged-to-connector.md").read_text()
    assert machine.as_markdown() in page
