"""The server stops, or is killed: what was deployed is there again, once, and nothing is left."""

import contextlib
import random
import time
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from connectory.database.engine import open_database
from connectory.deployments import store
from connectory.deployments.restoring import in_use
from connectory.kernel.clock import system_clock
from connectory.logs import store as logs
from connectory.logs.model import text_entry
from tests.deployments.shops import (
    Shop,
    answers,
    example,
    metrics_of,
    opened,
    own_installation,
    url_of,
)
from tests.deployments.traces import all_gone, children_of, command_of
from tests.harness import Installation

#: What is damaged, as it is kept.
ROWS = """
    SELECT d.document, r.document FROM deployments d LEFT JOIN releases r ON r.deployment_id = d.id
    WHERE d.id LIKE '0000%' ORDER BY d.id
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return own_installation(tmp_path)


def test_what_was_deployed_answers_again_after_a_restart(installation: Installation) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        found = shop.deployed(shop.published(example("hard-coded-port")), key="live")
        assert answers(url_of(found))["greeting"] == "Hello"
        started = children_of(server.process.pid)
        assert started
        server.stop()
        assert all_gone(started)
    with installation.serving() as server, opened(installation, server) as shop:
        assert shop.get("key=live")["status"] == "Deployed"
        assert answers(url_of(found))["greeting"] == "Hello"
        shop.delete(found["id"])
        started = children_of(server.process.pid)
    assert all_gone(started)


def test_what_a_crash_left_of_builds_and_logs_is_removed_at_the_next_start(
    installation: Installation,
) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        found = shop.deployed(shop.published(example("hard-coded-port")))
    (made,) = (installation.data / "builds" / "artifacts").glob("*/made")
    part = made.with_name("part-left")
    part.mkdir()
    late = text_entry("gone", "service", "a last word", at=system_clock())
    with (
        contextlib.closing(open_database("", installation.data)) as database,
        database.write() as connection,
    ):
        logs.append(connection, [late])
    with installation.serving() as server, opened(installation, server) as shop:
        deadline = time.monotonic() + 60
        while part.exists() or "gone" in logged(shop):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert logged(shop) == {found["id"]}
        assert answers(url_of(found))["greeting"] == "Hello"


def logged(shop: Shop) -> set[str]:
    """The Deployments that something is logged of."""
    with shop.platform.database.read() as connection:
        return logs.deployments(connection)


def test_what_cannot_be_read_keeps_nothing_else_from_coming_back_after_a_crash(
    installation: Installation,
) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        found = shop.deployed(shop.published(example("hard-coded-port")), key="live")
        started = children_of(server.process.pid)
        server.kill()
        assert all_gone(started)
    # The one comes before all others, whose ids are not made of zeros only.
    damaged, without_release = "0" * 8, "0" * 9
    with contextlib.closing(open_database("", installation.data)) as database:
        with database.read() as connection:
            before = store.with_id(connection, found["id"])
        assert before is not None
        with database.write() as connection:
            for id_ in (damaged, without_release):
                store.add(connection, replace(before, id=id_, key=id_))
            write = connection.exec_driver_sql
            write(f"UPDATE deployments SET document = '{{\"id\": 1}}' WHERE id = '{damaged}'")
            write(f"INSERT INTO releases VALUES ('{without_release}', 1, 'no JSON')")
            kept = connection.exec_driver_sql(ROWS).all()
        with database.read() as connection:
            artifacts = in_use(connection, 0)
    assert len(artifacts) == 1
    with installation.serving() as server, opened(installation, server) as shop:
        assert answers(url_of(found))["greeting"] == "Hello"
        errors = [each for each in server.lines() if each["level"] == "ERROR"]
        assert [each["deployment"] for each in errors] == [damaged, without_release]
        assert "release 1 of Deployment 000000000 cannot be read" in errors[1]["message"]
        with shop.platform.database.read() as connection:
            assert connection.exec_driver_sql(ROWS).all() == kept


def test_a_delete_overtakes_a_deploy_and_nothing_of_it_is_left(installation: Installation) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        made = shop.create(shop.published(example("slow-start")))
        deadline = time.monotonic() + 60
        while "built" not in str(shop.get(made["id"])["details"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # it is starting, which takes three seconds
        shop.delete(made["id"])
        while not metrics_of(shop)['connectory_deploys_total{outcome="overtaken"}']:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while any("index.js" in command_of(each) for each in children_of(server.process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_what_serves_after_a_failed_update_serves_after_a_restart(
    installation: Installation,
) -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        connector = shop.published(example("hard-coded-port"))
        found = shop.deployed(connector)
        renamed = {
            path.replace("service/", "other/"): text.replace("name: service", "name: other")
            for path, text in example("crash-at-start").items()
        }
        shop.creator.repositories.tag("v2.0.0", renamed, name="acme")
        tag = {"url": shop.creator.repositories.url("acme"), "tag": "v2.0.0"}
        shop.creator.update(connector["id"], {"action": "setRepository", **tag})
        assert shop.creator.publish(connector["id"])["status"] == "Published"
        failed = shop.redeploy(found["id"], updateConnector=True)
        assert failed["status"] == "Failed", failed
        assert answers(url_of(found))["greeting"] == "Hello"
        server.kill()
    with installation.serving() as server, opened(installation, server) as shop:
        assert answers(url_of(found))["greeting"] == "Hello"
        shop.delete(found["id"])
        with pytest.raises(httpx.TransportError):
            httpx.get(url_of(found), timeout=30, trust_env=False)


def kill_while_deploying(installation: Installation, seconds: float, name: str = "acme") -> None:
    with installation.serving() as server, opened(installation, server) as shop:
        connector = shop.published(example("hard-coded-port"), name=name)
        made = shop.create(connector)
        time.sleep(seconds)
        started = children_of(server.process.pid)
        server.kill()
        assert all_gone(started)
    with installation.serving() as server, opened(installation, server) as shop:
        found = shop.settled(made["id"])
        assert found["status"] == "Deployed", found["details"]
        titles = [each["title"] for each in found["details"]["build"]["report"]["entries"]]
        assert len(titles) == len(set(titles)), titles
        assert answers(url_of(found))["greeting"] == "Hello"
        shop.delete(made["id"])
        started = children_of(server.process.pid)
    assert all_gone(started)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_deploy_goes_on_wherever_the_server_was_killed(installation: Installation) -> None:
    chance = random.Random(7)
    for number in range(10):
        data = installation.data.with_name(f"data-{number}")
        again = Installation(data, settings=installation.settings)
        kill_while_deploying(again, chance.uniform(0, 1.5), f"acme-{number}")
