"""`kill -9` of the nodes that serve preview and publish requests, and do their work.

On SQLite it is the one server, on PostgreSQL there are two. They die at each boundary of a step,
and at random moments. The repositories, the checks, the API and the worker are the real ones.
"""

import itertools
import json
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy

from connectory.database.engine import Database
from connectory.database.tables import work
from connectory.identity.administration import Administration
from connectory.kernel.clock import system_clock
from tests.crash.boundaries import MOMENTS, OUTCOME, dying, quick
from tests.crash.requests import CHANGES, CREATE, PREVIEW, PUBLISH, TAGS, Draft
from tests.harness import ANSWER_SECONDS, UNMEASURED, Installation, Server, free_port
from tests.processes import Process
from tests.staging.repositories import SCANNERS_OFF, Repositories

REGION = "europe-west1.gcp"
PROJECTS = 3
#: ConnectorStaged that are worked on at once.
DRAFTS = 6
#: How soon all must have died that are to, one after the other.
DYING_SECONDS = 120.0
#: How often a node dies once more while it does what another death has left.
AGAIN = 0.3
STEPS = (
    "fetch",
    "specification",
    "structure",
    "secrets",
    "vulnerabilities",
    "build",
    OUTCOME,
)


class Nodes:
    """An installation with the nodes that its database may have, each of which may die."""

    def __init__(self, installation: Installation, database: Database, folder: Path) -> None:
        policy = folder / "policy.toml"
        policy.write_text(SCANNERS_OFF)
        repositories = folder / "repositories"
        self.installation = installation
        installation.settings |= UNMEASURED | Repositories(repositories, "").settings
        installation.settings |= {
            "CONNECTORY_CHECK_POLICY": str(policy),
            "CONNECTORY_WORK_PER_PROJECT": "100",
        }
        self.database = database
        self.count = 1 if database.is_sqlite else 2
        self.servers: list[Server] = []
        self._owners = [Repositories(repositories, f"shop-{n}") for n in range(PROJECTS)]
        self._commits = [{tag: owner.tag(tag) for tag in TAGS} for owner in self._owners]
        self._headers: list[dict[str, str]] = []
        self._http = httpx.Client(timeout=ANSWER_SECONDS)
        self._numbers = itertools.count()

    def start(self) -> None:
        """Have as many servers as there may be."""
        while len(self.servers) < self.count:
            self.servers.append(self.installation.start(first=quick))

    def kill(self, victims: list[Server]) -> None:
        for victim in victims:
            victim.process.kill()
        for victim in victims:
            victim.kill()
            self.servers.remove(victim)

    def close(self) -> None:
        self.kill(list(self.servers))
        self._http.close()

    def draft(self) -> Draft:
        """A ConnectorStaged that is to be created."""
        number = next(self._numbers)
        owner = number % PROJECTS
        return Draft(
            f"acme-{number}",
            self._owners[owner],
            self._commits[owner],
            self._http,
            self._headers[owner],
        )

    def get_tokens(self, url: str) -> None:
        """Make the Projects, each with a client."""
        self._headers = [self._client(number, url) for number in range(PROJECTS)]
        self.let_go()

    def _client(self, number: int, url: str) -> dict[str, str]:
        with self.database.write() as connection:
            administration = Administration(connection, actor="command:tests", now=system_clock())
            key = f"shop-{number}"
            administration.create_project(key, REGION, production=False)
            made = administration.create_client(key, "manage_project")
        answer = self._http.post(
            f"{url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(made.client_id, made.client_secret),
        )
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def let_go(self) -> None:
        """Close the test's own connections, which would keep the journal alive over a crash."""
        self.database.engine.dispose()

    def open_work(self) -> int:
        query = sqlalchemy.select(sqlalchemy.func.count()).where(work.c.finished_at.is_(None))
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def look_in_database(self, drafts: list[Draft]) -> None:
        """See that the database has each publish once."""
        with self.database.read() as connection:
            for draft in drafts:
                draft.look_in_database(connection)
        self.let_go()

    def look(self, drafts: list[Draft]) -> None:
        """See that a fresh server and the database have everything, and each only once."""
        self.kill(list(self.servers))
        self.start()
        for draft in drafts:
            draft.settle(self.servers[0].url)
        self.look_in_database(drafts)
        with self.database.read() as connection:
            states = list(connection.execute(sqlalchemy.select(work.c.state)).scalars())
        assert states == ["done"] * sum(draft.state.works for draft in drafts if draft.state)
        for server in self.servers:
            faults = [line for line in server.lines() if line["level"] not in ("INFO", "WARNING")]
            assert faults == []
            assert server.stop() == 0


