"""A Deployment whose row cannot be read: it is told, hides no other, and can be deleted."""

import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import update

from connectory.contract.deployments import DeploymentStatus, DeploymentType
from connectory.database import audit
from connectory.database.documents import Damaged
from connectory.database.engine import Database
from connectory.database.tables import clients, deployments, releases
from connectory.deployments import salvaging, store
from connectory.deployments.clients import GeneratedClient
from tests.deployments.examples import deployment, release
from tests.deployments.shops import (
    SECONDS,
    Shop,
    answers,
    example,
    metrics_of,
    opened,
    own_installation,
    unfetchable,
    url_of,
)
from tests.deployments.traces import children_of, command_of
from tests.harness import Server
from tests.staging.conftest import Creator, Platform

#: The row of a version that knows other fields, and one that a disk has spoilt.
OTHER, SPOILT = '{"id": 1, "version": "two"}', '{"id": "13c72c44'


@pytest.fixture
def shop(creator: Creator, platform: Platform) -> Shop:
    return Shop(creator, platform)


def damage(database: Database, id_: str, document: str, *, with_releases: bool = False) -> None:
    with database.write() as connection:
        connection.execute(
            update(deployments).where(deployments.c.id == id_).values(document=document)
        )
        if with_releases:
            of_it = releases.c.deployment_id == id_
            connection.execute(update(releases).where(of_it).values(document=document))


def accepted(shop: Shop, count: int) -> list[str]:
    """Ids of so many Deployments that have failed; the newest comes first, as in a list."""
    key = shop.creator.name("damage")
    subject = shop.imported(unfetchable(key))
    made = [shop.create(subject, key=f"{key}-{number}")["id"] for number in range(count)]
    for each in made:
        shop.settled(each)
    return made[::-1]


