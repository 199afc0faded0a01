"""Which piece of work is next, and how an attempt at it begins.

A worker that is idle asks several times a second, and one that is busy after each piece. So the
statements are made once: to make one takes longer than to run it.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import Connection, Select, bindparam, func, select
from sqlalchemy.sql.dml import ReturningUpdate

from connectory.database.tables import work
from connectory.work.model import LONGEST_BACKOFF, TRANSITIONS, Work, WorkEvent, WorkState
from connectory.work.store import COLUMNS, decoded


def claim(
    connection: Connection,
    *,
    owner: str,
    now: int,
    kinds: Sequence[str],
    per_project: int,
) -> Work | None:
    """Begin the next attempt at the piece of work that is due, or None where there is none.

    First come Projects of which nothing is running, then those with the fewest; of a Project, the
    oldest piece. A Project with `per_project` pieces running gets no more. (Two nodes that claim
    in the same instant may begin one more.)
    """
    running: dict[int, list[str]] = {}
    for project, count in connection.execute(_running_by_project()):
        running.setdefault(count, []).append(project)
    busy = [project for group in running.values() for project in group]
    claimed = _claim(connection, _Wanted(tuple(kinds), busy=False), busy, owner, now)
    for count in sorted(running):
        if claimed is None and count < per_project:
            wanted = _Wanted(tuple(kinds), busy=True)
            claimed = _claim(connection, wanted, running[count], owner, now)
    return claimed


def claim_cancelled(
    connection: Connection, *, owner: str, now: int, kinds: Sequence[str]
) -> Work | None:
    """Begin an attempt at queued work that somebody wants to be cancelled."""
    return _claim(connection, _Wanted(tuple(kinds), cancelled=True), (), owner, now)


def is_due(
    connection: Connection, *, now: int, kinds: Sequence[str], cancelled: bool = False
) -> bool:
    """Whether there is work to claim, of whatever Project; or some that is to be cancelled."""
    wanted = _Wanted(tuple(kinds), cancelled=cancelled)
    return connection.execute(_first(wanted), _due_at(now)).first() is not None


class _Wanted(NamedTuple):
    """What to look for in the queue."""

    kinds: tuple[str, ...]
    #: Only of the Projects in `:projects`, or only of others, or of any.
    busy: bool | None = None
    cancelled: bool = False


def _claim(
    connection: Connection, wanted: _Wanted, projects: Sequence[str], owner: str, now: int
) -> Work | None:
    values = _due_at(now) if wanted.busy is None else _due_at(now) | {"projects": projects}
    id_ = connection.execute(_first_unlocked(wanted), values).scalar_one_or_none()
    if id_ is None:
        return None
    values = {"of_id": id_, "owner": owner, "now": now}
    return decoded(connection.execute(_claiming(), values).one())


def _due_at(now: int) -> dict[str, Any]:
    return {"now": now, "far": now + LONGEST_BACKOFF}


@functools.cache
def _first(wanted: _Wanted) -> Select[Any]:
    """The first piece of what is due: where there was no fault, whatever the clock says."""
    query = (
        select(work.c.id)
        .where(
            work.c.state == WorkState.QUEUED,
            work.c.kind.in_(wanted.kinds),
            work.c.cancel_requested.is_(wanted.cancelled),
            sqlalchemy.or_(
                work.c.failures == 0,
                work.c.run_at <= bindparam("now"),
                work.c.run_at > bindparam("far"),
            ),
        )
        .order_by(work.c.run_at, work.c.id)
        .limit(1)
    )
    if wanted.busy is None:
        return query
    theirs = work.c.project.in_(bindparam("projects", expanding=True))
    return query.where(theirs if wanted.busy else sqlalchemy.not_(theirs))


@functools.cache
def _first_unlocked(wanted: _Wanted) -> Select[Any]:
    """The first that nobody else is about to claim; it is locked to the commit."""
    # SQLite leaves the clause out and needs none: its write transactions run one at a time.
    return _first(wanted).with_for_update(skip_locked=True)


@functools.cache
def _running_by_project() -> Select[Any]:
    query = select(work.c.project, func.count()).where(work.c.state == WorkState.RUNNING)
    return query.group_by(work.c.project)


@functools.cache
def _claiming() -> ReturningUpdate[Any]:
    return (
        work.update()
        .where(work.c.id == bindparam("of_id"))
        .values(
            state=TRANSITIONS.after(WorkState.QUEUED, WorkEvent.CLAIM),
            attempt=work.c.attempt + 1,
            lease_owner=bindparam("owner"),
            beats=work.c.beats + 1,
            started_at=func.coalesce(work.c.started_at, bindparam("now")),
        )
        .returning(*COLUMNS)
    )