@pytest.fixture
def nodes(installation: Installation, database: Database, tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(installation, database, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("moments", "of_previews"),
    [
        # To die before a step is recorded is much like to die after the one before it.
        (MOMENTS[1:], (OUTCOME,)),
        pytest.param(MOMENTS, STEPS, marks=pytest.mark.long),
    ],
    ids=["some", "all"],
)
def test_a_node_may_die_at_any_boundary_of_a_step(
    nodes: Nodes, moments: tuple[str, ...], of_previews: tuple[str, ...], tmp_path: Path
) -> None:
    dying_at = [
        (kind, f"{moment} {step}")
        for kind, steps in ((PUBLISH, STEPS), (PREVIEW, of_previews))
        for step, moment in itertools.product(steps, moments)
    ]
    with nodes.installation.serving(settings={"CONNECTORY_WORK_CONCURRENCY": "0"}) as server:
        nodes.get_tokens(server.url)
        drafts = [nodes.draft() for _ in dying_at]
        for draft, (kind, _) in zip(drafts, dying_at, strict=True):
            draft.do(server.url, CREATE)
            draft.settle(server.url)
            draft.do(server.url, kind)
            assert draft.acknowledged
    where = {f"{kind} {draft.id}": at for draft, (kind, at) in zip(drafts, dying_at, strict=True)}
    file = tmp_path / "moments.json"
    file.write_text(json.dumps(where))
    die(nodes, file, len(dying_at))
    nodes.look(drafts)


def die(nodes: Nodes, file: Path, deaths: int) -> None:
    """Have nodes do all work, and die so often where they are told to."""

    def node() -> Process:
        return Process(
            ("serve", "--port", str(free_port())),
            environment=nodes.installation.environment | {"CONNECTORY_WORK_CONCURRENCY": "1"},
            first=dying(file),
        )

    deadline = time.monotonic() + DYING_SECONDS
    running = [node() for _ in range(nodes.count)]
    try:
        while deaths or nodes.open_work():
            assert time.monotonic() < deadline, f"{deaths} have not died"
            nodes.let_go()
            for place, process in enumerate(running):
                if process.poll() is not None:
                    assert process.wait() == -signal.SIGKILL
                    deaths -= 1
                    running[place] = node()
            time.sleep(0.02)
    finally:
        for process in running:
            process.kill()
            process.wait(10)
    assert deaths == 0


ROUNDS = pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.long)])


@pytest.mark.timeout(600)
@ROUNDS
def test_nodes_may_die_at_any_moment(nodes: Nodes, chance: random.Random, rounds: int) -> None:
    nodes.start()
    nodes.get_tokens(nodes.servers[0].url)
    drafts = [nodes.draft() for _ in range(DRAFTS)]
    crash(nodes, drafts, chance, None)
    everything = crash(nodes, drafts, chance, None)
    # Spread evenly over a round, so that few rounds already meet every part of one.
    moments = [everything * (number + chance.random()) / rounds for number in range(rounds)]
    chance.shuffle(moments)
    for moment in moments:
        drafts.append(nodes.draft())
        crash(nodes, drafts[-DRAFTS:], chance, moment)
    nodes.look(drafts)


def crash(nodes: Nodes, drafts: list[Draft], chance: random.Random, moment: float | None) -> float:
    """Send a request for each ConnectorStaged, and kill nodes after so many seconds, or none.

    How long it took until all had ended.
    """
    began = time.monotonic()
    victims = chance.sample(nodes.servers, chance.randint(1, len(nodes.servers)))
    with ThreadPoolExecutor(len(drafts)) as threads:
        sent = [
            threads.submit(draft.do, chance.choice(nodes.servers).url, chance.choice(CHANGES))
            for draft in drafts
        ]
        if moment is not None:
            time.sleep(moment)
            nodes.kill(victims)
        for each in sent:
            each.result()
    nodes.start()
    if moment is not None and chance.random() < AGAIN:
        time.sleep(chance.uniform(0, moment))
        nodes.kill([chance.choice(nodes.servers)])
        nodes.start()
    for draft in drafts:
        draft.settle(chance.choice(nodes.servers).url)
    nodes.look_in_database(drafts)
    return time.monotonic() - began
