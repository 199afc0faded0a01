"""The rows of topics and messages."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, and_, bindparam, delete, exists, func, insert, select

from connectory.contract.messages import MessageState
from connectory.database.tables import messages as table
from connectory.database.tables import topics
from connectory.messages import telling
from connectory.messages.model import Attempt, Message, Outcome, Topic
from connectory.specification.shape import RetryPolicy

_encoder = msgspec.json.Encoder()
_attempts_decoder = msgspec.json.Decoder(tuple[Attempt, ...])
_policy_decoder = msgspec.json.Decoder(RetryPolicy)
#: Ids in one statement.
_IDS: Final = 500
_NONE: Final = "[]"

_settle = (
    table.update()
    .where(table.c.id == bindparam("of"), table.c.state == MessageState.WAITING)
    .values(
        state=bindparam("state_"),
        due_at=bindparam("due_at_"),
        attempts=bindparam("attempts_"),
        attempt_count=table.c.attempt_count + 1,
        settled_at=bindparam("settled_at_"),
        expires_at=bindparam("expires_at_"),
    )
)


class Known(Struct, frozen=True, kw_only=True):
    """A topic, and whether something of it is due."""

    topic: Topic
    due: bool


class Counts(Struct, frozen=True, kw_only=True):
    """How many messages there are."""

    waiting: int
    dead: int


def put_topic(connection: Connection, topic: Topic, now: int) -> None:
    """Write a topic; one that is there keeps its key and its name."""
    values = {
        "deployment_id": topic.deployment_id,
        "project": topic.project,
        "application": topic.application,
        "endpoint": topic.endpoint,
        "retry_policy": None
        if topic.retry_policy is None
        else _encoder.encode(topic.retry_policy).decode(),
        "delivers": topic.delivers,
    }
    place = topics.c.application_id == topic.application_id
    if not connection.execute(topics.update().where(place).values(values)).rowcount:
        connection.execute(
            topics.insert().values(
                application_id=topic.application_id, name=topic.name, created_at=now, **values
            )
        )


def topic_named(connection: Connection, name: str) -> Topic | None:
    """A topic by the last part of its full name."""
    row = connection.execute(select(topics).where(topics.c.name == name)).one_or_none()
    return None if row is None else _topic(row)


def topics_of(connection: Connection, deployment_id: str) -> list[Topic]:
    """The topics of a Deployment, by the names of their applications."""
    query = select(topics).where(topics.c.deployment_id == deployment_id)
    return [_topic(row) for row in connection.execute(query.order_by(topics.c.application))]


def set_key(connection: Connection, application_id: str, digest: str | None) -> None:
    """Give a topic another key, or none."""
    place = topics.c.application_id == application_id
    connection.execute(topics.update().where(place).values(key_digest=digest))


def known_topics(connection: Connection, now: int) -> list[Known]:
    """All topics, and whether something is due that nobody delivers yet."""
    due = exists(
        select(table.c.id).where(
            table.c.application_id == topics.c.application_id, table.c.due_at <= now
        )
    ).label("due")
    return [
        Known(topic=_topic(row), due=bool(row.due))
        for row in connection.execute(select(topics, due))
    ]


def held_names(connection: Connection, names: Collection[str]) -> dict[str, tuple[str, str]]:
    """Application and Deployment, by their ids, of the topics of these names that there are.

    They are there until this transaction ends.
    """
    query = (
        select(topics.c.name, topics.c.application_id, topics.c.deployment_id)
        .where(topics.c.name.in_(names))
        .with_for_update(read=True)
    )
    return {name: (application, of) for name, application, of in connection.execute(query)}


def remove_topics(connection: Connection, application_ids: Iterable[str]) -> None:
    """Remove the topics of applications; nothing is accepted for them any more."""
    connection.execute(topics.delete().where(topics.c.application_id.in_(list(application_ids))))


def remove_messages(connection: Connection, deployment_id: str, most: int) -> int:
    """Remove messages to a Deployment, up to so many; how many there were."""
    chosen = select(table.c.id).where(table.c.deployment_id == deployment_id).limit(most)
    return connection.execute(delete(table).where(table.c.id.in_(chosen))).rowcount


def append(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Write new messages; their ids, in the order of the rows, each greater than the one before."""
    query = insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return list(connection.execute(query, list(rows)).scalars())


def new_row(
    *,
    application_id: str,
    deployment_id: str,
    content: str,
    correlation_id: str,
    now: int,
    expires_at: int,
) -> dict[str, Any]:
    """The row of a new message, due at once."""
    return {
        "application_id": application_id,
        "deployment_id": deployment_id,
        "state": MessageState.WAITING,
        "due_at": now,
        "content": content,
        "correlation_id": correlation_id,
        "published_at": now,
        "attempt_count": 0,
        "attempts": _NONE,
        "expires_at": expires_at,
    }


def settle(connection: Connection, outcomes: Sequence[Outcome]) -> None:
    """Write what deliveries have come to."""
    connection.execute(
        _settle,
        [
            {
                "of": each.message.id,
                "state_": each.state,
                "due_at_": each.due_at,
                "attempts_": _encoder.encode(each.attempts).decode(),
                "settled_at_": each.settled_at,
                "expires_at_": each.expires_at,
            }
            for each in outcomes
        ],
    )


def due(connection: Connection, application_id: str, now: int, limit: int) -> list[Message]:
    """Messages to an application that are due, those that have waited for longest first."""
    query = (
        select(table)
        .where(table.c.application_id == application_id, table.c.due_at <= now)
        .order_by(table.c.due_at, table.c.id)
        .limit(limit)
    )
    return [_message(row) for row in connection.execute(query)]


