"""The rows of work: how it comes into the queue, and what there is.

`claims` takes it from there, `results` records what came of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Row, func, select

from connectory.database.tables import work
from connectory.kernel import ids
from connectory.work.model import OPEN, TRANSITIONS, Backlog, Work, WorkState

#: Finished rows that one statement deletes: it must not keep other writers waiting.
_SWEPT_AT_ONCE = 1_000

#: The columns that `decoded` reads.
COLUMNS = tuple(work.c[name] for name in Work.__struct_fields__)
_object = msgspec.json.Decoder(dict[str, Any])


def enqueue(
    connection: Connection,
    *,
    kind: str,
    subject: str,
    project: str,
    payload: Mapping[str, Any],
    now: int,
) -> Work:
    """Queue work, in the transaction of what calls for it; `Worker.wake` after the commit.

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
            payload=encoded(payload),
            progress="{}",
            attempt=0,
            failures=0,
            run_at=now,
            beats=0,
            cancel_requested=False,
            created_at=now,
        )
        .returning(*COLUMNS)
    ).one()
    return decoded(row)


def request_cancel(connection: Connection, id_: str, *, now: int) -> bool:
    """Ask for work to be cancelled: no step of it is recorded after this commits.

    A worker then marks it so, and lets its handler know. False where it has ended, or never was.
    """
    changed = connection.execute(
        work.update()
        .where(work.c.id == id_, work.c.state.in_(OPEN))
        .values(
            cancel_requested=True,
            run_at=sqlalchemy.case((work.c.run_at > now, now), else_=work.c.run_at),
        )
    )
    return changed.rowcount == 1


def find(connection: Connection, id_: str) -> Work | None:
    """A piece of work by its id."""
    row = connection.execute(select(*COLUMNS).where(work.c.id == id_)).one_or_none()
    return decoded(row) if row is not None else None


def open_of_subject(connection: Connection, subject: str) -> list[Work]:
    """What is queued or running for a subject, oldest first."""
    query = (
        select(*COLUMNS)
        .where(work.c.subject == subject, work.c.state.in_(OPEN))
        .order_by(work.c.created_at, work.c.id)
    )
    return [decoded(row) for row in connection.execute(query)]


def count_open(connection: Connection, project: str) -> int:
    """How many pieces are queued or running for a Project, given as `region:projectKey`."""
    query = select(func.count()).where(work.c.project == project, work.c.state.in_(OPEN))
    return int(connection.execute(query).scalar_one())


def newest(connection: Connection, *, states: Sequence[WorkState], limit: int) -> Iterator[Work]:
    """Work in one of these states, newest first."""
    query = (
        select(*COLUMNS)
        .where(work.c.state.in_(states))
        .order_by(work.c.created_at.desc(), work.c.id)
        .limit(limit)
    )
    return map(decoded, connection.execute(query))


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
    """Delete what ended before an instant, at most a thousand pieces; how many it were."""
    old = select(work.c.id).where(work.c.finished_at < finished_before).limit(_SWEPT_AT_ONCE)
    return connection.execute(work.delete().where(work.c.id.in_(old))).rowcount


def encoded(value: Mapping[str, Any]) -> str:
    """A JSON object as its column has it."""
    return msgspec.json.encode(value).decode()


def decoded(row: Row[Any]) -> Work:
    """A row of `COLUMNS`."""
    values = row._asdict()
    values["state"] = WorkState(row.state)
    values["payload"] = _object.decode(row.payload)
    values["progress"] = _object.decode(row.progress)
    return Work(**values)
