"""What becomes of a deploy that is given up or cancelled, before its release serves and after."""

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectory.contract.deployments import DeploymentStatus
from connectory.database.engine import Database
from connectory.database.tables import deployments as table
from connectory.deployments import model, store
from connectory.deployments.accepting import release_of
from connectory.deployments.ending import Ending
from connectory.deployments.environment import Commerce
from connectory.deployments.hosting import Hosting
from connectory.deployments.measuring import Outcomes
from connectory.deployments.model import Deployment
from connectory.deployments.programs import Programs
from connectory.deployments.turns import DEPLOY, Turns
from connectory.identity.administration import Administration
from connectory.work import claims
from connectory.work import store as work_store
from connectory.work.lease import Lease
from tests.building.conftest import Bench
from tests.deployments.examples import deployment

NOW = 9


class Nowhere(Hosting):
    """Where nothing runs and nothing has an address."""

    def __init__(self) -> None:
        """Without runtime and gateway."""

    def url(self, *_: object) -> None:
        """Nothing is called."""

    def remove(self, *_: object) -> None:
        """Nothing is there."""


class Scene:
    """A first deploy under way, and what ends it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.outcomes = database, Outcomes()
        hosting = Nowhere()
        programs = Programs(
            Bench(folder).builds,
            hosting,
            Commerce(api_url="", auth_url=""),
            lambda: pytest.fail("nothing is decrypted"),
            mask=lambda *_: None,
        )
        self.ending = Ending(
            lambda: NOW,
            hosting=hosting,
            programs=programs,
            turns=Turns(1),
            outcomes=self.outcomes,
            listeners=(),
        )
        subject = model.requested(
            deployment(), "r1", 1, actor="client:c", held=False, skip_scripts=False
        )
        self.id, self.release = subject.id, release_of(subject, 1)
        region, _, key = subject.project.partition(":")
        with database.write() as connection:
            by = Administration(connection, actor="command:tests", now=1)
            by.create_project(key, region, production=False)
            store.add(connection, subject)
            store.put_release(connection, self.release)
            work_store.enqueue(
                connection,
                kind=DEPLOY,
                subject=subject.id,
                project=subject.project,
                payload={"request": "r1"},
                now=0,
            )
            found = claims.claim(connection, owner="a", now=1, kinds=[DEPLOY], per_project=1)
        assert found is not None
        self.lease = Lease(database, lambda: NOW, found, threading.Event())

    @property
    def now(self) -> Deployment:
        with self.database.read() as connection:
            found = store.with_id(connection, self.id)
        assert found is not None
        return found

    def end(self, how: str) -> None:
        work = self.lease.work
        with self.database.write() as connection:
            if how == "given up":
                self.ending.give_up(connection, work, "it went wrong")
            else:
                self.ending.cancelled(connection, work)


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Scene:
    return Scene(database, tmp_path)


@pytest.mark.parametrize(("how", "outcome"), [("given up", "failed"), ("cancelled", "cancelled")])
def test_before_its_release_serves_it_has_failed(scene: Scene, how: str, outcome: str) -> None:
    scene.end(how)
    assert (scene.now.status, scene.now.release) == (DeploymentStatus.FAILED, None)
    assert scene.now.report[-1].type == "Error"
    assert scene.outcomes.of(outcome) == 1


@pytest.mark.parametrize("how", ["given up", "cancelled"])
def test_one_that_cannot_be_read_has_failed_and_gives_its_turn_to_the_next(
    scene: Scene, how: str
) -> None:
    next_ = replace(deployment(), id="2" * 36, status=DeploymentStatus.QUEUED, build="r2")
    with scene.database.write() as connection:
        store.add(connection, next_)
        damaged = table.update().where(table.c.id == scene.id)
        connection.execute(damaged.values(document="no JSON"))
    scene.end(how)
    with scene.database.read() as connection:
        assert store.row_of(connection, scene.id).status == DeploymentStatus.FAILED
        begun = store.with_id(connection, next_.id)
    assert begun is not None
    assert begun.status == DeploymentStatus.DEPLOYING


@pytest.mark.parametrize(
    ("how", "outcome", "why"),
    [
        ("given up", "deployed", "it went wrong"),
        ("cancelled", "cancelled", "the deployment was cancelled"),
    ],
)
def test_once_its_release_serves_it_is_deployed_with_a_warning(
    scene: Scene, how: str, outcome: str, why: str
) -> None:
    scene.ending.serve(scene.lease, scene.release)
    assert (scene.now.status, scene.now.release) == (DeploymentStatus.DEPLOYING, 1)
    assert model.serves_already(scene.now)
    scene.end(how)
    assert (scene.now.status, scene.now.release) == (DeploymentStatus.DEPLOYED, 1)
    last = scene.now.report[-1]
    assert (last.type, last.message) == ("Warning", why)
    assert scene.outcomes.of(outcome) == 1
    with scene.database.read() as connection:
        release = store.find_release(connection, scene.id, 1)
    assert release is not None
    assert release.outcome == "deployed"
