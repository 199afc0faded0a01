"""`kill -9` of real workers, two at once, at every boundary of a step and at random moments.

A table without any constraint takes what steps do. Whoever dies, each step of each piece is in it
exactly once in the end.
"""

import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from connectory.kernel.clock import system_clock
from connectory.work import store
from tests.harness import UNMEASURED
from tests.work.pieces import queue
from tests.work.workers import MOMENTS, STEPS

ROOT = Path(__file__).parent.parent.parent
OUTCOMES = (*STEPS, "done")
ROUNDS = pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.long)])


@pytest.fixture(autouse=True)
def _effects(database):
    with database.write() as connection:
        connection.execute(text("DROP TABLE IF EXISTS effects"))
        connection.execute(text("CREATE TABLE effects (id TEXT, step TEXT, attempt INTEGER)"))
    yield
    with database.write() as connection:
        connection.execute(text("DROP TABLE effects"))


def work_off(
    database, address, *, concurrency: int = 2, kills: int = 0, seed: int = 0
) -> dict[str, Any]:
    """Have workers do everything that is queued, and more while there are kills left."""
    url, data = address
    database.engine.dispose()
    given = {"url": url, "data": str(data), "concurrency": concurrency}
    given |= {"kills": kills, "seed": seed}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.work.workers", json.dumps(given)],
        cwd=ROOT,
        env=os.environ | UNMEASURED,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(ran.stdout)


def assert_each_outcome_is_there_once(database, ids: list[str]) -> None:
    with database.read() as connection:
        rows = connection.execute(text("SELECT id, step, attempt FROM effects")).all()
        works = [store.find(connection, id_) for id_ in ids]
    counted = Counter((id_, step) for id_, step, _ in rows)
    assert counted == {(id_, step): 1 for id_ in ids for step in OUTCOMES}
    assert {work.state for work in works} == {"done"}
    for work in works:
        steps = {step: attempt for id_, step, attempt in rows if id_ == work.id}
        attempts = [steps[step] for step in OUTCOMES]
        assert attempts == sorted(attempts), "an earlier attempt came after a later one"
        assert attempts[-1] <= work.attempt


def test_a_worker_may_die_at_any_boundary_of_a_step(database, address):
    dying = [f"{moment} {step}" for moment, step in itertools.product(MOMENTS, OUTCOMES)]
    made = [queue(database, now=system_clock(), die=each).id for each in dying]
    died = work_off(database, address, concurrency=1)  # a death is of one piece only
    assert died["deaths"] == len(dying)
    assert_each_outcome_is_there_once(database, made)


@pytest.mark.timeout(300)
@ROUNDS
def test_workers_may_die_at_any_moment(database, address, request, rounds):
    seed = f"{request.config.getoption('randomly_seed')} {request.node.name}"
    print(f"seed: {seed}")
    chance = random.Random(seed)
    died = work_off(database, address, kills=rounds, seed=chance.randrange(2**32))
    assert died["deaths"] == rounds
    assert len(died["queued"]) > rounds
    assert_each_outcome_is_there_once(database, died["queued"])
