"""The server is killed at any moment: what was asked for comes about, once, and nothing is left."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.shops import Shop, answers, example, opened, own_installation, url_of
from tests.deployments.traces import (
    all_gone,
    children_of,
    command_of,
    folders_left,
    listens,
    orphans,
    variable_of,
)
from tests.harness import Installation, Server

#: The tables that have nothing of a Deployment that was deleted.
TABLES = ("deployments", "releases", "log_entries", "log_volumes")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """One where applications sleep soon, and temporary files have a folder of their own."""
    made = own_installation(tmp_path)
    (tmp_path / "temporary").mkdir()
    made.settings |= {
        "CONNECTORY_IDLE_SECONDS": "0.5",
        "TMPDIR": str(tmp_path / "temporary"),
    }
    return made


def connector(number: int) -> dict[str, str]:
    """One whose build and whose start take a moment; none was built before."""
    files = example("hard-coded-port")
    package, program = "service/package.json", "service/index.js"
    building = '"scripts": {\n    "build": "sleep 0.3",'
    files[package] = files[package].replace('"scripts": {', building)
    listening = "server.listen(8080, () => console.log('listening on 8080'));"
    assert listening in files[program]
    files[program] = files[program].replace(listening, f"setTimeout(() => {listening[:-1]}, 200);")
    return files | {"service/number": str(number)}


@dataclass
class Expected:
    """What was asked for, and must be there again."""

    #: What each Deployment may answer, by its id: what served before, and what it is to serve.
    greetings: dict[str, list[str]] = field(default_factory=dict)
    #: Those that are to be deleted.
    ending: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    created: int = 0


@dataclass
class Scene:
    """A server that is about to be killed, and what was asked of it."""

    shop: Shop
    server: Server
    expected: Expected
    connector: dict[str, Any]

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 60
        while not (found := condition()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return found

    def created(self) -> str:
        """A Deployment that is asked for, whose applications say hello by a name of its own."""
        self.expected.created += 1
        name = f"Hello {self.expected.created}"
        found = self.shop.create(self.connector, configurations=[greeting(name)])
        self.expected.greetings[found["id"]] = [name]
        return str(found["id"])

    def deployed(self) -> str:
        id_ = self.created()
        found = self.shop.settled(id_)
        assert found["status"] == "Deployed", found["details"]
        return id_

    def redeployed(self, id_: str) -> None:
        """A redeploy that is asked for, with another greeting."""
        name = f"{self.expected.greetings[id_][-1]} again"
        self.expected.greetings[id_].append(name)
        action = {"action": "redeploy", "configurationValues": [greeting(name)]}
        body = {"version": self.shop.get(id_)["version"], "actions": [action]}
        answer = self.shop.http.post(f"{self.shop.path}/{id_}", json=body)
        assert answer.status_code == 201, answer.text

    def told(self, id_: str, title: str) -> None:
        """Wait until the report of a Deployment has an entry."""
        self.until(lambda: title in str(self.shop.get(id_)["details"]))

    def running(self, name: str) -> list[int]:
        """The processes of the applications that say hello by this name."""
        found = children_of(self.server.process.pid)
        return [each for each in found if variable_of(each, "GREETING") == name]

    def names(self, id_: str) -> list[str]:
        return self.expected.greetings[id_]

    def asleep(self) -> str:
        id_ = self.deployed()
        self.until(lambda: not self.running(self.names(id_)[-1]))
        return id_


def greeting(name: str) -> dict[str, Any]:
    value = {"key": "GREETING", "value": name}
    return {"applicationName": "service", "standardConfiguration": [value]}


def queued(scene: Scene) -> None:
    scene.created()


def fetched(scene: Scene) -> None:
    scene.told(scene.created(), "Source fetch succeeded")


def building(scene: Scene) -> None:
    scene.created()
    builds = scene.shop.platform.installation.data / "builds"
    scene.until(lambda: list(builds.glob("artifacts/*/part-*/root/service/package.json")))


def built(scene: Scene) -> None:
    scene.told(scene.created(), "Application built")


def starting(scene: Scene) -> None:
    name = scene.names(scene.created())[0]
    scene.until(lambda: scene.running(name))


def serving(scene: Scene) -> None:
    id_ = scene.deployed()
    assert answers(url_of(scene.shop.get(id_)))["greeting"] == scene.names(id_)[0]


def sleeping(scene: Scene) -> None:
    scene.asleep()


def waking(scene: Scene) -> None:
    id_ = scene.asleep()
    url = url_of(scene.shop.get(id_))
    threading.Thread(target=called, args=(url,)).start()
    scene.until(lambda: scene.running(scene.names(id_)[0]))


def called(url: str) -> None:
    """Call it, whatever becomes of that."""
    with contextlib.suppress(httpx.TransportError):
        httpx.get(url, timeout=30, trust_env=False)


def redeploying(scene: Scene) -> None:
    id_ = scene.deployed()
    scene.redeployed(id_)
    scene.until(lambda: scene.running(scene.names(id_)[1]))


def rolling_back(scene: Scene) -> None:
    id_ = scene.deployed()
    first = scene.names(id_)[0]
    scene.redeployed(id_)
    scene.shop.settled(id_)
    scene.until(lambda: not scene.running(first))
    assert scene.shop.roll_back(id_, 1).status_code == 201
    scene.names(id_).append(first)
    scene.until(lambda: scene.running(first))


def deleting(scene: Scene) -> None:
    id_ = scene.deployed()
    answer = scene.shop.http.delete(f"{scene.shop.path}/{id_}")
    assert answer.status_code == 202, answer.text
    scene.expected.ending.add(id_)


MOMENTS = (
    queued,
    fetched,
    building,
    built,
    starting,
    serving,
    sleeping,
    waking,
    redeploying,
    rolling_back,
    deleting,
)


def survive(installation: Installation, moments: Sequence[Callable[[Scene], None]]) -> None:
    """Kill the server at each of these moments; then delete all."""
    expected = Expected()
    installation.run("migrate")  # what starts all commands runs from now on, and is no orphan
    with orphans() as left:
        before = "at the first start"
        for number, moment in enumerate(moments):
            after = f"kill {number}: {moment.__name__}"
            with installation.serving() as server, opened(installation, server) as shop:
                with telling(f"after {before}"):
                    check(server, shop, expected)
                with telling(f"at {after}"):
                    name = f"acme-{number}"
                    published = shop.published(connector(number), name=name)
                    kill(Scene(shop, server, expected, published), moment)
            with telling(f"after {after}"):
                assert left.left() == []
            before = after
        with installation.serving() as server, opened(installation, server) as shop:
            with telling(f"after {before}"):
                check(server, shop, expected)
            for id_ in expected.greetings:
                shop.delete(id_)
            with shop.platform.database.read() as connection:
                for table in TABLES:
                    assert connection.exec_driver_sql(f"SELECT * FROM {table}").all() == [], table
            assert server.stop() == 0
        assert left.left() == []
    assert folders_left(installation.data) == []
    assert list((installation.data.parent / "temporary").iterdir()) == []
    assert [port for port in expected.ports if listens(port)] == []


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Say on failure when it was."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


def kill(scene: Scene, moment: Callable[[Scene], None]) -> None:
    moment(scene)
    started = children_of(scene.server.process.pid)
    scene.server.kill()
    assert all_gone(started)


def check(server: Server, shop: Shop, expected: Expected) -> None:
    """All is there that was asked for, each once; only the last one stays deployed."""
    deadline = time.monotonic() + 60
    for id_ in expected.ending:
        while shop.http.get(f"{shop.path}/{id_}").status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        del expected.greetings[id_]
    expected.ending.clear()
    for id_, names in expected.greetings.items():
        found = shop.settled(id_)
        assert found["status"] == "Deployed", found["details"]
        titles = [each["title"] for each in found["details"]["build"]["report"]["entries"]]
        assert len(titles) == len(set(titles)), titles
        assert answers(url_of(found))["greeting"] == names[-1]
        expected.ports.add(httpx.URL(url_of(found)).port or 0)
        expected.greetings[id_] = names[-1:]
    counted = greetings_of(server)
    assert len(counted) == len(set(counted)), counted
    assert set(counted) <= {names[-1] for names in expected.greetings.values()}, counted
    for id_ in [*expected.greetings][:-1]:
        shop.delete(id_)
        del expected.greetings[id_]


def greetings_of(server: Server) -> list[str]:
    """What each application's process is to say, but for those that went to sleep just now."""
    said = {pid: variable_of(pid, "GREETING") for pid in nodes(server)}
    there = nodes(server)
    return [greeting for pid, greeting in said.items() if greeting or pid in there]


def nodes(server: Server) -> list[int]:
    """The processes that are applications themselves."""
    return [pid for pid in children_of(server.process.pid) if command_of(pid).startswith("node ")]


def test_a_server_that_is_killed_in_each_state_loses_and_leaves_nothing(
    installation: Installation,
) -> None:
    survive(installation, MOMENTS)


#: A hundred kills by so many servers, which run side by side as long as there are cores.
SHARES = 4


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_server_that_is_killed_a_hundred_times_loses_and_leaves_nothing(
    installation: Installation, share: int
) -> None:
    seed = random.getrandbits(32)
    chance = random.Random(seed)
    moments = [*MOMENTS * 2, *chance.sample(MOMENTS, 100 // SHARES - 2 * len(MOMENTS))]
    chance.shuffle(moments)
    with telling(f"share {share}, seed {seed}"):
        survive(installation, [late(each, chance.uniform(0, 0.5)) for each in moments])


def late(moment: Callable[[Scene], None], seconds: float) -> Callable[[Scene], None]:
    """Somewhat after a moment, when it has gone on by chance."""

    def later(scene: Scene) -> None:
        moment(scene)
        time.sleep(seconds)

    later.__name__ = f"{seconds:.3f} s after {moment.__name__}"
    return later
