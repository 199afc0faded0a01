"""A log that is written to, and what it is asked."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy

from connectory.contract.logs import DeploymentLogSeverity
from connectory.database.engine import Database
from connectory.database.tables import log_entries, log_volumes
from connectory.kernel.clock import DAY, SECOND, system_clock
from connectory.logs.endpoints import Found, LogParameters, query_logs
from connectory.logs.model import Entry, text_entry
from connectory.logs.service import Bounds, Logs
from connectory.logs.store import Filter

NOW = system_clock()


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Program:
    deployment_id: str = "one"
    application: str = "service"


@dataclass
class Log:
    """The log under test, of a database of its own."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        self.logs = Logs(self.database, self.clock, self.bounds)

    def write(self, *entries: Entry) -> None:
        """Write entries and wait until they are there."""
        with self.logs.writing():
            for entry in entries:
                self.logs.add(entry)

    def print(self, *lines: str, **program: str) -> None:
        with self.logs.writing():
            for line in lines:
                self.logs.output(Program(**program), "stdout", line.encode())

    def messages(self, deployment_id: str = "one", **filters: Any) -> list[str]:
        """All entries, the oldest first, by their messages."""
        with contextlib.suppress(KeyError):
            filters["severity"] = DeploymentLogSeverity(filters["severity"])
        wanted = Filter(deployment_id=deployment_id, **filters)
        found, more = asyncio.run(
            self.logs.query(wanted, start=0, end=2 * self.clock.now, limit=100_000)
        )
        assert not more
        return [each.entry.details for each in found]

    def page(self, **parameters: Any) -> tuple[list[str], str]:
        """The messages of a page, and the token of the next."""
        found = Found(deployment_id="one", applications=("service", "job"))
        answer = asyncio.run(query_logs(self.logs, found, LogParameters(**parameters)))
        return [each.details["message"] for each in answer.data], answer.next

    def count(self) -> int:
        with self.database.read() as connection:
            query = sqlalchemy.select(sqlalchemy.func.count()).select_from(log_entries)
            return int(connection.execute(query).scalar_one())

    def volumes(self) -> dict[str, int]:
        with self.database.read() as connection:
            rows = connection.execute(sqlalchemy.select(log_volumes))
            return {row.deployment_id: row.bytes for row in rows}

    def true_volumes(self) -> dict[str, int]:
        """What the volumes must be: worked out from the entries."""
        total = sqlalchemy.func.sum(log_entries.c.bytes)
        query = sqlalchemy.select(log_entries.c.deployment_id, total).group_by(
            log_entries.c.deployment_id
        )
        with self.database.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}

    def bounded(self, **bounds: int) -> "Log":
        """The same database under other bounds."""
        return dataclasses.replace(self, bounds=Bounds(**bounds))


@pytest.fixture
def log(database: Database) -> Log:
    return Log(database)


def entry(message: str = "hello", **fields: Any) -> Entry:
    given = {"deployment_id": "one", "application": "service", "at": NOW} | fields
    return text_entry(message=message, **given)


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


__all__ = ["DAY", "NOW", "SECOND", "Log", "Program", "entry", "until"]
