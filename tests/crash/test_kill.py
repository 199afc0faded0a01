"""`kill -9` of the server, of an import and of commands, at random moments of their writes.

Whatever dies, what was acknowledged is there afterwards, and what was not is wholly there or not at
all. The power is cut to all of them, or some die and the others go on.
"""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy

from connectory.database.engine import Database
from connectory.database.tables import clients, revocations, tokens
from connectory.kernel import ids
from tests.crash.catalogues import (
    ADDED,
    CHANGED,
    SAME,
    Line,
    State,
    assert_whole,
    by_key,
    generation,
    state,
)
from tests.crash.writers import Acknowledged, ClientWriter, Import, TokenWriter
from tests.harness import COMMAND as EXECUTABLE
from tests.harness import UNMEASURED, Installation, Server, free_port

#: How soon after a crash a server must be ready: nothing is repaired, but the machine is busy.
READY_SECONDS = 20.0
#: How soon a server must have heard of an import of thousands; tests/nodes is about a second.
HEARD_SECONDS = 20.0
#: How many of each kind are asked of the server after each crash; the database is asked for all.
SAMPLE = 40

SERVER, IMPORT, COMMAND = "server", "import", "command"
VICTIMS = ({SERVER, IMPORT, COMMAND}, {IMPORT, COMMAND}, {SERVER})

ROUNDS = pytest.mark.parametrize("rounds", [10, pytest.param(50, marks=pytest.mark.long)])


@pytest.mark.timeout(600)
@ROUNDS
def test_nothing_acknowledged_is_lost_and_nothing_is_half_done(
    crashes: "Crashes", chance: random.Random, rounds: int
) -> None:
    crashes.measure()
    # Spread evenly over the import, so that few rounds already meet every part of it.
    moments = [2 * (number + chance.random()) / rounds for number in range(rounds)]
    chance.shuffle(moments)
    for number, moment in enumerate(moments):
        crashes.crash(VICTIMS[number % len(VICTIMS)], moment)
    crashes.finish()


@pytest.fixture
def crashes(
    installation: Installation, database: Database, chance: random.Random
) -> Iterator["Crashes"]:
    installation.settings |= UNMEASURED
    installation.project("shop")
    made = Crashes(installation, database, chance)
    yield made
    made.server.kill()


def started(installation: Installation) -> Server:
    """A server that is ready soon enough."""
    began = time.monotonic()
    server = installation.start()
    assert httpx.get(f"{server.url}/ready").status_code == 200
    assert time.monotonic() - began < READY_SECONDS
    return server


