"""What becomes of a ConnectorStaged by its checks and its reviewers, as pure functions.

Results of work that was overtaken, by a new repository for example, do not come here: `serves` says
whether a request is still the one under way.
"""

from typing import Final

from msgspec.structs import replace

from connectory.contract.staged import (
    CertificationInfoComment,
    ConnectorReportEntry,
    ConnectorStatus,
    ReportEntryType,
)
from connectory.kernel.clock import to_rfc3339
from connectory.staging.model import Declared, Kind, Listing, Request, Staged
from connectory.staging.transitions import PREVIEWABLE, STATUS, PreviewEvent, StatusEvent

#: What a request waits for when its checks have passed and it is to be certified.
REVIEWER: Final = "a reviewer"


def serves(subject: Staged, kind: Kind, request_id: str) -> bool:
    """Whether a request is the one under way."""
    request = subject.preview if kind == "preview" else subject.publish
    return request is not None and request.id == request_id


def waiting(subject: Staged, kind: Kind, waiting_for: str, now: int) -> Staged:
    """With a request that waits for something else; it costs no version."""
    request = replace(_request(subject, kind), waiting_for=waiting_for, since=now)
    return replace(subject, **{kind: request})


def entered(subject: Staged, kind: Kind, entry: ConnectorReportEntry) -> Staged:
    """With what one check of a request found.

    It costs no version: nobody's update has to be made again because of it.
    """
    _request(subject, kind)
    if kind == "preview":
        return replace(subject, previewable_report=(*(subject.previewable_report or ()), entry))
    return replace(subject, publishing_report=(*(subject.publishing_report or ()), entry))


def passed(subject: Staged, kind: Kind, declared: Declared, now: int) -> Staged:
    """After all checks of a request passed, on the commit that they saw."""
    request = _request(subject, kind)
    if kind == "preview":
        state = PREVIEWABLE.after(subject.is_previewable, PreviewEvent.GRANTED)
        return subject.later(now, is_previewable=state, previewed=declared, preview=None)
    checked = replace(subject, data=subject.data.declaring(declared), commit=declared.commit)
    if request.certification:
        return waiting(checked, kind, REVIEWER, now).later(
            now, status=STATUS.after(subject.status, StatusEvent.READY_TO_CERTIFY)
        )
    status = STATUS.after(subject.status, StatusEvent.PUBLISHED_PRIVATELY)
    return _published(checked, status, certified=False, now=now)


def failed(subject: Staged, kind: Kind, now: int) -> Staged:
    """After a check of a request failed, or the request could not be served."""
    _request(subject, kind)
    if kind == "preview":
        state = PREVIEWABLE.after(subject.is_previewable, PreviewEvent.REFUSED)
        return subject.later(now, is_previewable=state, preview=None)
    status = STATUS.after(subject.status, StatusEvent.CHECKS_FAILED)
    return subject.later(now, status=status, publish=None)


def cancelled(subject: Staged, kind: Kind, now: int) -> Staged:
    """After an operator cancelled the work of a request."""
    entry = error_entry("The request was cancelled", "Ask the operator why, or try again.", now)
    told = entered(subject, kind, entry)
    if kind == "preview":
        state = PREVIEWABLE.after(subject.is_previewable, PreviewEvent.PREVIEW_CANCELLED)
        return told.later(now, is_previewable=state, preview=None)
    status = STATUS.after(subject.status, StatusEvent.PUBLISH_CANCELLED)
    return told.later(now, status=status, publish=None)


def taken(subject: Staged, reviewer: str, now: int) -> Staged:
    """After a reviewer took it; `reviewer` is an actor, such as `operator:ann`.

    Raises:
        NoTransition: it does not wait for one.
    """
    status = STATUS.after(subject.status, StatusEvent.REVIEW_TAKEN)
    return waiting(subject, "publish", reviewer, now).later(now, status=status)


def approved(subject: Staged, now: int) -> Staged:
    """After a reviewer approved it: certified and public.

    Raises:
        NoTransition: nobody reviews it.
    """
    status = STATUS.after(subject.status, StatusEvent.APPROVED)
    return _published(subject, status, certified=True, now=now)


def rejected(subject: Staged, reviewer: str, comment: str, now: int) -> Staged:
    """After a reviewer sent it back, saying why.

    Raises:
        NoTransition: nobody reviews it.
    """
    status = STATUS.after(subject.status, StatusEvent.REJECTED)
    told = entered(subject, "publish", error_entry("Certification rejected", comment, now))
    return commented(told, reviewer, comment, now).later(now, status=status, publish=None)


def commented(subject: Staged, user_id: str, comment: str, now: int) -> Staged:
    """With one more comment of the certification; it costs no version by itself."""
    said = CertificationInfoComment(user_id=user_id, datetime=to_rfc3339(now), comment=comment)
    return replace(subject, comments=(*subject.comments, said))


def error_entry(title: str, message: str, now: int) -> ConnectorReportEntry:
    """A report entry that ends a request."""
    return ConnectorReportEntry(
        type=ReportEntryType.ERROR, title=title, message=message, created_at=to_rfc3339(now)
    )


def _published(subject: Staged, status: ConnectorStatus, *, certified: bool, now: int) -> Staged:
    version = 1 + (0 if subject.connector is None else subject.connector.version)
    listing = Listing(version=version, data=subject.data, certified=certified, listed=True)
    return subject.later(now, status=status, connector=listing, publish=None)


def _request(subject: Staged, kind: Kind) -> Request:
    request = subject.preview if kind == "preview" else subject.publish
    if request is None:
        raise ValueError(f"{subject.name} has no {kind} request under way")
    return request
