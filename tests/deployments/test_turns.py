"""How many deploys of a Project are under way at once, and whose turn comes next."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectory.contract.deployments import DeploymentStatus as S
from connectory.database.engine import Database
from connectory.database.tables import deployments as table
from connectory.deployments import model, store
from connectory.deployments.turns import DEPLOY, Turns
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.work import store as work
from connectory.work.model import WorkState
from tests.deployments.examples import deployment
from tests.deployments.shops import PROJECT as KEY
from tests.deployments.shops import (
    SECONDS,
    Shop,
    metrics_of,
    opened,
    own_installation,
    unfetchable,
)

PROJECT = f"europe-west1.gcp:{KEY}"


@pytest.fixture
def waiting(database: Database) -> list[str]:
    """The Project with three Deployments that wait, in the order in which they were asked for."""
    with database.write() as connection:
        by = Administration(connection, actor="command:tests", now=1)
        by.create_project(KEY, "europe-west1.gcp", production=False)
    return [add(database, S.QUEUED, at) for at in (1, 2, 3)]


def add(database: Database, status: S, at: int, project: str = PROJECT) -> str:
    id_ = ids.new_id()
    subject = deployment(
        id=id_, project=project, status=status, build=f"request of {id_}", last_modified_at=at
    )
    with database.write() as connection:
        store.add(connection, subject)
    return id_


def begun(database: Database, turns: Turns, project: str = PROJECT) -> None:
    with database.write() as connection:
        turns.begin(connection, project, 9)


def under_way(database: Database, candidates: list[str]) -> list[str]:
    """Those that are `Deploying` and have work for it, each one piece."""
    with database.read() as connection:
        queued = list(work.newest(connection, states=[WorkState.QUEUED], limit=100))
        found = [store.with_id(connection, each) for each in candidates]
    subjects = [each.subject for each in queued]
    assert len(subjects) == len(set(subjects))
    assert {(each.kind, each.payload["request"]) for each in queued} == {
        (DEPLOY, f"request of {each}") for each in subjects
    }
    deploying = [each.id for each in found if each is not None and each.status is S.DEPLOYING]
    assert set(subjects) == set(deploying)
    return deploying


def test_who_waits_longest_comes_next(database: Database, waiting: list[str]) -> None:
    add(database, S.DEPLOYING, 0, "europe-west1.gcp:other")
    begun(database, Turns(1))
    assert under_way(database, waiting) == waiting[:1]
    begun(database, Turns(1))
    assert under_way(database, waiting) == waiting[:1]
    begun(database, Turns(2))
    assert under_way(database, waiting) == waiting[:2]
    begun(database, Turns(9))
    assert under_way(database, waiting) == waiting


def test_one_that_is_deleted_meanwhile_keeps_nobody_waiting(
    database: Database, waiting: list[str]
) -> None:
    with database.write() as connection:
        before = store.lock(connection, waiting[0])
        assert before is not None
        beginning = threading.Thread(target=begun, args=(database, Turns(1)))
        beginning.start()
        beginning.join(0.3)  # on PostgreSQL it now waits for the lock
        store.save(connection, model.undeploying(before, "r2", 9, actor="client:c"))
    beginning.join(30)
    assert not beginning.is_alive()
    assert under_way(database, waiting) == [waiting[1]]


def test_one_that_cannot_be_read_keeps_nobody_waiting(
    database: Database, waiting: list[str]
) -> None:
    with database.write() as connection:
        damaged = table.update().where(table.c.id == waiting[0])
        connection.execute(damaged.values(document="no JSON"))
    begun(database, Turns(1))
    assert under_way(database, waiting[1:]) == [waiting[1]]
    with database.read() as connection:
        assert store.row_of(connection, waiting[0]).status == S.FAILED


def test_who_comes_while_the_last_one_ends_is_seen(database: Database, waiting: list[str]) -> None:
    """Whoever counts waits for who is about to wait: else nobody would let them begin."""
    with database.write() as connection:
        assert not Turns(1).are_taken(connection, PROJECT)
        beginning = threading.Thread(target=begun, args=(database, Turns(4)))
        beginning.start()
        beginning.join(0.3)
        subject = deployment(
            id=ids.new_id(), status=S.QUEUED, project=PROJECT, build="b", last_modified_at=8
        )
        subject = replace(subject, build=f"request of {subject.id}")
        store.add(connection, subject)
    beginning.join(30)
    assert under_way(database, [*waiting, subject.id]) == [*waiting, subject.id]


def statuses(shop: Shop) -> list[str]:
    found: list[dict[str, Any]] = shop.http.get(shop.path).json()["results"]
    return [each["status"] for each in found]


def test_deploys_beyond_the_limit_are_queued_and_begin_in_their_turn(tmp_path: Path) -> None:
    installation = own_installation(tmp_path)
    installation.settings |= {"CONNECTORY_DEPLOYS_PER_PROJECT": "1"}
    installation.project(KEY)
    installation.import_lines([unfetchable("acme")])
    none = {"CONNECTORY_WORK_CONCURRENCY": "0"}
    with installation.serving(settings=none) as server, opened(installation, server) as shop:
        subject = shop.http.get("/connectors/key=acme").json()
        made = [shop.create(subject) for _ in range(4)]
        assert [each["status"] for each in made] == ["Deploying", "Queued", "Queued", "Queued"]
        assert shop.http.delete(f"{shop.path}/{made[1]['id']}").json()["status"] == "Undeploying"
        assert shop.get(made[2]["id"])["status"] == "Queued"
        shop.http.delete(f"{shop.path}/{made[0]['id']}")
        assert shop.get(made[2]["id"])["status"] == "Deploying"
        assert shop.get(made[3]["id"])["status"] == "Queued"
    with installation.serving() as server, opened(installation, server) as shop:
        deadline = time.monotonic() + SECONDS
        while (found := statuses(shop)) != ["Failed", "Failed"]:
            assert found.count("Deploying") <= 1
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert metrics_of(shop)['connectory_deploys_total{outcome="failed"}'] == 2
