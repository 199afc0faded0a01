"""The rows of work.

Whoever changes something that calls for work enqueues it in the same transaction. Whoever does it
holds a lease: its attempt number. Every change that an attempt makes carries the number and is
refused where another attempt has begun, so that each outcome is recorded once.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy
from sqlalchemy import ColumnElement, Connection, Row, func, select

from connectory.database.tables import work
from connectory.kernel import ids
from connectory.work.model import (
    LONGEST_BACKOFF,
    OPEN,
    TRANSITIONS,
    Backlog,
    Cancelled,
    LeaseLost,
    Work,
    WorkEvent,
    WorkState,
)

#: Finished rows that one statement deletes: it must not keep other writers waiting.
_SWEPT_AT_ONCE = 1_000

_COLUMNS = tuple(work.c[name] for name in Work.__struct_fields__)
_object = msgspec.json.Decoder(dict[str, Any])


class Beat(NamedTuple):
    """A lease as somebody else sees it: while its holder lives, `beats` counts on."""

    id: str
    attempt: int
    owner: str
    beats: int


def enqueue(
    connection: Connection,
    *,
    kind: str,
    subject: str,
    project: str,
    payload: Mapping[str, Any],
    now: int,
) -> Work:
    """Queue work, in the transaction of what calls for it.

    `project` is `region:projectKey`; `payload` is a JSON object without secrets.
    """
    row = connection.execute(
        work.insert()
        .values(
            id=ids.new_id(),
            kind=kind,
            subject=subject,
            project=project,
            state=TRANSITIONS.initial,
            payload=_json(payload),
            progress="{}",
            attempt=0,
            failures=0,
            run_at=now,
            beats=0,
            cancel_requested=False,
            created_at=now,
        )
        .returning(*_COLUMNS)
    ).one()
    return _work(row)


def claim(
    connection: Connection,
    *,
    owner: str,
    now: int,
    kinds: Collection[str],
    per_project: int,
) -> Work | None:
    """Begin the next attempt at the piece of work that is due, or None where there is none.

    First come Projects of which nothing is running, then those with the fewest; of a Project, the
    oldest piece. A Project with `per_project` pieces running gets no more. (Two nodes that claim
    in the same instant may begin one more.)
    """
    due = _waiting(kinds, now)
    for whose in _fairest(connection, per_project):
        claimed = _claim_first(connection, sqlalchemy.and_(due, whose), owner, now)
        if claimed is not None:
            return claimed
    return None


def claim_cancelled(
    connection: Connection, *, owner: str, now: int, kinds: Collection[str]
) -> Work | None:
    """Begin an attempt at queued work that somebody wants to be cancelled."""
    wanted = sqlalchemy.and_(
        work.c.state == WorkState.QUEUED, work.c.kind.in_(kinds), work.c.cancel_requested
    )
    return _claim_first(connection, wanted, owner, now)


def is_due(connection: Connection, *, now: int, kinds: Collection[str]) -> bool:
    """Whether there is work to claim, of whatever Project."""
    query = select(work.c.id).where(_waiting(kinds, now)).limit(1)
    return connection.execute(query).first() is not None


def require_current(connection: Connection, id_: str, attempt: int) -> None:
    """Make sure that an attempt is the current one.

    Raises:
        LeaseLost: it is not.
        Cancelled: it is, and must go no further.
    """
    query = select(work.c.cancel_requested).where(*_current(id_, attempt))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise LeaseLost(f"attempt {attempt} at work {id_} is not the current one")
    if row.cancel_requested:
        raise Cancelled(f"work {id_} is to be cancelled")


def advance(
    connection: Connection, id_: str, attempt: int, step: str, progress: Mapping[str, Any]
) -> None:
    """Record that a step has ended well, and all that the steps have found.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
        Cancelled: it must go no further; nothing was written.
    """
    _change(connection, id_, attempt, step=step, progress=_json(progress), failures=0)


def finish(connection: Connection, id_: str, attempt: int, *, now: int) -> None:
    """Record that the work is done.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
        Cancelled: it must go no further; nothing was written.
    """
    _end(connection, id_, attempt, WorkEvent.FINISH, now)


def retry(connection: Connection, id_: str, attempt: int, *, error: str, run_at: int) -> None:
    """Record that an attempt ended by a fault; the next is made at `run_at`.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
        Cancelled: there must be no other; nothing was written.
    """
    _change(
        connection,
        id_,
        attempt,
        state=_after(WorkEvent.RETRY),
        lease_owner=None,
        failures=work.c.failures + 1,
        last_error=error,
        run_at=run_at,
    )


def fail(connection: Connection, id_: str, attempt: int, *, error: str, now: int) -> None:
    """Record that the work has failed for good.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
        Cancelled: it is to be cancelled instead; nothing was written.
    """
    _end(
        connection,
        id_,
        attempt,
        WorkEvent.FAIL,
        now,
        failures=work.c.failures + 1,
        last_error=error,
    )


def end_cancelled(connection: Connection, id_: str, attempt: int, *, now: int) -> None:
    """Record that the work has been cancelled, as was asked for.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
    """
    values = _ended(WorkEvent.CANCEL, now)
    changed = connection.execute(work.update().where(*_current(id_, attempt)).values(values))
    if changed.rowcount == 0:
        raise LeaseLost(f"attempt {attempt} at work {id_} is not the current one")


def release(connection: Connection, id_: str, attempt: int) -> bool:
    """Give work back, through no fault of its own; False where the attempt is not current."""
    values = {"state": _after(WorkEvent.RELEASE), "lease_owner": None}
    changed = connection.execute(work.update().where(*_current(id_, attempt)).values(values))
    return changed.rowcount == 1


def abandon(
    connection: Connection, id_: str, attempt: int, *, beats: int | None, error: str, now: int
) -> bool:
    """Take work from an attempt that was heard of last at `beats` (None: whatever it is).

    It counts as a failure: work that brings its node down must not do so for ever. It is due at
    once. False where the attempt has ended, or has been heard of since.
    """
    wanted = [*_current(id_, attempt)]
    if beats is not None:
        wanted.append(work.c.beats == beats)
    changed = connection.execute(
        work.update()
        .where(*wanted)
        .values(
            state=_after(WorkEvent.RELEASE),
            lease_owner=None,
            failures=work.c.failures + 1,
            last_error=error,
            run_at=sqlalchemy.case((work.c.run_at > now, now), else_=work.c.run_at),
        )
    )
    return changed.rowcount == 1


def beat(connection: Connection, attempts: Mapping[str, int]) -> dict[str, bool]:
    """Show that the holder of leases lives (`attempts`: id → attempt).

    Those that still hold, each with whether it must go no further.
    """
    current = sqlalchemy.or_(
        *(sqlalchemy.and_(work.c.id == id_, work.c.attempt == n) for id_, n in attempts.items())
    )
    rows = connection.execute(
        work.update()
        .where(work.c.state == WorkState.RUNNING, current)
        .values(beats=work.c.beats + 1)
        .returning(work.c.id, work.c.cancel_requested)
    )
    return {row.id: row.cancel_requested for row in rows}


def leases(connection: Connection) -> list[Beat]:
    """All leases that are held."""
    query = select(work.c.id, work.c.attempt, work.c.lease_owner, work.c.beats)
    rows = connection.execute(query.where(work.c.state == WorkState.RUNNING))
    return [Beat(*row) for row in rows]


def request_cancel(connection: Connection, id_: str) -> bool:
    """Ask for work to be cancelled: no step of it is recorded after this commits.

    A worker then marks it so, and lets its handler know. False where it has ended, or never was.
    """
    changed = connection.execute(
        work.update().where(work.c.id == id_, work.c.state.in_(OPEN)).values(cancel_requested=True)
    )
    return changed.rowcount == 1


def find(connection: Connection, id_: str) -> Work | None:
    """A piece of work by its id."""
    row = connection.execute(select(*_COLUMNS).where(work.c.id == id_)).one_or_none()
    return _work(row) if row is not None else None


def open_of_subject(connection: Connection, subject: str) -> list[Work]:
    """What is queued or running for a subject, oldest first."""
    query = (
        select(*_COLUMNS)
        .where(work.c.subject == subject, work.c.state.in_(OPEN))
        .order_by(work.c.created_at, work.c.id)
    )
    return [_work(row) for row in connection.execute(query)]


def count_open(connection: Connection, project: str) -> int:
    """How many pieces are queued or running for a Project, given as `region:projectKey`."""
    query = select(func.count()).where(work.c.project == project, work.c.state.in_(OPEN))
    return int(connection.execute(query).scalar_one())


def newest(connection: Connection, *, states: Sequence[WorkState], limit: int) -> Iterator[Work]:
    """Work in one of these states, newest first."""
    query = (
        select(*_COLUMNS)
        .where(work.c.state.in_(states))
        .order_by(work.c.created_at.desc(), work.c.id)
        .limit(limit)
    )
    return map(_work, connection.execute(query))


def backlog(connection: Connection) -> Backlog:
    """How much work there is."""
    query = (
        select(work.c.state, func.count(), func.min(work.c.run_at))
        .where(work.c.state.in_(OPEN))
        .group_by(work.c.state)
    )
    found = {state: (count, oldest) for state, count, oldest in connection.execute(query)}
    queued, oldest = found.get(WorkState.QUEUED, (0, None))
    running, _ = found.get(WorkState.RUNNING, (0, None))
    return Backlog(queued=queued, running=running, oldest_run_at=oldest)


def sweep(connection: Connection, *, finished_before: int) -> int:
    """Delete what ended before an instant, at most a thousand; how many it were."""
    old = select(work.c.id).where(work.c.finished_at < finished_before).limit(_SWEPT_AT_ONCE)
    return connection.execute(work.delete().where(work.c.id.in_(old))).rowcount


def _waiting(kinds: Collection[str], now: int) -> ColumnElement[bool]:
    """What may be claimed: it never depends on the clock for work that has not failed."""
    return sqlalchemy.and_(
        work.c.state == WorkState.QUEUED,
        work.c.kind.in_(kinds),
        sqlalchemy.not_(work.c.cancel_requested),
        sqlalchemy.or_(
            work.c.failures == 0,
            work.c.run_at <= now,
            work.c.run_at > now + LONGEST_BACKOFF,
        ),
    )


def _fairest(connection: Connection, per_project: int) -> Iterator[ColumnElement[bool]]:
    """Conditions on the Project, in the order in which work of theirs is to be claimed."""
    query = select(work.c.project, func.count()).where(work.c.state == WorkState.RUNNING)
    running: dict[int, list[str]] = {}
    for project, count in connection.execute(query.group_by(work.c.project)):
        running.setdefault(count, []).append(project)
    yield work.c.project.not_in([each for group in running.values() for each in group])
    for count in sorted(running):
        if count < per_project:
            yield work.c.project.in_(running[count])


def _claim_first(
    connection: Connection, wanted: ColumnElement[bool], owner: str, now: int
) -> Work | None:
    # SQLite leaves the clause out and needs none: its write transactions run one at a time.
    first = (
        select(work.c.id)
        .where(wanted)
        .order_by(work.c.run_at, work.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    id_ = connection.execute(first).scalar_one_or_none()
    if id_ is None:
        return None
    row = connection.execute(
        work.update()
        .where(work.c.id == id_)
        .values(
            state=TRANSITIONS.after(WorkState.QUEUED, WorkEvent.CLAIM),
            attempt=work.c.attempt + 1,
            lease_owner=owner,
            beats=work.c.beats + 1,
            started_at=func.coalesce(work.c.started_at, now),
        )
        .returning(*_COLUMNS)
    ).one()
    return _work(row)


def _current(id_: str, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return (
        work.c.id == id_,
        work.c.attempt == attempt,
        work.c.state == WorkState.RUNNING,
    )


def _change(connection: Connection, id_: str, attempt: int, **values: Any) -> None:
    """Change the row of the current attempt, unless it must go no further."""
    changed = connection.execute(
        work.update()
        .where(*_current(id_, attempt), sqlalchemy.not_(work.c.cancel_requested))
        .values(values)
    )
    if changed.rowcount == 0:
        require_current(connection, id_, attempt)
        raise LeaseLost(f"attempt {attempt} at work {id_} was not the current one")


def _end(
    connection: Connection, id_: str, attempt: int, event: WorkEvent, now: int, **values: Any
) -> None:
    _change(connection, id_, attempt, **_ended(event, now), **values)


def _ended(event: WorkEvent, now: int) -> dict[str, Any]:
    return {"state": _after(event), "lease_owner": None, "finished_at": now}


def _after(event: WorkEvent) -> WorkState:
    return TRANSITIONS.after(WorkState.RUNNING, event)


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def _work(row: Row[Any]) -> Work:
    values = row._asdict()
    values["state"] = WorkState(row.state)
    values["payload"] = _object.decode(row.payload)
    values["progress"] = _object.decode(row.progress)
    return Work(**values)
