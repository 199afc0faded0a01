"""Certification: reviewers take what waits for them, and approve it or send it back.

A reviewer is an actor as the audit log names it: `operator:{name}`, or `command:{login name}` for
whoever works on the installation's machine. Who may do what is decided in
docs/decisions/0017-who-certifies.md.
"""

from collections.abc import Awaitable, Callable

from msgspec import UNSET, Struct
from sqlalchemy import Connection

from connectory.contract import certification as wire
from connectory.contract.certification import CertificationUpdate
from connectory.contract.errors import ConcurrentModification, ReviewNotPossible, ReviewTaken
from connectory.contract.scalars import is_id
from connectory.contract.staged import ConnectorStatus
from connectory.database import audit
from connectory.database.documents import Damages
from connectory.database.engine import Database
from connectory.kernel.clock import Clock, to_rfc3339
from connectory.kernel.transitions import NoTransition
from connectory.staging import outcomes, service, store
from connectory.staging.model import Staged, shown
from connectory.staging.service import Name

UNDER_CERTIFICATION = (ConnectorStatus.READY_FOR_CERTIFICATION, ConnectorStatus.IN_CERTIFICATION)

#: What an action is called in "cannot be … while", and in the audit log.
_DONE = {"take": "taken", "approve": "approved", "reject": "rejected", "comment": "commented on"}
#: Reviewers that decide on what another one has taken: they have the whole installation.
_COMMAND = "command:"


class Review(Struct, frozen=True, kw_only=True):
    """Who reviews, and when.

    Attributes:
        reviewer: The actor.
        now: Microseconds since 1970.
        version: The version that the reviewer has seen; None: whatever it is.
    """

    reviewer: str
    now: int
    version: int | None = None


def waiting(connection: Connection, damages: Damages) -> list[Staged]:
    """All that wait for a reviewer or are with one; what waits longest comes first.

    What cannot be read is left out, and told to `damages`.
    """
    found = store.with_status(connection, *UNDER_CERTIFICATION)
    damages.left_out(found.damaged)
    return sorted(found.documents, key=lambda subject: (_since(subject), subject.id))


def named(connection: Connection, text: str) -> Name:
    """What a person means by an id or a key."""
    if is_id(text) and store.find(connection, id_=text.lower()) is not None:
        return Name(id=text.lower())
    return Name(key=text)


def reviewer_of(subject: Staged) -> str | None:
    """Who has taken it, if somebody has."""
    if subject.status is not ConnectorStatus.IN_CERTIFICATION or subject.publish is None:
        return None
    return subject.publish.waiting_for


def case(subject: Staged) -> wire.Certification:
    """One of `waiting` as operators see it."""
    return wire.Certification(
        project=subject.project,
        commit=subject.commit,
        reviewer=reviewer_of(subject) or UNSET,
        since=to_rfc3339(_since(subject)),
        connector_staged=shown(subject),
    )


def take(connection: Connection, name: Name, review: Review) -> Staged:
    """Take what waits for a reviewer.

    Raises:
        ResourceNotFound: there is nothing of this name.
        ConcurrentModification: it has another version than the reviewer has seen.
        ReviewTaken: another reviewer was faster.
        ReviewNotPossible: it does not wait for one.
    """

    def taken(subject: Staged) -> Staged:
        if holder := reviewer_of(subject):
            raise ReviewTaken(subject.name, holder)
        return outcomes.taken(subject, review.reviewer, review.now)

    return _change(connection, name, review, "take", taken)


def approve(
    connection: Connection, name: Name, review: Review, comment: str | None = None
) -> Staged:
    """Certify what was taken, and publish it for everybody.

    Raises:
        ResourceNotFound, ConcurrentModification: as `take`.
        ReviewTaken: it was taken by another.
        ReviewNotPossible: nobody has taken it.
    """

    def approved(subject: Staged) -> Staged:
        _require_holder(subject, review)
        done = outcomes.approved(subject, review.now)
        if comment is None:
            return done
        return outcomes.commented(done, review.reviewer, comment, review.now)

    return _change(connection, name, review, "approve", approved)


