"""Which releases of a Deployment are kept, and that nothing that is needed goes with the others."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectory.contract.deployments import DeploymentStatus as S
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing
from connectory.deployments import restoring, store
from connectory.deployments.model import Release
from connectory.deployments.releases import Releases
from connectory.deployments.retention import Kept, in_use, superfluous
from connectory.deployments.service import Name
from tests.deployments.examples import deployment
from tests.deployments.test_rollbacks import PROJECT, Asking, release


@pytest.fixture
def asking(database: Database) -> Asking:
    """Of release 1, which was deployed, 2, which failed, and 3, which serves."""
    made = Asking(database)
    made.kept = Kept(latest=3, built=1)
    return made


def numbers(asking: Asking) -> list[int]:
    with asking.database.read() as connection:
        return [each.number for each in store.releases_of(connection, asking.subject.id)]


def artifacts(asking: Asking) -> set[str]:
    with asking.database.read() as connection:
        return restoring.in_use(connection, asking.kept.built)


def listed(asking: Asking) -> list[tuple[int, Any]]:
    """The releases as their owner sees them, with the one that each is compared with."""
    releases = Releases(asking.database, lambda: KeyRing((b"k" * 32,)))
    page = asyncio.run(releases.page(Name(key="live"), PROJECT, offset=0, limit=9))
    assert page.total == page.count
    return [(each.number, each.changes.since if each.changes else None) for each in page.results]


def deploy(asking: Asking, back_to: int, outcome: str = "deployed") -> int:
    """Have a rollback made, and end; the number of its release."""
    after = asking.roll_back(back_to, version=asking.subject.version)
    number = after.releases
    serving = number if outcome == "deployed" else after.release
    status = S.DEPLOYED if outcome == "deployed" else S.FAILED
    asking.subject = after
    asking.save(status=status, release=serving, request=None)
    asking.put(replace(asking.made(number), outcome=outcome, artifacts={"shop": f"of {number}"}))
    return number


def test_the_latest_are_kept_and_their_numbers_stay(asking: Asking) -> None:
    for expected in (4, 5, 6, 7, 8):
        assert deploy(asking, asking.subject.release or 0) == expected
    # Beside the latest three there is the one that the oldest of them is compared with.
    assert listed(asking) == [(8, 7), (7, 6), (6, 5), (5, None)]
    assert artifacts(asking) == {"of 8", "of 7"}
    named = f"of the Deployment with id={asking.subject.id} or key=live"
    assert asking.refusal(4, version=asking.subject.version) == (
        f"actions[0].release: release 4 {named} is not kept any more: take one of those that are"
        " listed"
    )
    assert "does not exist; its releases are 1 to 8" in asking.refusal(
        9, version=asking.subject.version
    )


def test_what_serves_and_the_way_back_are_kept_however_many_failed_since(asking: Asking) -> None:
    for _ in range(6):
        deploy(asking, 3, outcome="failed")
    assert numbers(asking) == [9, 8, 7, 3, 1]
    assert artifacts(asking) == {"artifact 3", "artifact 1", "of 9"}
    assert listed(asking) == [(9, 3), (8, 3), (7, 3), (3, 1), (1, None)]


def test_the_release_that_a_rollback_names_is_kept_until_the_next(asking: Asking) -> None:
    asking.kept = Kept(latest=1, built=0)
    asking.roll_back(1)
    assert numbers(asking) == [4, 3, 1]
    asking.save(status=S.FAILED, version=2, releases=4)
    asking.roll_back(3, version=2)
    assert numbers(asking) == [5, 3]


def test_what_cannot_be_read_is_left_alone(asking: Asking) -> None:
    with asking.database.write() as connection:
        connection.exec_driver_sql("UPDATE releases SET document = '{}' WHERE number = 2")
    for _ in range(4):
        deploy(asking, asking.subject.release or 0)
    with asking.database.read() as connection:
        left = connection.exec_driver_sql("SELECT number FROM releases ORDER BY number").scalars()
        assert list(left) == [2, 4, 5, 6, 7]


@given(
    outcomes=st.lists(st.sampled_from(["deployed", "failed", "cancelled"]), max_size=20),
    latest=st.integers(1, 8),
    built=st.integers(0, 5),
    data=st.data(),
)
def test_nothing_that_is_needed_goes(
    outcomes: list[str], latest: int, built: int, data: st.DataObject
) -> None:
    kept = Kept(latest=latest, built=built)
    made = [release(number, outcome=each) for number, each in enumerate(outcomes, 1)]
    made.append(release(len(made) + 1, outcome="deploying"))
    made.reverse()
    deployed = [each for each in made if each.outcome == "deployed"]
    subject = replace(
        deployment(),
        release=deployed[0].number if deployed else None,
        releases=len(made),
    )
    named = data.draw(st.sampled_from([None, *deployed]))
    gone = set(superfluous(subject, made, kept, named))
    left = [each for each in made if each.number not in gone]
    assert left[:latest] == made[:latest]
    assert subject.release not in gone
    assert named not in [each for each in made if each.number in gone]
    assert in_use(subject, left, built) == in_use(subject, made, built)
    assert before(left, left[:latest][-1]) == before(made, made[:latest][-1])
    assert len(left) <= latest + built + 3


def before(releases: list[Release], one: Release) -> Release | None:
    """The one that another is compared with."""
    older = (each for each in releases if each.number < one.number)
    return next((each for each in older if each.outcome == "deployed"), None)
