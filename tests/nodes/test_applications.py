"""What is deployed through one node is hosted by all, and goes on where one dies."""

import contextlib
import json
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import select

from connectory.database.tables import work
from tests import postgresql
from tests.deployments.shops import entries, example, metrics_of, url_of
from tests.deployments.traces import children_of, command_of
from tests.messages.listeners import Listening, listener
from tests.nodes.conftest import wait_until
from tests.nodes.hosts import Host, Hosts, hosts
from tests.schedule.working import Working, workers

#: How soon what one node deployed is hosted by another that has built it before, on a machine that
#: has much else to do; how soon where it is to be built.
FOLLOWED_SECONDS, BUILT_SECONDS = 5.0, 60.0
APPLICATIONS = "connectory_applications{"
#: How soon what a node did goes on after its death.
TAKEN_OVER_SECONDS = 5.0


@pytest.fixture(scope="module")
def installed(
    postgresql_server: postgresql.PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosts]:
    with hosts(postgresql_server, tmp_path_factory.mktemp("hosts")) as made:
        yield made


@pytest.fixture
def a(installed: Hosts) -> Iterator[Host]:
    with installed.host("a") as host:
        yield host


@pytest.fixture
def b(installed: Hosts) -> Iterator[Host]:
    with installed.host("b") as host:
        yield host


def greeting(text: str) -> dict[str, Any]:
    return {
        "applicationName": "service",
        "standardConfiguration": [{"key": "GREETING", "value": text}],
    }


def test_what_one_node_deploys_redeploys_and_deletes_holds_on_the_other(a: Host, b: Host) -> None:
    # Whose request it is says nothing about which of them does the work.
    connector = a.shop.published(example("hard-coded-port"))
    found = a.shop.deployed(connector, type="production", configurations=[greeting("One")])
    url = url_of(found)
    wait_until(lambda: a.says(url) == b.says(url) == "One", BUILT_SECONDS)
    secret = {"key": "API_KEY", "value": "s3cr3t-of-shop"}
    values = greeting("Two") | {"securedConfiguration": [secret]}
    with calling(a, url) as of_a, calling(b, url) as of_b:
        again = b.shop.redeploy(found["id"], configurationValues=[values])
        wait_until(lambda: a.says(url) == b.says(url) == "Two", FOLLOWED_SECONDS)
    for calls in (of_a, of_b):
        said = [json.loads(each.body)["greeting"] for each in calls if each.status == 200]
        assert (len(said), set(said)) == (len(calls), {"One", "Two"})
        assert said == sorted(said)
    assert url_of(again) == url
    assert a.call(url).json()["secret"] == b.call(url).json()["secret"] == "given"
    assert entries(a.shop.get(found["id"])) == entries(again)
    a.shop.delete(found["id"])
    wait_until(lambda: a.says(url) == b.says(url) == 404, FOLLOWED_SECONDS)
    wait_until(lambda: not programs_of(a) and not programs_of(b), FOLLOWED_SECONDS)


@dataclass
class Call:
    """What became of a call."""

    status: int
    body: str
    seconds: float


@contextlib.contextmanager
def calling(host: Host, url: str) -> Iterator[list[Call]]:
    """Call an application all the time; the calls in their order."""
    calls: list[Call] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            began = time.monotonic()
            answer = host.call(url)
            calls.append(Call(answer.status_code, answer.text, time.monotonic() - began))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield calls
    finally:
        ended.set()
        caller.join()


def programs_of(host: Host, part: str = "index.js") -> list[str]:
    """The applications that run on a node, or what else has a part in its command line."""
    found = map(command_of, children_of(host.server.process.pid))
    return [each for each in found if part in each]


def hosted(host: Host) -> int:
    """How many applications a node hosts, awake or not."""
    found = metrics_of(host.shop)
    return sum(int(number) for name, number in found.items() if name.startswith(APPLICATIONS))


def acknowledged(host: Host) -> int:
    """How many deliveries of a node were acknowledged."""
    return int(metrics_of(host.shop)['connectory_deliveries_total{outcome="acknowledged"}'])