def reject(connection: Connection, name: Name, review: Review, comment: str) -> Staged:
    """Send what was taken back to its creator, saying why.

    Raises:
        ResourceNotFound, ConcurrentModification, ReviewTaken, ReviewNotPossible: as `approve`.
    """

    def rejected(subject: Staged) -> Staged:
        _require_holder(subject, review)
        return outcomes.rejected(subject, review.reviewer, comment, review.now)

    return _change(connection, name, review, "reject", rejected)


def remark(connection: Connection, name: Name, review: Review, comment: str) -> Staged:
    """Tell the creator something, whoever has taken it.

    Raises:
        ResourceNotFound, ConcurrentModification: as `take`.
        ReviewNotPossible: it is not under certification.
    """

    def remarked(subject: Staged) -> Staged:
        if subject.status not in UNDER_CERTIFICATION:
            raise ReviewNotPossible(subject.name, _DONE["comment"], subject.status)
        said = outcomes.commented(subject, review.reviewer, comment, review.now)
        return said.later(review.now)

    return _change(connection, name, review, "comment", remarked)


class Certifications:
    """The certifications of all Projects, for the requests of one node."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        catalogue_changed: Callable[[], Awaitable[None]],
        damages: Damages,
    ) -> None:
        """Make it; when `catalogue_changed` ends, this node shows what was published."""
        self._database = database
        self._clock = clock
        self._catalogue_changed = catalogue_changed
        self._damages = damages

    async def waiting(self) -> list[Staged]:
        """See `waiting`."""
        return await self._database.reading_promptly(waiting, self._damages)

    async def review(self, id_: str, update: CertificationUpdate, reviewer: str) -> Staged:
        """Do what a reviewer sent.

        Raises:
            ResourceNotFound, ConcurrentModification, ReviewTaken, ReviewNotPossible: see `take`.
        """
        review = Review(reviewer=reviewer, now=self._clock(), version=update.version)
        after = await self._database.writing(_do, Name(id=id_), update, review)
        if isinstance(update, wire.ApproveCertification):
            await self._catalogue_changed()
        return after


def _do(connection: Connection, name: Name, update: CertificationUpdate, review: Review) -> Staged:
    match update:
        case wire.TakeCertification():
            return take(connection, name, review)
        case wire.ApproveCertification(comment=comment):
            return approve(connection, name, review, None if comment is UNSET else comment)
        case wire.RejectCertification(comment=comment):
            return reject(connection, name, review, comment)
        case wire.CommentCertification(comment=comment):
            return remark(connection, name, review, comment)


def _change(
    connection: Connection,
    name: Name,
    review: Review,
    verb: str,
    change: Callable[[Staged], Staged],
) -> Staged:
    before = store.lock(connection, id_=name.id, key=name.key)
    if before is None:
        raise name.missing()
    if review.version is not None and review.version != before.version:
        raise ConcurrentModification(before.name, review.version, before.version)
    try:
        after = change(before)
    except NoTransition:
        raise ReviewNotPossible(before.name, _DONE[verb], before.status) from None
    service.write(connection, before, after, review.now)
    audit.record(
        connection,
        service.act(
            after,
            review.reviewer,
            verb,
            review.now,
            version=after.version,
            project=after.project,
            commit=after.commit,
        ),
    )
    return after


def _require_holder(subject: Staged, review: Review) -> None:
    """Let only who has taken it decide, and whoever has the installation anyway."""
    holder = reviewer_of(subject)
    if holder not in (None, review.reviewer) and not review.reviewer.startswith(_COMMAND):
        raise ReviewTaken(subject.name, str(holder))


def _since(subject: Staged) -> int:
    return subject.last_modified_at if subject.publish is None else subject.publish.since
