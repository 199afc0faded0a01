"""A follower of the change feed that tells what it heard.

What it follows are rows of `revocations`, which the feed marks with its numbers; nothing here is
about identity otherwise.
"""

import asyncio
from typing import Any

import sqlalchemy

from connectory.database import feed
from connectory.database.engine import Database
from connectory.database.feed import Follower, Freshness
from connectory.database.tables import revocations


def change(connection: sqlalchemy.Connection, subject: str) -> int:
    number = feed.advance(connection)
    connection.execute(
        revocations.insert().values(seq=number, kind="token", subject=subject, revoked_at=0)
    )
    return number


class Heard:
    """A subscriber that keeps what it hears."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.loads = 0

    def read(self, connection: sqlalchemy.Connection, since: int | None) -> Any:
        query = sqlalchemy.select(revocations.c.subject).order_by(revocations.c.seq)
        if since is not None:
            query = query.where(revocations.c.seq > since)
        return list(connection.execute(query).scalars())

    async def apply(self, changes: Any, *, anew: bool) -> None:
        if anew:
            self.loads += 1
            self.subjects = []
        self.subjects += changes


class Node:
    """A follower of a database with one subscriber; `catch_up` is one poll of it."""

    def __init__(self, database: Database) -> None:
        self.heard = Heard()
        self.freshness = Freshness()
        self.follower = Follower(database, (self.heard,), self.freshness)

    def catch_up(self) -> list[str]:
        asyncio.run(self.follower.catch_up())
        return self.heard.subjects