def find(connection: Connection, deployment_id: str, id_: int) -> Message | None:
    """A message of a Deployment."""
    query = select(table).where(table.c.id == id_, table.c.deployment_id == deployment_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _message(row)


def listed(
    connection: Connection,
    deployment_id: str,
    *,
    state: MessageState,
    application_id: str | None,
    before: int | None,
    limit: int,
) -> list[Message]:
    """Messages of a Deployment in a state, those with the greatest ids first."""
    conditions = [table.c.deployment_id == deployment_id, table.c.state == state]
    if application_id is not None:
        conditions.append(table.c.application_id == application_id)
    if before is not None:
        conditions.append(table.c.id < before)
    query = select(table).where(and_(*conditions)).order_by(table.c.id.desc()).limit(limit)
    return [_message(row) for row in connection.execute(query)]


def dead_ids(
    connection: Connection,
    deployment_id: str,
    *,
    application_id: str | None,
    after: int,
    limit: int,
) -> list[int]:
    """Ids of dead messages of a Deployment that are greater than one, the smallest first."""
    conditions = [
        table.c.deployment_id == deployment_id,
        table.c.state == MessageState.DEAD,
        table.c.id > after,
    ]
    if application_id is not None:
        conditions.append(table.c.application_id == application_id)
    query = select(table.c.id).where(and_(*conditions)).order_by(table.c.id).limit(limit)
    return list(connection.execute(query).scalars())


def replay(
    connection: Connection, deployment_id: str, ids: Sequence[int], now: int, expires_at: int
) -> int:
    """Have dead messages delivered again; how many there were."""
    changed = 0
    for part in _parts(ids):
        changed += connection.execute(
            table.update()
            .where(*_dead(deployment_id, part))
            .values(
                state=MessageState.WAITING,
                due_at=now,
                attempt_count=0,
                settled_at=None,
                expires_at=expires_at,
            )
        ).rowcount
    return changed


def drop(connection: Connection, deployment_id: str, ids: Sequence[int]) -> int:
    """Remove dead messages; how many there were."""
    return sum(
        connection.execute(delete(table).where(*_dead(deployment_id, part))).rowcount
        for part in _parts(ids)
    )


def expire(connection: Connection, now: int, limit: int, *, kept: int) -> int:
    """Have messages die that have waited for too long, and remove dead ones; how many there were.

    Those that die are kept for so many microseconds more.
    """
    chosen = select(table.c.id).where(table.c.expires_at <= now).limit(limit)
    ids = list(connection.execute(chosen).scalars())
    if not ids:
        return 0
    telling.tell_of_expired(connection, ids, now)
    removed = connection.execute(
        delete(table).where(table.c.id.in_(ids), table.c.state == MessageState.DEAD)
    ).rowcount
    died = connection.execute(
        table.update()
        .where(table.c.id.in_(ids), table.c.state == MessageState.WAITING)
        .values(state=MessageState.DEAD, due_at=None, settled_at=now, expires_at=now + kept)
    ).rowcount
    return removed + died


def sweep_acknowledged(connection: Connection, deployment_id: str, *, kept: int, limit: int) -> int:
    """Remove the oldest acknowledged messages of a Deployment but for so many; how many."""
    mine = and_(table.c.deployment_id == deployment_id, table.c.state == MessageState.ACKNOWLEDGED)
    oldest_kept = connection.execute(
        select(table.c.id).where(mine).order_by(table.c.id.desc()).offset(kept).limit(1)
    ).scalar_one_or_none()
    if oldest_kept is None:
        return 0
    chosen = select(table.c.id).where(mine, table.c.id <= oldest_kept).order_by(table.c.id)
    return connection.execute(delete(table).where(table.c.id.in_(chosen.limit(limit)))).rowcount


def count(connection: Connection) -> Counts:
    """How many messages wait and how many have died, of all Deployments."""
    query = (
        select(table.c.state, func.count().label("number"))
        .where(table.c.state != MessageState.ACKNOWLEDGED)
        .group_by(table.c.state)
    )
    found = {row.state: row.number for row in connection.execute(query)}
    return Counts(waiting=found.get(MessageState.WAITING, 0), dead=found.get(MessageState.DEAD, 0))


def _dead(deployment_id: str, ids: Sequence[int]) -> tuple[Any, ...]:
    return (
        table.c.id.in_(ids),
        table.c.deployment_id == deployment_id,
        table.c.state == MessageState.DEAD,
    )


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + _IDS] for start in range(0, len(ids), _IDS))


def _topic(row: Row[Any]) -> Topic:
    return Topic(
        name=row.name,
        application_id=row.application_id,
        deployment_id=row.deployment_id,
        project=row.project,
        application=row.application,
        endpoint=row.endpoint,
        retry_policy=None if row.retry_policy is None else _policy_decoder.decode(row.retry_policy),
        delivers=row.delivers,
        key_digest=row.key_digest,
    )


def _message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        application_id=row.application_id,
        deployment_id=row.deployment_id,
        state=MessageState(row.state),
        due_at=row.due_at,
        content=msgspec.Raw(row.content.encode()),
        correlation_id=row.correlation_id,
        published_at=row.published_at,
        attempt_count=row.attempt_count,
        attempts=_attempts_decoder.decode(row.attempts) if row.attempts != _NONE else (),
        settled_at=row.settled_at,
        expires_at=row.expires_at,
    )
