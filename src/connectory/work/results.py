"""What comes of an attempt: every change carries the attempt's number, and only the current counts.

Whoever does work holds a lease: the number that its claim was given. The next claim gives another,
and from then on nothing that the first one writes is taken. So each outcome is recorded once.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, select

from connectory.database.tables import work
from connectory.work.model import TRANSITIONS, Cancelled, LeaseLost, WorkEvent, WorkState
from connectory.work.store import encoded


class Beat(NamedTuple):
    """A lease as somebody else sees it: while its holder lives, `beats` counts on."""

    id: str
    attempt: int
    owner: str
    beats: int


def require_current(connection: Connection, id_: str, attempt: int) -> None:
    """Make sure that an attempt is the current one.

    Raises:
        LeaseLost: it is not.
        Cancelled: it is, and must go no further.
    """
    values = {"of_id": id_, "of_attempt": attempt}
    row = connection.execute(_cancel_of_current(), values).one_or_none()
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
    _go_on(connection, id_, attempt, step=step, progress=encoded(progress), failures=0)


def finish(connection: Connection, id_: str, attempt: int, *, now: int) -> None:
    """Record that the work is done.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
        Cancelled: it must go no further; nothing was written.
    """
    _go_on(connection, id_, attempt, **_after(WorkEvent.FINISH), finished_at=now)


def fail(connection: Connection, id_: str, attempt: int, *, error: str, now: int) -> None:
    """Record that the work has failed for good.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
        Cancelled: it is to be cancelled instead; nothing was written.
    """
    values = _after(WorkEvent.FAIL) | {"last_error": error, "finished_at": now}
    _go_on(connection, id_, attempt, **values)


def end_cancelled(connection: Connection, id_: str, attempt: int, *, now: int) -> None:
    """Record that the work has been cancelled, as was asked for.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
    """
    values = _after(WorkEvent.CANCEL) | {"finished_at": now}
    if not _change(connection, id_, attempt, **values):
        raise LeaseLost(f"attempt {attempt} at work {id_} is not the current one")


def retry(connection: Connection, id_: str, attempt: int, *, error: str, run_at: int) -> None:
    """Record that an attempt ended by a fault; the next is made at `run_at`.

    Raises:
        LeaseLost: the attempt is not the current one; nothing was written.
    """
    values = _after(WorkEvent.RETRY) | {"last_error": error, "run_at": run_at}
    if not _change(connection, id_, attempt, **values):
        raise LeaseLost(f"attempt {attempt} at work {id_} is not the current one")


def release(connection: Connection, id_: str, attempt: int) -> bool:
    """Give work back, through no fault of its own; False where the attempt is not current."""
    return _change(connection, id_, attempt, **_after(WorkEvent.RELEASE))


def abandon(connection: Connection, lease: Beat, *, error: str, now: int) -> bool:
    """Take work from an attempt that has not been heard of since `lease` was read.

    It counts as a failure: work that brings its node down must not do so for ever. It is due at
    once. False where the attempt has ended, or was heard of.
    """
    values = _after(WorkEvent.RELEASE) | {"last_error": error, "run_at": now}
    return _change(connection, lease.id, lease.attempt, of_beats=lease.beats, **values)


def beat(connection: Connection, attempts: Mapping[str, int]) -> dict[str, bool]:
    """Show that the holder of leases lives (`attempts`: id → attempt).

    Those that still hold, each with whether it must go no further.
    """
    current = (
        sqlalchemy.and_(work.c.id == id_, work.c.attempt == attempt)
        for id_, attempt in attempts.items()
    )
    rows = connection.execute(
        work.update()
        .where(work.c.state == WorkState.RUNNING, sqlalchemy.or_(sqlalchemy.false(), *current))
        .values(beats=work.c.beats + 1)
        .returning(work.c.id, work.c.cancel_requested)
    )
    return {row.id: row.cancel_requested for row in rows}


def leases(connection: Connection) -> list[Beat]:
    """All leases that are held."""
    query = select(work.c.id, work.c.attempt, work.c.lease_owner, work.c.beats)
    rows = connection.execute(query.where(work.c.state == WorkState.RUNNING))
    return [Beat(*row) for row in rows]


def _go_on(connection: Connection, id_: str, attempt: int, **values: Any) -> None:
    """Change the row of the current attempt, unless it must go no further."""
    if not _change(connection, id_, attempt, unless_cancelled=True, **values):
        require_current(connection, id_, attempt)
        raise LeaseLost(f"attempt {attempt} at work {id_} was not the current one")


def _change(
    connection: Connection,
    id_: str,
    attempt: int,
    *,
    of_beats: int | None = None,
    unless_cancelled: bool = False,
    **values: Any,
) -> bool:
    """Change the row of an attempt if it is the current one; False where it is not."""
    change = _Change(tuple(values), of_beats is not None, unless_cancelled)
    parameters = {"of_id": id_, "of_attempt": attempt, "of_beats": of_beats}
    parameters |= {f"new_{name}": value for name, value in values.items()}
    return connection.execute(_changing(change), parameters).rowcount == 1


class _Change(NamedTuple):
    columns: tuple[str, ...]
    of_beats: bool
    unless_cancelled: bool


@functools.cache
def _changing(change: _Change) -> Update:
    """The statement of a change; to make one takes longer than to run it."""
    values: dict[str, ColumnElement[Any]] = {
        name: bindparam(f"new_{name}") for name in change.columns
    }
    statement = work.update().where(*_current())
    if change.unless_cancelled:
        statement = statement.where(work.c.cancel_requested.is_(False))
    if "run_at" in values:  # there is to be another attempt, after a fault of this one
        values["failures"] = work.c.failures + 1
    if change.of_beats:
        statement = statement.where(work.c.beats == bindparam("of_beats"))
        later = work.c.run_at > values["run_at"]
        values["run_at"] = sqlalchemy.case((later, values["run_at"]), else_=work.c.run_at)
    return statement.values(values)


@functools.cache
def _cancel_of_current() -> Select[Any]:
    return select(work.c.cancel_requested).where(*_current())


def _current() -> tuple[ColumnElement[bool], ...]:
    return (
        work.c.id == bindparam("of_id"),
        work.c.attempt == bindparam("of_attempt"),
        work.c.state == WorkState.RUNNING,
    )


def _after(event: WorkEvent) -> dict[str, Any]:
    return {"state": TRANSITIONS.after(WorkState.RUNNING, event), "lease_owner": None}
