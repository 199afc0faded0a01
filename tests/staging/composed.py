"""A node in the test's own process, whose background work is done by hand, a piece at a time."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy

from connectory import app
from connectory.database.engine import Database
from connectory.database.tables import work as table
from connectory.identity.administration import Administration
from connectory.kernel.clock import SECOND, system_clock
from connectory.settings import Settings
from connectory.sources.service import Sources
from connectory.staging.checks import Check, Result, Source, checks
from connectory.staging.service import KINDS
from connectory.staging.work import Checking
from connectory.work import claims, store
from connectory.work.attempts import Attempts
from connectory.work.lease import Lease
from connectory.work.model import Work
from tests.harness import Installation
from tests.staging.conftest import REGION
from tests.staging.repositories import SCANNERS_OFF, Repositories

#: How long a check may take to be reached.
REACHED_SECONDS = 60.0


class Ticks:
    """A clock by which no two things happen at once, so that the oldest piece of work is known."""

    def __init__(self) -> None:
        self._now = system_clock()
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self._now += SECOND // 1_000
            return self._now


class Gate:
    """A check that waits to be let in."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.name, self.title = check.name, check.title
        #: Whether a worker stands before it, or has ended without.
        self.looked = threading.Event()
        self.waits = False
        self.opened = threading.Event()

    def run(self, source: Source) -> Result:
        self.waits = True
        self.looked.set()
        assert self.opened.wait(REACHED_SECONDS)
        self.waits = False
        return self._check.run(source)


class Composed:
    """The node, its clients, and a worker."""

    def __init__(self, installation: Installation, database: Database, folder: Path) -> None:
        policy = folder / "policy.toml"
        policy.write_text(SCANNERS_OFF)
        repositories = Repositories(folder / "repositories", "shop")
        installation.settings |= repositories.settings | {"CONNECTORY_CHECK_POLICY": str(policy)}
        self.repositories = repositories
        self.database = database
        self.clock = Ticks()
        self._settings = Settings.load(installation.environment)
        self._node = app.compose(self._settings, database, self.clock)
        self._sources = Sources(self._settings, database, self.clock)
        self._checks = checks(self._settings, self.clock, self._settings.data / "checks")
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(self._node.application)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://node")
        self._runner.run(self._node.follower.catch_up())
        self._running: tuple[threading.Thread, Gate] | None = None

    def close(self) -> None:
        self.end()
        self._runner.run(self._http.aclose())
        self._runner.close()

    def client(self, project: str) -> str:
        """A token of a new Project."""
        with self.database.write() as connection:
            administration = Administration(connection, actor="command:tests", now=self.clock())
            administration.create_project(project, REGION, production=False)
            made = administration.create_client(project, "manage_project")
        answer = self._runner.run(
            self._http.post(
                "/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(made.client_id, made.client_secret),
            )
        )
        return str(answer.json()["access_token"])

    def operator(self, name: str) -> str:
        """The token of a new operator."""
        with self.database.write() as connection:
            administration = Administration(connection, actor="command:tests", now=self.clock())
            return administration.create_operator(name).token

    def ask(self, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """What the node answers."""
        headers = {"Authorization": f"Bearer {token}"}
        content = None if method in ("GET", "DELETE") else body
        return self._runner.run(self._http.request(method, path, headers=headers, json=content))

    # Work

    def forget_work(self) -> None:
        """Have nothing queued."""
        with self.database.write() as connection:
            connection.execute(table.delete())

    def begin(self) -> Work | None:
        """Have a worker do the oldest piece of work, until the structure check begins.

        None where nothing is queued.
        """
        with self.database.write() as connection:
            claimed = claims.claim(
                connection, owner="a", now=self.clock(), kinds=KINDS, per_project=9
            )
        if claimed is not None:
            gate = Gate(self._checks[0])
            lease = Lease(self.database, self.clock, claimed, threading.Event())
            thread = threading.Thread(
                target=self._work, args=(lease, gate, (gate, *self._checks[1:]))
            )
            thread.start()
            self._running = (thread, gate)
            assert gate.looked.wait(REACHED_SECONDS)
            if not gate.waits:
                self.end()
        return claimed

    @property
    def is_working(self) -> bool:
        return self._running is not None

    def end(self) -> None:
        """Let the worker go on to the end of what it has begun."""
        if self._running is not None:
            thread, gate = self._running
            gate.opened.set()
            thread.join(REACHED_SECONDS)
            assert not thread.is_alive()
            self._running = None

    def cancel(self, id_: str) -> None:
        """Do what an operator asks who has enough of a piece of work."""
        with self.database.write() as connection:
            assert store.request_cancel(connection, id_, now=self.clock())
            claimed = claims.claim_cancelled(connection, owner="a", now=self.clock(), kinds=KINDS)
        if claimed is not None:  # it was queued
            lease = Lease(self.database, self.clock, claimed, threading.Event())
            self._attempts(()).make(lease)

    def works(self) -> Iterator[Work]:
        """All work, oldest first."""
        query = sqlalchemy.select(*store.COLUMNS).order_by(table.c.created_at)
        with self.database.read() as connection:
            return map(store.decoded, connection.execute(query).all())

    def _work(self, lease: Lease, gate: Gate, made: tuple[Check, ...]) -> None:
        try:
            self._attempts(made).make(lease)
        finally:
            gate.looked.set()

    def _attempts(self, made: tuple[Check, ...]) -> Attempts:
        handlers = {
            kind: Checking(
                kind,
                self.database,
                self._sources,
                made,
                self.clock,
                catalogue_changed=self._node.follower.hint,
            )
            for kind in KINDS
        }
        return Attempts(self.database, self.clock, handlers)
