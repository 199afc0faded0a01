"""What is asked for by a rollback: which release can be brought back, and what it makes."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectory.contract.deployments import DeploymentStatus as S
from connectory.contract.deployments import DeploymentUpdate, Rollback
from connectory.contract.errors import (
    AuthorizationError,
    ConcurrentModification,
    DeploymentInvalidStatusTransition,
    InvalidJsonInput,
)
from connectory.contract.scopes import Permission
from connectory.database import audit
from connectory.database.engine import Database
from connectory.database.secrets import KeyRing
from connectory.deployments import rolling_back, store
from connectory.deployments.clients import GeneratedClient
from connectory.deployments.model import Application, Deployment, Release
from connectory.deployments.restoring import in_use
from connectory.deployments.retention import Kept
from connectory.deployments.service import Deployments, Name
from connectory.deployments.turns import DEPLOY, Turns
from connectory.http.access import Grant
from connectory.identity.administration import Administration
from connectory.kernel import ids
from connectory.specification.shape import Scripts
from connectory.work import store as work
from tests.deployments.examples import deployment
from tests.deployments.shops import PROJECT as KEY

PROJECT = f"europe-west1.gcp:{KEY}"


def release(number: int, **fields: Any) -> Release:
    """One of the example, that was deployed."""
    subject = deployment()
    made = Release(
        deployment_id=subject.id,
        number=number,
        connector=subject.connector,
        commit=f"commit {number}",
        artifacts={"shop": f"artifact {number}"},
        applications=subject.applications,
        actor="client:somebody",
        outcome="deployed",
        created_at=1,
    )
    return replace(made, **fields)


class Asking:
    """A Deployment with three releases, the second of which failed, and a client that asks."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.kept = Kept(latest=100, built=5)
        self.subject = replace(
            deployment(), key="live", project=PROJECT, status=S.DEPLOYED, release=3, releases=3
        )
        with database.write() as connection:
            by = Administration(connection, actor="command:tests", now=1)
            by.create_project(KEY, "europe-west1.gcp", production=False)
            store.add(connection, self.subject)
            for number, outcome in ((1, "deployed"), (2, "failed"), (3, "deployed")):
                store.put_release(connection, release(number, outcome=outcome))

    def put(self, made: Release) -> None:
        with self.database.write() as connection:
            store.put_release(connection, made)

    def save(self, **changes: Any) -> None:
        self.subject = replace(self.subject, **changes)
        with self.database.write() as connection:
            store.save(connection, self.subject)

    def roll_back(
        self, number: int, *permissions: Permission, version: int = 1, most: int = 1, **more: Any
    ) -> Deployment:
        deployments = Deployments(
            self.database,
            lambda: 9,
            Turns(most),
            most=9,
            kept=self.kept,
            key_ring=lambda: KeyRing((b"k" * 32,)),
            work_queued=lambda: None,
        )
        grant = Grant(
            client_id="ann",
            project_key=KEY,
            project=PROJECT,
            permissions=frozenset({Permission.MANAGE_CONNECTORS_DEPLOYMENTS, *permissions}),
            issued_at=1,
            expires_at=9,
        )
        update = DeploymentUpdate(version=version, actions=(Rollback(release=number, **more),))
        return asyncio.run(deployments.update(Name(key="live"), update, grant))

    def refusal(self, number: int, version: int = 1) -> str:
        with pytest.raises(InvalidJsonInput) as told:
            self.roll_back(number, version=version)
        return str(told.value.details["detailedErrorMessage"])

    def made(self, number: int) -> Release:
        with self.database.read() as connection:
            found = store.find_release(connection, self.subject.id, number)
        assert found is not None
        return found


@pytest.fixture
def asking(database: Database) -> Asking:
    return Asking(database)


def test_a_rollback_makes_a_new_release_with_all_of_the_earlier_one(asking: Asking) -> None:
    earlier = release(
        1,
        connector=replace(asking.subject.connector, version=7),
        endpoints={"shop": "/shop"},
        scripts={"shop": Scripts(post_deploy="npm run set-up")},
    )
    asking.put(earlier)
    after = asking.roll_back(1, skip_scripts=True)
    assert (after.status, after.version, after.releases, after.release) == (S.DEPLOYING, 2, 4, 3)
    assert (after.connector.version, after.commit) == (7, "commit 1")
    assert after.request is not None
    assert (after.request.release, after.request.skip_scripts) == (4, True)
    assert asking.made(4) == replace(
        earlier,
        number=4,
        rollback_to=1,
        outcome="deploying",
        actor="client:ann",
        created_at=9,
    )
    with asking.database.read() as connection:
        (queued,) = work.open_of_subject(connection, after.id)
        act = next(iter(audit.acts(connection, limit=1)))
    assert (queued.kind, queued.payload) == (DEPLOY, {"request": after.request.id})
    assert (act.actor, act.action) == ("client:ann", "deployments:deployment:rollback")
    assert act.details == {"version": 2, "release": 4, "to": 1}


