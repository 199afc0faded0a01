"""The audit log: who did what, when, on what.

A row is written in the transaction of the act itself, so that neither is there without the other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from connectory.database.tables import audit


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody did."""

    #: Microseconds since 1970.
    at: int
    #: `command:{login name}`, `client:{id}` or `operator:{name}`.
    actor: str
    #: `slice:subject:verb`, as `identity:client:create`.
    action: str
    #: What it was done to: a key or an id.
    subject: str
    #: What else is worth knowing; never a secret.
    details: Mapping[str, Any]


def record(connection: Connection, act: Act) -> None:
    """Write an act."""
    connection.execute(
        audit.insert().values(
            at=act.at,
            actor=act.actor,
            action=act.action,
            subject=act.subject,
            details=msgspec.json.encode(act.details).decode(),
        )
    )


def acts(connection: Connection, *, limit: int) -> Iterator[Act]:
    """The newest acts, newest first."""
    rows = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit))
    for row in rows:
        yield Act(
            at=row.at,
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            details=msgspec.json.decode(row.details),
        )
