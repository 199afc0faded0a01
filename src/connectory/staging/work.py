"""The background work of preview and publish requests: the checks, one step after the other.

    fetch → specification → structure → secrets → vulnerabilities → build

Each step adds its report entry in the transaction that records that it has ended, so that an entry
is there once, however often nodes die. What the checks saw is what is published: the commit that
`fetch` found, and what its connect.yaml declares.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET
from sqlalchemy import Connection

from connectory.contract.staged import ConnectorReportEntry, ReportEntryType
from connectory.database.documents import Damaged
from connectory.database.engine import Database
from connectory.kernel.clock import Clock, to_rfc3339
from connectory.sources.model import Fetched, SourceError
from connectory.sources.service import Sources
from connectory.specification.model import Specification
from connectory.staging import outcomes, service, store
from connectory.staging.checks.model import Check, Result, Source
from connectory.staging.declaring import (
    SpecificationMissing,
    declared_by,
    read_specification,
    told,
)
from connectory.staging.model import Declared, Kind, Request, Staged
from connectory.work.lease import Lease
from connectory.work.model import Work, WorkDelayed

FETCH: Final = "fetch"
SPECIFICATION: Final = "specification"

_FETCH_TITLE: Final = "Repository fetch"
#: The hosted platform's titles.
_SPECIFICATION_TITLE: Final = "Connector specification file validation check"
_MISSING_TITLE: Final = "Connector specification file not found"


class Overtaken(Exception):
    """The request is not under way any more: a new repository was set, or it was deleted."""


class _Refused(Exception):
    """A check without which the others cannot be made has failed; its entry."""

    def __init__(self, entry: ConnectorReportEntry) -> None:
        super().__init__(entry.title)
        self.entry = entry


class Checking:
    """Does the work of one kind of request (`work.lease.Handler`)."""

    def __init__(
        self,
        kind: Kind,
        database: Database,
        sources: Sources,
        checks: Sequence[Check],
        clock: Clock,
        *,
        catalogue_changed: Callable[[], None],
    ) -> None:
        """Make it; `catalogue_changed` is called after a publish, in the worker's thread."""
        self._kind = kind
        self._database = database
        self._sources = sources
        self._checks = tuple(checks)
        self._clock = clock
        self._catalogue_changed = catalogue_changed

    def run(self, work: Work, lease: Lease) -> None:
        """Make the checks that are left, and end the request."""
        with contextlib.suppress(Overtaken):
            self._run(work, lease)

    def give_up(self, connection: Connection, work: Work, error: str) -> None:
        """Fail the request: it could not be served."""
        now = self._clock()

        def failed(subject: Staged) -> Staged:
            entry = outcomes.error_entry("The checks could not be made", error, now)
            return outcomes.failed(outcomes.entered(subject, self._kind, entry), self._kind, now)

        with contextlib.suppress(Overtaken, Damaged):
            self._change(connection, work, failed)

    def cancelled(self, connection: Connection, work: Work) -> None:
        """End the request as cancelled."""
        with contextlib.suppress(Overtaken, Damaged):
            self._change(
                connection,
                work,
                lambda subject: outcomes.cancelled(subject, self._kind, self._clock()),
            )

    def _run(self, work: Work, lease: Lease) -> None:
        with self._database.read() as connection:
            request = self._request(store.find(connection, id_=work.subject), work)
        try:
            fetched = self._fetched(request, lease)
            specification = self._specification(fetched, lease)
        except _Refused as refused:
            self._end(lease, None, refused.entry)
            return
        self._make_checks(fetched, specification, lease)
        failed = bool(lease.work.progress.get("failed"))
        self._end(lease, None if failed else declared_by(specification, fetched.commit))

    def _fetched(self, request: Request, lease: Lease) -> Fetched:
        """The commit to be checked: the one that an earlier attempt fetched, or the tag's now."""
        known = lease.work.progress.get("commit")
        if known is not None:
            return Fetched(request.repository, known)
        try:
            fetched = self._sources.fetch(request.repository, lease.work.project)
        except SourceError as error:
            if error.transient:
                raise WorkDelayed(error.reason) from None
            raise _Refused(self._entry(_FETCH_TITLE, "failed", error.reason)) from None
        self._advance(lease, FETCH, None, {"commit": fetched.commit})
        return fetched

    def _specification(self, fetched: Fetched, lease: Lease) -> Specification:
        """The specification at the commit; its report entry is added once."""
        try:
            read = read_specification(self._sources, fetched, lease.work.project)
        except SpecificationMissing as missing:
            raise _Refused(
                outcomes.error_entry(_MISSING_TITLE, str(missing), self._clock())
            ) from None
        except SourceError as error:
            if error.transient:
                raise WorkDelayed(error.reason) from None
            raise _Refused(self._entry(_SPECIFICATION_TITLE, "failed", error.reason)) from None
        faults = told(read.faults)
        if read.specification is None:
            raise _Refused(self._entry(_SPECIFICATION_TITLE, "failed", faults))
        if lease.work.step == FETCH:
            entry = self._entry(_SPECIFICATION_TITLE, "succeeded", faults)
            self._advance(lease, SPECIFICATION, entry)
        return read.specification

    def _make_checks(self, fetched: Fetched, specification: Specification, lease: Lease) -> None:
        """Make the checks that no attempt has made; all of them, so that all faults are told."""
        done = lease.work.step
        names = [check.name for check in self._checks]
        left = self._checks[names.index(done) + 1 if done in names else 0 :]
        if not left:
            return
        with self._sources.tree(fetched, lease.work.project) as root:
            source = Source(
                root=root,
                specification=specification,
                commit=fetched.commit,
                origin=fetched.repository.url,
                cancelled=lambda: lease.interrupted,
            )
            for check in left:
                lease.check()
                result = check.run(source)
                entry = self._entry_of(result)
                failed = {"failed": True} if entry.type is ReportEntryType.ERROR else {}
                self._advance(lease, check.name, entry, failed)

    def _end(
        self, lease: Lease, passed: Declared | None, entry: ConnectorReportEntry | None = None
    ) -> None:
        """Record the outcome of the request and that the work is done."""
        now = self._clock()

        def ended(subject: Staged) -> Staged:
            if entry is not None:
                subject = outcomes.entered(subject, self._kind, entry)
            if passed is None:
                return outcomes.failed(subject, self._kind, now)
            return outcomes.passed(subject, self._kind, passed, now)

        work = lease.work
        lease.finish(also=lambda connection: self._change(connection, work, ended))
        if self._kind == "publish":
            self._catalogue_changed()

    def _advance(
        self,
        lease: Lease,
        step: str,
        entry: ConnectorReportEntry | None,
        found: Mapping[str, Any] | None = None,
    ) -> None:
        steps = [FETCH, SPECIFICATION, *(check.name for check in self._checks)]
        place = steps.index(step) + 1
        following = f"check: {steps[place]}" if place < len(steps) else "its outcome"
        now = self._clock()

        def entered(subject: Staged) -> Staged:
            if entry is not None:
                subject = outcomes.entered(subject, self._kind, entry)
            return outcomes.waiting(subject, self._kind, following, now)

        work = lease.work
        lease.advance(step, found, also=lambda connection: self._change(connection, work, entered))

    def _change(
        self, connection: Connection, work: Work, change: Callable[[Staged], Staged]
    ) -> None:
        """Change the ConnectorStaged that a request is of.

        Raises:
            Overtaken: the request is not under way any more; nothing was written.
        """
        before = store.lock(connection, id_=work.subject)
        self._request(before, work)
        if before is not None:
            service.write(connection, before, change(before), self._clock())

    def _request(self, subject: Staged | None, work: Work) -> Request:
        """The request that work is for.

        Raises:
            Overtaken: it is not under way any more.
        """
        if subject is not None:
            request = subject.preview if self._kind == "preview" else subject.publish
            if request is not None and request.id == work.payload["request"]:
                return request
        raise Overtaken

    def _entry_of(self, result: Result) -> ConnectorReportEntry:
        message = result.entry_message
        return ConnectorReportEntry(
            type=result.entry_type,
            title=result.entry_title,
            message=message or UNSET,
            created_at=to_rfc3339(self._clock()),
        )

    def _entry(self, title: str, outcome: str, message: str) -> ConnectorReportEntry:
        if outcome == "failed":
            kind = ReportEntryType.ERROR
        else:
            kind = ReportEntryType.WARNING if message else ReportEntryType.INFORMATION
        return ConnectorReportEntry(
            type=kind,
            title=f"{title} {outcome}",
            message=message or UNSET,
            created_at=to_rfc3339(self._clock()),
        )