def test_messages_go_on_after_the_death_of_the_node_that_delivered_them(a: Host, b: Host) -> None:
    deployed = a.shop.deployed(a.shop.published(listener(), name="listener"))
    wait_until(lambda: hosted(a) == hosted(b) == 1, BUILT_SECONDS)
    listening = Listening(a.shop, deployed)
    listening.settled(listening.publish({"name": "before"})[0])
    dying, other = (a, b) if acknowledged(a) else (b, a)
    listening = Listening(other.shop, deployed)
    sent = [listening.publish({"name": f"early {number}"})[0] for number in range(20)]
    dying.server.kill()
    killed_at = time.monotonic()
    assert not acknowledged(other)
    sent += [listening.publish({"name": f"late {number}"})[0] for number in range(20)]
    left = TAKEN_OVER_SECONDS - (time.monotonic() - killed_at)
    wait_until(lambda: acknowledged(other) > 0, left)
    assert {listening.settled(id_)["state"] for id_ in sent} == {"acknowledged"}
    other.shop.delete(deployed["id"])


@pytest.mark.long
def test_jobs_go_on_after_the_death_of_a_node(a: Host, b: Host) -> None:
    """So many that each of the nodes looks after some; each runs every second."""
    names = [f"job-{number}" for number in range(6)]
    connector = a.shop.published(workers(dict.fromkeys(names, "@every 1s")), name="jobs")
    deployed = a.shop.deployed(connector)
    wait_until(lambda: hosted(a) == hosted(b) == len(names), BUILT_SECONDS)
    working = Working(b.shop, deployed)
    for name in names:
        working.until(name, lambda runs: sum(each["state"] == "succeeded" for each in runs) > 1)
    a.server.kill()
    killed_at = datetime.now(UTC).isoformat()

    def went_on(name: str) -> bool:
        runs = working.runs(name)["data"]
        return any(each["state"] == "succeeded" and each["startedAt"] > killed_at for each in runs)

    wait_until(lambda: all(map(went_on, names)), TAKEN_OVER_SECONDS)
    b.shop.delete(deployed["id"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_message_is_lost_however_often_one_of_two_nodes_is_killed(installed: Hosts) -> None:
    chance = random.Random(11)
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(installed.host(name)) for name in ("h", "i")}
        first = running["h"]
        deployed = first.shop.deployed(first.shop.published(listener(), name="often"))
        for _ in range(10):
            wait_until(lambda: all(hosted(each) == 1 for each in running.values()), BUILT_SECONDS)
            dies, lives = chance.sample(sorted(running), 2)
            listening = Listening(running[lives].shop, deployed)
            with publishing(listening) as sent:
                time.sleep(chance.uniform(0.1, 1.0))
                running[dies].server.kill()
                time.sleep(0.2)
                # What is published now is delivered by the one that lives.
                (late,) = listening.publish({"name": "late"})
                wait_until(
                    lambda late=late, of=listening: of.get(late)["state"] == "acknowledged",
                    TAKEN_OVER_SECONDS,
                )
            assert sent
            assert {listening.settled(each)["state"] for each in sent} == {"acknowledged"}
            running[dies] = stack.enter_context(installed.host(dies))
        running["h"].shop.delete(deployed["id"])


@contextlib.contextmanager
def publishing(listening: Listening) -> Iterator[list[str]]:
    """Publish all the time; the ids of what was accepted."""
    sent: list[str] = []
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(0.02):
            sent.extend(listening.publish({"name": f"number {len(sent)}"}))

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        yield sent
    finally:
        ended.set()
        publisher.join()


@pytest.mark.long
def test_a_deploy_goes_on_after_the_death_of_the_node_that_made_it(a: Host, b: Host) -> None:
    connector = a.shop.published(example("slow-start"), name="slow")
    made = a.shop.create(connector)
    wait_until(lambda: bool(programs_of(a) or programs_of(b)), BUILT_SECONDS)
    dying, other = (a, b) if programs_of(a) else (b, a)
    assert owner(other, made["id"]) == dying.server.process.pid
    dying.server.kill()
    pid = other.server.process.pid
    wait_until(lambda: owner(other, made["id"]) == pid, TAKEN_OVER_SECONDS)
    found = other.shop.settled(made["id"])
    assert found["status"] == "Deployed", found
    assert other.call(url_of(found)).json() == {"startedAfter": 3}
    other.shop.delete(made["id"])


def owner(host: Host, deployment: str) -> int:
    """The process that does the work of a deploy; 0 where none does."""
    with host.shop.platform.database.read() as connection:
        query = select(work.c.lease_owner).where(work.c.subject == deployment)
        found = connection.execute(query).scalars().all()
    return next((int(each.split(":")[1]) for each in found if each), 0)


@pytest.mark.long
def test_what_cannot_be_built_yet_is_tried_again_and_holds_up_nothing_else(
    installed: Hosts, a: Host
) -> None:
    repositories = installed.folder / "repositories"
    aside = repositories.with_name("aside")
    first = a.shop.deployed(a.shop.published(example("assets"), name="first"))
    other = a.shop.deployed(a.shop.published(example("hard-coded-port"), name="other"))
    report = entries(first)
    with installed.host("c") as c:
        wait_until(lambda: c.says(url_of(other)) == "Hello", BUILT_SECONDS)
    # It has built the one, and no repository is to be reached any more.
    data = c.installation.data
    for artifact in (data / "builds" / "artifacts").iterdir():
        if "GREETING" not in "".join(each.read_text() for each in artifact.rglob("index.js")):
            shutil.rmtree(artifact)
    shutil.rmtree(data / "sources")
    repositories.rename(aside)
    with installed.host("c") as c:
        assert c.says(url_of(other)) == "Hello"
        url = url_of(first, "assets")
        answer = c.call(url)
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "ServiceUnavailable"
        told = f"Deployment {first['id']} is not hosted here yet"
        wait_until(lambda: told in c.server.log.read_text(), BUILT_SECONDS)
        aside.rename(repositories)
        wait_until(lambda: c.call(url).status_code == 200, BUILT_SECONDS)
        wait_until(lambda: c.call(url).content == a.call(url).content, BUILT_SECONDS)
        assert entries(c.shop.get(first["id"])) == report
    for each in (first, other):
        a.shop.delete(each["id"])


@pytest.mark.long
def test_messages_wait_where_their_application_does_not_run_yet(installed: Hosts) -> None:
    repositories = installed.folder / "repositories"
    aside = repositories.with_name("aside")
    with installed.host("g") as g:
        deployed = g.shop.deployed(g.shop.published(listener(), name="waiting"))
    shutil.rmtree(g.installation.data / "builds")
    shutil.rmtree(g.installation.data / "sources")
    repositories.rename(aside)
    with installed.host("g") as g:
        listening = Listening(g.shop, deployed)
        (id_,) = listening.publish({"name": "patient"})
        told = f"Deployment {deployed['id']} is not hosted here yet"
        wait_until(lambda: told in g.server.log.read_text(), BUILT_SECONDS)
        (later,) = listening.publish({"name": "later"})
        for each in (id_, later):
            found = listening.get(each)
            assert (found["state"], found["attemptCount"]) == ("waiting", 0)
        aside.rename(repositories)
        for each in (id_, later):
            assert [each["status"] for each in listening.settled(each)["attempts"]] == [204]
        g.shop.delete(deployed["id"])


@pytest.mark.long
def test_no_call_waits_for_the_start_of_a_redeploy_on_either_node(a: Host, b: Host) -> None:
    files = example("slow-start")
    files["connect.yaml"] += (
        "    configuration:\n      standardConfiguration:\n"
        "        - {key: START_SECONDS, description: How long a start takes, required: false}\n"
    )
    connector = a.shop.published(files, name="patience")
    found = a.shop.deployed(connector, type="production")
    url = url_of(found)

    def started(seconds: int) -> bool:
        return {json.dumps(each.call(url).json()) for each in (a, b)} == {
            json.dumps({"startedAfter": seconds})
        }

    wait_until(lambda: {a.call(url).status_code, b.call(url).status_code} == {200}, BUILT_SECONDS)
    values = {
        "applicationName": "service",
        "standardConfiguration": [{"key": "START_SECONDS", "value": "2"}],
    }
    with calling(a, url) as of_a, calling(b, url) as of_b:
        a.shop.redeploy(found["id"], configurationValues=[values])
        wait_until(lambda: started(2), BUILT_SECONDS)
    assert {each.status for each in of_a + of_b} == {200}
    assert max(each.seconds for each in of_a + of_b) < 1.5
    a.shop.delete(found["id"])


@pytest.mark.long
@pytest.mark.parametrize("ends", ["the Deployment", "the node"])
def test_a_build_on_another_node_ends_with_what_it_is_for(
    installed: Hosts, a: Host, ends: str
) -> None:
    files = example("hard-coded-port")
    package = json.loads(files["service/package.json"])
    package["scripts"]["build"] = "node -e 'setTimeout(() => {}, 9000)'"
    files["service/package.json"] = json.dumps(package)
    connector = a.shop.published(files, name=f"building-{ends.split()[1].lower()}")
    found = a.shop.deployed(connector)
    with installed.host("c") as c:
        started = f"Deployment {found['id']} is built"
        wait_until(lambda: started in c.server.log.read_text(), FOLLOWED_SECONDS)
        wait_until(lambda: bool(programs_of(c, "setTimeout")), FOLLOWED_SECONDS)
        assert c.call(url_of(found)).status_code == 503
        began = time.monotonic()
        if ends == "the node":
            c.server.stop()
        else:
            a.shop.delete(found["id"])
            wait_until(lambda: c.call(url_of(found)).status_code == 404, 3)
            wait_until(lambda: not programs_of(c, "setTimeout"), 3)
        assert time.monotonic() - began < 4
    assert not list(c.installation.data.rglob("part-*"))
    if ends == "the node":
        a.shop.delete(found["id"])


@pytest.mark.long
def test_a_node_with_other_tools_builds_and_runs_with_them(installed: Hosts, a: Host) -> None:
    found = a.shop.deployed(a.shop.published(example("hard-coded-port"), name="tools"))
    tools = installed.folder / "tools" / "bin"
    tools.mkdir(parents=True)
    for name in ("node", "npm"):
        there = shutil.which(name)
        assert there
        (tools / name).symlink_to(Path(there).resolve())
    path = f"{tools}:{os.environ['PATH']}"
    with installed.host("d", PATH=path) as d:
        wait_until(lambda: d.says(url_of(found)) == "Hello", BUILT_SECONDS)
        assert artifacts_of(d)
        assert not artifacts_of(d) & artifacts_of(a)
    with installed.host("d", PATH=path) as d:
        wait_until(lambda: d.says(url_of(found)) == "Hello", BUILT_SECONDS)
        assert len(artifacts_of(d)) == 1
    a.shop.delete(found["id"])


def artifacts_of(host: Host) -> set[str]:
    folder = host.installation.data / "builds" / "artifacts"
    return {each.parent.name for each in folder.glob("*/made")}


@pytest.mark.long
def test_nodes_with_ports_of_one_machine_host_it_each_at_an_address_of_its_own(
    installed: Hosts,
) -> None:
    own = {"CONNECTORY_GATEWAY_URL": ""}
    with (
        installed.host("e", **own, CONNECTORY_GATEWAY_PORTS="20000-24999") as e,
        installed.host("f", **own, CONNECTORY_GATEWAY_PORTS="25000-29999") as f,
    ):
        found = e.shop.deployed(e.shop.published(example("assets"), name="ports"))
        wait_until(lambda: len(ports_of(e)) == len(ports_of(f)) == 2, BUILT_SECONDS)
        told = [url_of(found, name) for name in ("assets", "service")]
        # Either may have done the work, and tells the addresses that it gave.
        for host in (e, f):
            for url in told:
                there = at(host, url, (e, f))
                wait_until(lambda there=there: status_of(there) == 200, BUILT_SECONDS)
        assert artifacts_of(e) == artifacts_of(f)
        f.shop.delete(found["id"])
        wait_until(lambda: not ports_of(e) and not ports_of(f), FOLLOWED_SECONDS)


def ports_of(host: Host) -> dict[str, int]:
    """The ports of a node's applications, by their slugs."""
    file = host.installation.data / "gateway" / "ports.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def at(host: Host, url: str, everybody: tuple[Host, ...]) -> str:
    """The address at one node of an application that has another at another."""
    parts = urlsplit(url)
    (slug,) = {
        slug for each in everybody for slug, port in ports_of(each).items() if port == parts.port
    }
    port = ports_of(host)[slug]
    own = str(parts.hostname).startswith("127.77.")
    name = f"127.77.{port >> 8}.{port & 255}" if own else "127.0.0.1"
    return f"http://{name}:{port}{parts.path}"


def status_of(url: str) -> int:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=30, trust_env=False, follow_redirects=True).status_code
    return 0
