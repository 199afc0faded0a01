"""The two state machines of a ConnectorStaged: its status, and whether it is previewable.

Source: BEHAVIOUR of the published documentation on ConnectorStatus and IsPreviewable; what it
leaves open is decided in docs/decisions/0015-from-connectorstaged-to-connector.md. The docs draw
both from these tables.
"""

import enum
from typing import Final

from connectory.contract.staged import ConnectorStatus, IsPreviewable
from connectory.kernel.transitions import Transitions

_S = ConnectorStatus
_P = IsPreviewable


class StatusEvent(enum.StrEnum):
    """What happens to the status of a ConnectorStaged."""

    EDITED = "edited"  #: An update action changed its data, or unlisted the Connector.
    PUBLISH_REQUESTED = "publish_requested"
    PUBLISHED_PRIVATELY = "published_privately"  #: The checks passed; no certification was asked.
    READY_TO_CERTIFY = "ready_to_certify"  #: The checks passed; certification was asked for.
    CHECKS_FAILED = "checks_failed"
    PUBLISH_CANCELLED = "publish_cancelled"  #: An operator cancelled the work.
    REVIEW_TAKEN = "review_taken"  #: A reviewer took it.
    APPROVED = "approved"
    REJECTED = "rejected"


class PreviewEvent(enum.StrEnum):
    """What happens to `isPreviewable`."""

    PREVIEW_REQUESTED = "preview_requested"
    GRANTED = "granted"  #: The checks passed.
    REFUSED = "refused"  #: The checks failed.
    PREVIEW_CANCELLED = "preview_cancelled"  #: An operator cancelled the work.
    REPOSITORY_SET = "repository_set"  #: What was checked is no longer what is there.


#: Where nothing is under way, and everything can be changed.
_AT_REST = (_S.DRAFT, _S.PUBLISHED, _S.FAILED)

STATUS: Final = Transitions(
    initial=_S.DRAFT,
    table={
        StatusEvent.EDITED: {state: state for state in _AT_REST},
        StatusEvent.PUBLISH_REQUESTED: dict.fromkeys(_AT_REST, _S.PROCESSING),
        StatusEvent.PUBLISHED_PRIVATELY: {_S.PROCESSING: _S.PUBLISHED},
        StatusEvent.READY_TO_CERTIFY: {_S.PROCESSING: _S.READY_FOR_CERTIFICATION},
        StatusEvent.CHECKS_FAILED: {_S.PROCESSING: _S.FAILED},
        StatusEvent.PUBLISH_CANCELLED: {_S.PROCESSING: _S.FAILED},
        StatusEvent.REVIEW_TAKEN: {_S.READY_FOR_CERTIFICATION: _S.IN_CERTIFICATION},
        StatusEvent.APPROVED: {_S.IN_CERTIFICATION: _S.PUBLISHED},
        StatusEvent.REJECTED: {_S.IN_CERTIFICATION: _S.FAILED},
    },
)

PREVIEWABLE: Final = Transitions(
    initial=_P.NONE,
    table={
        PreviewEvent.PREVIEW_REQUESTED: dict.fromkeys((_P.NONE, _P.TRUE, _P.FALSE), _P.PENDING),
        PreviewEvent.GRANTED: {_P.PENDING: _P.TRUE},
        PreviewEvent.REFUSED: {_P.PENDING: _P.FALSE},
        PreviewEvent.PREVIEW_CANCELLED: {_P.PENDING: _P.NONE},
        PreviewEvent.REPOSITORY_SET: dict.fromkeys(_P, _P.NONE),
    },
)