def test_a_release_that_cannot_be_brought_back_is_named(asking: Asking) -> None:
    named = f"of the Deployment with id={asking.subject.id} or key=live"
    assert asking.refusal(7) == (
        f"actions[0].release: release 7 {named} does not exist; its releases are 1 to 3"
    )
    assert asking.refusal(2) == (
        f"actions[0].release: release 2 {named} was never deployed: its outcome is 'failed'; only"
        " one that was can be brought back"
    )
    with asking.database.write() as connection:
        connection.exec_driver_sql("UPDATE releases SET document = '{}' WHERE number = 1")
    assert asking.refusal(1) == f"actions[0].release: release 1 {named} cannot be read"


def test_the_release_that_serves_can_be_brought_back_after_a_redeploy_that_failed(
    asking: Asking,
) -> None:
    asking.save(status=S.FAILED, release=1)
    assert asking.roll_back(1).commit == "commit 1"


def test_a_rollback_wants_the_version_and_a_deployment_at_rest(asking: Asking) -> None:
    with pytest.raises(ConcurrentModification):
        asking.roll_back(1, version=8)
    asking.save(status=S.DEPLOYING)
    # At the wrong time, that is what is told, whatever else is wrong.
    with pytest.raises(DeploymentInvalidStatusTransition):
        asking.roll_back(7)


def test_a_rollback_waits_for_its_turn(asking: Asking) -> None:
    with asking.database.write() as connection:
        other = deployment(id=ids.new_id(), project=PROJECT, status=S.DEPLOYING, build="b")
        store.add(connection, other)
    assert asking.roll_back(1).status is S.QUEUED
    with asking.database.read() as connection:
        assert work.open_of_subject(connection, asking.subject.id) == []


def test_an_api_client_with_other_scopes_needs_the_scope_that_makes_one(asking: Asking) -> None:
    def client(*scopes: str) -> GeneratedClient:
        return GeneratedClient(id="c", scopes=scopes, secret="s")

    asking.put(release(1, client=client("view_orders")))
    asking.save(client=client("view_products"), scopes=("view_products",))
    with pytest.raises(AuthorizationError):
        asking.roll_back(1)
    after = asking.roll_back(1, Permission.MANAGE_API_CLIENTS)
    assert after.scopes == ("view_orders",)
    asking.save(client=client("view_orders"))
    assert asking.roll_back(1).client == asking.subject.client


_ids = st.sets(st.sampled_from("abcd"))


@given(_ids, _ids, _ids)
def test_what_is_brought_back_is_not_retired_and_what_is_left_out_is(
    now: set[str], retired: set[str], then: set[str]
) -> None:
    def applications(of: set[str], url: str | None) -> tuple[Application, ...]:
        (shop,) = deployment().applications
        return tuple(replace(shop, id=each, name=each, url=url) for each in sorted(of))

    before = deployment(applications=applications(now, "https://now"), retired=tuple(retired))
    after = rolling_back.rolled_back(before, release(1, applications=applications(then, None)))
    assert {each.id for each in after.applications} == then
    assert set(after.retired) == (now | retired) - then
    assert len(after.retired) == len(set(after.retired))
    assert {each.id for each in after.applications if each.url} == then & now


def test_artifacts_are_kept_of_as_many_releases_as_may_be_brought_back(asking: Asking) -> None:
    for number in (4, 5, 6, 7):
        asking.put(release(number, outcome="failed" if number == 7 else "deployed"))
    # Release 3 serves, and 8 is under way.
    asking.save(releases=8)
    asking.put(release(8, outcome="deploying"))

    def numbers(kept: int) -> set[str]:
        with asking.database.read() as connection:
            return {each.removeprefix("artifact ") for each in in_use(connection, kept)}

    assert numbers(0) == {"3", "8"}
    assert numbers(2) == {"3", "8", "6", "5"}
    assert numbers(9) == {"1", "3", "4", "5", "6", "8"}
