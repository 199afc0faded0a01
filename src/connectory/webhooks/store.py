"""The rows of webhooks and of what they tell."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, or_, select

from connectory.contract.webhooks import DeliveryState, WebhookEvent
from connectory.database.tables import webhook_deliveries as deliveries
from connectory.database.tables import webhooks as table
from connectory.webhooks.model import Attempt, Delivery, Webhook

_encoder = msgspec.json.Encoder()
_events = msgspec.json.Decoder(tuple[WebhookEvent, ...])
_attempts = msgspec.json.Decoder(tuple[Attempt, ...])
_NONE: Final = "[]"


def add(connection: Connection, webhook: Webhook) -> None:
    """Write a new webhook."""
    connection.execute(
        table.insert().values(
            id=webhook.id,
            project=webhook.project,
            url=webhook.url,
            events=_encoder.encode(webhook.events).decode(),
            sealed=webhook.sealed,
            created_at=webhook.created_at,
        )
    )


def of_project(connection: Connection, project: str) -> list[Webhook]:
    """The webhooks of a Project, the oldest first."""
    query = select(table).where(table.c.project == project)
    return list(map(_webhook, connection.execute(query.order_by(table.c.created_at, table.c.id))))


def count(connection: Connection, project: str) -> int:
    """How many webhooks a Project has."""
    query = select(func.count()).select_from(table).where(table.c.project == project)
    return int(connection.execute(query).scalar_one())


def find(connection: Connection, id_: str, project: str) -> Webhook | None:
    """A webhook of a Project."""
    query = select(table).where(table.c.id == id_, table.c.project == project)
    row = connection.execute(query).one_or_none()
    return None if row is None else _webhook(row)


def with_ids(connection: Connection, ids: Collection[str]) -> dict[str, Webhook]:
    """Webhooks by their ids, as far as they are there."""
    query = select(table).where(table.c.id.in_(ids))
    return {row.id: _webhook(row) for row in connection.execute(query)}


def remove(connection: Connection, id_: str) -> None:
    """Remove a webhook, and what it tells."""
    connection.execute(delete(deliveries).where(deliveries.c.webhook_id == id_))
    connection.execute(delete(table).where(table.c.id == id_))


def append(connection: Connection, project: str, found: Sequence[Delivery]) -> None:
    """Write new deliveries of a Project's webhooks."""
    rows = [
        {
            "id": each.id,
            "webhook_id": each.webhook_id,
            "project": project,
            "type": each.type,
            "payload": each.payload.decode(),
            "state": each.state,
            "attempts": _NONE,
            "next_at": each.next_at,
            "claimed": False,
            "created_at": each.created_at,
        }
        for each in found
    ]
    connection.execute(deliveries.insert(), rows)


def is_due(connection: Connection, now: int) -> bool:
    """Whether something is to be sent."""
    query = select(deliveries.c.id).where(deliveries.c.next_at <= now).limit(1)
    return connection.execute(query).first() is not None


def claim(
    connection: Connection,
    now: int,
    *,
    until: int,
    limit: int,
    per_webhook: int,
    busy: Mapping[str, int],
) -> list[Delivery]:
    """Take deliveries that are due, those that have waited for longest first.

    They are nobody else's until `until`, and so many of each webhook at most, with those that are
    under way already: `busy` has how many, by the webhook's id.
    """
    full = [id_ for id_, number in busy.items() if number >= per_webhook]
    query = (
        select(deliveries)
        .where(deliveries.c.next_at <= now, deliveries.c.webhook_id.not_in(full))
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(limit * per_webhook)
        .with_for_update(skip_locked=True)
    )
    taken = dict(busy)
    chosen: list[Delivery] = []
    for row in connection.execute(query):
        number = taken.get(row.webhook_id, 0)
        if number < per_webhook and len(chosen) < limit:
            taken[row.webhook_id] = number + 1
            chosen.append(msgspec.structs.replace(_delivery(row), next_at=until))
    if chosen:
        connection.execute(
            deliveries.update()
            .where(deliveries.c.id.in_([each.id for each in chosen]))
            .values(next_at=until, claimed=True)
        )
    return chosen


def release_all(connection: Connection, now: int) -> None:
    """Let go what was claimed: whoever claimed it is no more."""
    place = and_(deliveries.c.claimed, deliveries.c.next_at > now)
    connection.execute(deliveries.update().where(place).values(next_at=now, claimed=False))


def settle(connection: Connection, before: Delivery, after: Delivery) -> None:
    """Write what an attempt came to, unless another has taken the delivery meanwhile."""
    connection.execute(
        deliveries.update()
        .where(deliveries.c.id == before.id, deliveries.c.next_at == before.next_at)
        .values(
            state=after.state,
            attempts=_encoder.encode(after.attempts).decode(),
            next_at=after.next_at,
            claimed=False,
        )
    )


def drop(connection: Connection, ids: Collection[str]) -> None:
    """Remove deliveries whose webhook is gone."""
    connection.execute(delete(deliveries).where(deliveries.c.id.in_(ids)))


def send_again(connection: Connection, webhook_id: str, id_: str, now: int) -> bool:
    """Have a delivery sent now, whatever became of it; whether there is one."""
    place = and_(deliveries.c.id == id_, deliveries.c.webhook_id == webhook_id)
    values = {"state": DeliveryState.WAITING, "next_at": now, "claimed": False}
    return bool(connection.execute(deliveries.update().where(place).values(values)).rowcount)


def find_delivery(connection: Connection, webhook_id: str, id_: str) -> Delivery | None:
    """A delivery of a webhook."""
    query = select(deliveries).where(deliveries.c.id == id_, deliveries.c.webhook_id == webhook_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _delivery(row)


def listed(
    connection: Connection, webhook_id: str, *, before: tuple[int, str] | None, limit: int
) -> list[Delivery]:
    """Deliveries of a webhook, the latest first: those before an instant and an id."""
    columns = deliveries.c
    query = select(deliveries).where(columns.webhook_id == webhook_id)
    if before is not None:
        at, id_ = before
        query = query.where(
            or_(columns.created_at < at, and_(columns.created_at == at, columns.id < id_))
        )
    query = query.order_by(columns.created_at.desc(), columns.id.desc()).limit(limit)
    return list(map(_delivery, connection.execute(query)))


def sweep(connection: Connection, before: int, limit: int) -> int:
    """Remove deliveries that are over and were made before an instant; how many."""
    chosen = (
        select(deliveries.c.id)
        .where(deliveries.c.created_at < before, deliveries.c.next_at.is_(None))
        .limit(limit)
    )
    return connection.execute(delete(deliveries).where(deliveries.c.id.in_(chosen))).rowcount


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        project=row.project,
        url=row.url,
        events=_events.decode(row.events),
        sealed=row.sealed,
        created_at=row.created_at,
    )


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        type=WebhookEvent(row.type),
        payload=row.payload.encode(),
        state=DeliveryState(row.state),
        attempts=_attempts.decode(row.attempts) if row.attempts != _NONE else (),
        next_at=row.next_at,
        created_at=row.created_at,
    )