def page(shop: Shop, **query: int) -> tuple[int, list[str]]:
    answer = shop.http.get(shop.path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["count"] == len(found["results"])
    return found["total"], [each["id"] for each in found["results"]]


def gone(shop: Shop, id_: str) -> bool:
    """Whether nothing is left of a Deployment that was deleted, once that is so."""
    deadline = time.monotonic() + SECONDS
    while shop.http.get(f"{shop.path}/{id_}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return True


def running(server: Server) -> list[str]:
    """Command lines of the applications that a server runs."""
    commands = map(command_of, children_of(server.process.pid))
    return [each for each in commands if "index.js" in each]


def told_of(shop: Shop, id_: str, text: str) -> list[dict[str, Any]]:
    lines = shop.platform.server.lines()
    return [each for each in lines if each.get("deployment") == id_ and text in each["message"]]


def test_a_damaged_one_hides_no_other_and_is_told(shop: Shop) -> None:
    newest, damaged, oldest = accepted(shop, 3)
    met = metrics_of(shop)["connectory_damaged_reads_total"]
    damage(shop.platform.database, damaged, OTHER)
    assert page(shop) == page(shop, limit=2) == (2, [newest, oldest])
    assert page(shop, limit=1) == (2, [newest])
    assert page(shop, limit=1, offset=1) == (2, [oldest])
    assert len(told_of(shop, damaged, "lists leave it out")) == 1
    assert metrics_of(shop)["connectory_damaged_reads_total"] == met + 4


@pytest.mark.parametrize("document", [OTHER, SPOILT])
def test_by_itself_it_is_a_fault_that_the_log_explains(shop: Shop, document: str) -> None:
    (damaged,) = accepted(shop, 1)
    damage(shop.platform.database, damaged, document)
    redeploy = {"version": 2, "actions": [{"action": "redeploy"}]}
    asked = [
        shop.http.get(f"{shop.path}/{damaged}"),
        shop.http.post(f"{shop.path}/{damaged}", json=redeploy),
        shop.http.get(f"{shop.path}/{damaged}/releases"),
        shop.http.get(f"{shop.path}/{damaged}/logs"),
    ]
    for answer in asked:
        assert answer.status_code == 500
        assert [each["code"] for each in answer.json()["errors"]] == ["General"]
    lines = told_of(shop, damaged, f"Deployment {damaged} cannot be read")
    # On PostgreSQL the node that hosts it may tell it, too, and answers nobody.
    assert [each["correlationId"] for each in lines if "correlationId" in each] == [
        each.headers["x-correlation-id"] for each in asked
    ]
    assert "Traceback" not in str(lines)


def test_its_delete_frees_what_runs_and_its_api_client(tmp_path: Path) -> None:
    installation = own_installation(tmp_path)
    files = example("hard-coded-port")
    files["connect.yaml"] += "inheritAs:\n  apiClient:\n    scopes: [manage_orders]\n"
    scope = "manage_project manage_api_clients"
    with installation.serving() as server, opened(installation, server, scope) as shop:
        found = shop.deployed(shop.published(files), key="live")
        assert answers(url_of(found))["greeting"] == "Hello"
        assert running(server)
        damage(shop.platform.database, found["id"], SPOILT)
        answer = shop.http.delete(f"{shop.path}/key=live")
        assert answer.status_code == 202, answer.text
        body = answer.json()
        same = ("id", "key", "type", "connector", "deployedRegion")
        assert {name: body[name] for name in same} == {name: found[name] for name in same}
        assert body["status"] == "Undeploying"
        assert gone(shop, found["id"])
        assert not running(server)
        with pytest.raises(httpx.TransportError):
            httpx.get(url_of(found), trust_env=False)
        with shop.platform.database.read() as connection:
            query = clients.select().where(clients.c.id == found["apiClient"]["name"])
            assert connection.execute(query).one().revoked_at is not None
            acts = {each.action: each for each in [*audit.acts(connection, limit=20)][::-1]}
        assert acts["deployments:deployment:delete"].details["damaged"] is True
        asked = acts["deployments:deployment:create"].actor
        for verb in ("create", "revoke"):
            act = acts[f"identity:client:{verb}"]
            assert (act.subject, act.actor) == (found["apiClient"]["name"], asked)


def test_one_of_which_nothing_is_known_can_be_deleted_and_its_key_is_free(shop: Shop) -> None:
    (damaged,) = accepted(shop, 1)
    key = shop.get(damaged)["key"]
    damage(shop.platform.database, damaged, SPOILT, with_releases=True)
    answer = shop.http.delete(f"{shop.path}/{damaged}")
    assert answer.status_code == 202, answer.text
    assert answer.json()["connector"]["name"].startswith("unknown")
    assert gone(shop, damaged)
    assert shop.http.get(f"{shop.path}/key={key}").status_code == 404
    assert page(shop) == (0, [])


def test_each_field_that_can_be_read_is_kept(database: Database) -> None:
    client, older = (
        GeneratedClient(id=each, scopes=("manage_orders",), secret="sealed") for each in "ab"
    )
    whole = deployment(
        key="live",
        type=DeploymentType.PREVIEW,
        staged=True,
        client=client,
        release=2,
        retired=("9",),
    )
    with database.write() as connection:
        store.add(connection, whole)
        store.put_release(connection, release(1, outcome="deployed", client=older))
        store.put_release(connection, release(2, outcome="deployed", client=client))
    with database.read() as connection:
        text = store.row_of(connection, whole.id).document
    document = msgspec.json.decode(text) | {"report": "none", "status": "Lost", "version": []}
    damage(database, whole.id, msgspec.json.encode(document).decode())
    with database.write() as connection:
        found, damaged = salvaging.locked(connection, whole.id)
    assert isinstance(damaged, Damaged)
    assert found is not None
    assert (found.type, found.client, found.release) == (DeploymentType.PREVIEW, client, 2)
    assert (found.key, found.version, found.status) == ("live", 1, DeploymentStatus.DRAFT)
    assert found.applications == whole.applications
    assert found.retired == ("1", "2", "9")
    assert found.retired_clients == (older,)