class Crashes:
    """An installation at work, which is crashed again and again.

    The moment of a crash is from 0 to 2: up to 1 it is the part of its lines that the import has
    been given; above 1 it is the part of the time that the import takes from there to its end.
    """

    def __init__(
        self, installation: Installation, database: Database, chance: random.Random
    ) -> None:
        self.server = started(installation)
        self._installation = installation
        self._database = database
        self._chance = chance
        self._credentials = installation.credentials("shop")
        self._acknowledged = Acknowledged()
        self._catalogue: State = {}
        self._generations = 0
        self._swap_seconds = 0.0
        self._outcomes: Counter[str] = Counter()

    def measure(self) -> None:
        """A round in which nothing dies: it tells how long an import takes."""
        self.crash(set(), 1.0)

    def crash(self, victims: set[str], moment: float) -> None:
        """Import the next generation and crash meanwhile; then look, and import it again."""
        print(f"generation {self._generations}: kill {sorted(victims)} at {moment:.3f}", end=" ")
        lines = generation(self._generations)
        catalogues = {"before": self._catalogue, "after": self._catalogue | by_key(lines)}
        # The test's own connections would keep the journal alive over the crash.
        self._database.engine.dispose()
        imported = self._write_and_kill(victims, moment, lines)
        if SERVER in victims:
            self.server = started(self._installation)
        self._check_acknowledged(SAMPLE)
        there = [name for name, each in catalogues.items() if each == state(self._database)]
        print(f"-> imported: {imported}, the catalogue is the one {there}")
        assert there == ["after"] if imported else len(there) == 1
        self._outcomes[there[0]] += 1
        with self.server.client(self._credentials) as api:
            assert total(api) in {len(each) for each in catalogues.values()}

        self._import_again(lines, was_there=there == ["after"])
        self._catalogue = catalogues["after"]
        self._generations += 1
        assert state(self._database) == self._catalogue, "the same state in the end"
        assert_whole(self._database, self._generations)
        self._wait_for_total(len(self._catalogue))

    def finish(self) -> None:
        """Look at everything once more."""
        self._check_acknowledged(10_000)
        exported = self._installation.run("export", "-").stdout.splitlines()
        lines = ({k: v for k, v in json.loads(line).items() if k != "id"} for line in exported)
        assert by_key(lines) == self._catalogue
        faults = [line for line in self.server.lines() if line["level"] not in ("INFO", "WARNING")]
        assert faults == []
        assert self.server.stop() == 0
        print(f"after the crashes the catalogue was {dict(self._outcomes)} the import")

    def _write_and_kill(self, victims: set[str], moment: float, lines: list[Line]) -> bool:
        """Have everything at work, and kill; whether the import said that it had succeeded."""
        acknowledged, chance = self._acknowledged, self._chance
        by_http = TokenWriter(self.server, self._credentials, acknowledged, chance)
        by_command = ClientWriter(self._installation, acknowledged, chance)
        by_http.start()
        by_command.start()
        with Import(self._installation, lines) as importing:
            importing.give_part(min(moment, 1.0))
            if moment >= 1:
                importing.close()
            given_at = time.monotonic()
            time.sleep(max(0.0, moment - 1) * self._swap_seconds)
            if SERVER in victims:
                self.server.process.kill()
            if IMPORT in victims:
                importing.kill()
            if COMMAND in victims:
                by_command.kill()
            if IMPORT not in victims:
                importing.give_part(1.0)
            status, said = importing.end()
        if not victims:
            self._swap_seconds = time.monotonic() - given_at
        by_http.end()
        by_command.end()
        if SERVER in victims:
            self.server.kill()  # dead already: this waits for it
        assert status == 0 or IMPORT in victims, said
        return status == 0

    def _check_acknowledged(self, sample: int) -> None:
        """That the database has all that was acknowledged, and the server goes by it."""
        known = self._acknowledged
        with self._database.read() as connection:
            of = lambda query: set(connection.execute(query).scalars())  # noqa: E731
            kept = of(sqlalchemy.select(tokens.c.digest))
            ended = of(sqlalchemy.select(revocations.c.subject))
            active = of(sqlalchemy.select(clients.c.id).where(clients.c.revoked_at.is_(None)))
        assert {ids.digest(token) for token in known.tokens} <= kept
        assert {ids.digest(token) for token in known.revoked_tokens} <= ended - kept
        assert {client.client_id for client in known.clients} <= active
        assert {client.client_id for client in known.revoked_clients} <= ended - active
        with httpx.Client(base_url=self.server.url) as http:
            for tokens_, status in ((known.tokens, 200), (known.revoked_tokens, 401)):
                for token in self._some(tokens_, sample):
                    bearer = {"Authorization": f"Bearer {token}"}
                    answer = http.get("/connectors/search?limit=0", headers=bearer)
                    assert answer.status_code == status
            for clients_, status in ((known.clients, 200), (known.revoked_clients, 401)):
                for client in self._some(clients_, sample // 4):
                    answer = http.post(
                        "/oauth/token",
                        data={"grant_type": "client_credentials"},
                        auth=(client.client_id, client.client_secret),
                    )
                    assert answer.status_code == status

    def _some(self, known: set[Any], sample: int) -> list[Any]:
        return self._chance.sample(sorted(known, key=repr), min(sample, len(known)))

    def _import_again(self, lines: list[Line], *, was_there: bool) -> None:
        with Import(self._installation, lines) as again:
            again.give_part(1.0)
            status, said = again.end()
        assert status == 0, said
        new, changed, same = (ADDED, CHANGED, SAME) if self._generations else (len(lines), 0, 0)
        nothing = f"imported: 0 new, 0 changed, {len(lines)} unchanged"
        everything = f"imported: {new} new, {changed} changed, {same} unchanged"
        expected = {nothing} if was_there else {everything}
        if not self._database.is_sqlite:
            # PostgreSQL may have been told to commit by the import that was killed, and be at it.
            expected.add(nothing)
        assert said.strip() in expected

    def _wait_for_total(self, expected: int) -> None:
        deadline = time.monotonic() + HEARD_SECONDS
        with self.server.client(self._credentials) as api:
            while total(api) != expected:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def total(api: httpx.Client) -> int:
    """How many Connectors the server has."""
    return int(api.get("/connectors/search?limit=0").json()["total"])


@ROUNDS
def test_a_server_that_dies_while_it_starts_for_the_first_time_starts_the_next_time(
    tmp_path: Path, chance: random.Random, rounds: int
) -> None:
    for number in range(rounds // 2):
        installation = Installation(tmp_path / f"data-{number}", settings=UNMEASURED)
        with (tmp_path / "log").open("w") as log:
            dying = subprocess.Popen(
                [EXECUTABLE, "serve", "--port", str(free_port())],
                env=installation.environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        # From before the database is there to when it would serve.
        time.sleep(0.2 + 0.6 * chance.random())
        dying.kill()
        dying.wait(10)
        installation.project("shop")
        server = started(installation)
        server.token(installation.credentials("shop"))
        server.kill()
