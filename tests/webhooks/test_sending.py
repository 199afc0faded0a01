"""A server tells a real receiver, signed, until it has it; and nobody whom it must not reach."""

import contextlib
import time
from pathlib import Path
from typing import Any

import httpx

from connectory.contract.webhooks import WebhookEvent
from connectory.database.engine import Database, open_database
from connectory.kernel.clock import system_clock
from connectory.webhooks.service import emit
from tests.deployments.shops import PROJECT, Shop, opened, own_installation
from tests.harness import Installation, free_port
from tests.staging.conftest import REGION
from tests.webhooks.conftest import ALLOWED
from tests.webhooks.receivers import Hooks, Receiver, receiving


def happen(database: Database, name: str = "live", times: int = 1) -> None:
    """Let something happen in the Project."""
    with database.write() as connection:
        for _ in range(times):
            data = {"id": "of-a-test", "key": name}
            project = f"{REGION}:{PROJECT}"
            emit(connection, project, WebhookEvent.DEPLOYMENT_DEPLOYED, data, system_clock())


def test_what_happens_is_told_signed_and_once(shop: Shop, hooks: Hooks, receiver: Receiver) -> None:
    made = hooks.create(receiver.url("/hook?of=shop"), "deployment.deployed")
    other = hooks.create(receiver.url("/other"), "deployment.failed")
    assert made["secret"].startswith("whsec_")
    happen(shop.platform.database)
    (heard,) = receiver.until(1, "/hook?of=shop")
    assert heard.is_signed_with(made["secret"])
    assert not heard.is_signed_with(other["secret"])
    assert abs(int(heard.headers["webhook-timestamp"]) - time.time()) < 60
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["user-agent"].startswith("Connectory/")
    payload = heard.payload
    assert payload["type"] == "deployment.deployed"
    assert payload["data"] == {"id": "of-a-test", "key": "live"}
    told = hooks.delivery(made["id"], state="delivered")
    assert (told["id"], told["payload"]) == (heard.id, payload)
    (attempt,) = told["attempts"]
    assert attempt["status"] == 204
    assert "nextAttemptAt" not in told
    assert hooks.deliveries(other["id"]) == []
    assert len(receiver.heard) == 1
    # The secret is nowhere else.
    shown = shop.http.get(f"{hooks.path}/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    data = shop.platform.installation.data
    for file in data.glob("connectory.sqlite3*"):
        assert made["secret"].removeprefix("whsec_").encode() not in file.read_bytes()


def test_what_fails_is_sent_again_with_the_same_id(
    shop: Shop, hooks: Hooks, receiver: Receiver
) -> None:
    port = free_port()
    failing = hooks.create(receiver.url("/failing"))
    moving = hooks.create(receiver.url("/moving"))
    down = hooks.create(f"http://127.0.0.1:{port}/down")
    receiver.answers = {"/failing": [500, 200], "/moving": [302, 204]}
    happen(shop.platform.database)
    assert hooks.delivery(down["id"])["attempts"][0] | {"at": "", "milliseconds": 0} == {
        "at": "",
        "status": 0,
        "milliseconds": 0,
        "answer": "the receiver accepts no connection",
    }
    with receiving(port) as late:
        (heard,) = late.until(1, "/down")
        assert heard.is_signed_with(down["secret"])
        told = hooks.delivery(down["id"], state="delivered")
    assert [each["status"] for each in told["attempts"]] == [0, 204]
    first, second = receiver.until(2, "/failing")
    assert first.id == second.id
    assert first.body == second.body
    assert second.is_signed_with(failing["secret"])
    told = hooks.delivery(failing["id"], state="delivered")
    assert [each["status"] for each in told["attempts"]] == [500, 200]
    # Of an answer so much is kept, and nobody is followed.
    assert told["attempts"][0]["answer"] == "x" * 2_048
    told = hooks.delivery(moving["id"], state="delivered")
    assert [each["status"] for each in told["attempts"]] == [302, 204]
    assert "redirects" in told["attempts"][0]["answer"]
    assert receiver.on("/elsewhere") == []


def test_a_delivery_is_sent_again_by_hand(shop: Shop, hooks: Hooks, receiver: Receiver) -> None:
    made = hooks.create(receiver.url())
    happen(shop.platform.database)
    told = hooks.delivery(made["id"], state="delivered")
    path = f"{hooks.path}/{made['id']}/deliveries"
    answer = shop.http.post(f"{path}/{told['id']}/retry")
    assert (answer.status_code, answer.json()["state"]) == (200, "waiting")
    first, second = receiver.until(2)
    assert first.id == second.id
    hooks.delivery(made["id"], attempts=2, state="delivered")
    missing = shop.http.post(f"{path}/{made['id']}/retry")
    assert missing.status_code == 404


def test_deliveries_are_paged_and_go_with_their_webhook(
    shop: Shop, hooks: Hooks, receiver: Receiver
) -> None:
    made = hooks.create(receiver.url())
    happen(shop.platform.database, times=5)
    path = f"{hooks.path}/{made['id']}/deliveries"
    pages, token = [], ""
    while True:
        page = shop.http.get(path, params={"limit": 2, "pageToken": token}).json()
        pages += page["data"]
        token = page["next"]
        if not token:
            break
    assert len({each["id"] for each in pages}) == 5
    moments = [each["createdAt"] for each in pages]
    assert moments == sorted(moments, reverse=True)
    assert shop.http.get(path, params={"pageToken": "x"}).status_code == 400
    assert shop.http.delete(f"{hooks.path}/{made['id']}").status_code == 200
    assert shop.http.get(path).status_code == 404


def test_a_project_has_so_many_webhooks_and_no_more(hooks: Hooks, receiver: Receiver) -> None:
    for number in range(10):
        hooks.create(receiver.url(f"/{number}"))
    answer = hooks.http.post(hooks.path, json={"url": receiver.url("/too-many")})
    assert answer.json()["errors"][0]["code"] == "LimitExceeded"


def test_it_is_done_by_command_too(
    shop: Shop, hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    credentials = shop.platform.installation.credentials(PROJECT)
    settings = {
        "CONNECTORY_API_URL": shop.platform.server.url,
        "CONNECTORY_CLIENT_ID": credentials.client_id,
        "CONNECTORY_CLIENT_SECRET": credentials.client_secret,
    }
    client = Installation(tmp_path / "nothing", settings=settings)
    event = ("--event", "deployment.deployed")
    made: Any = client.run_json("webhook", "create", receiver.url(), *event)
    assert receiver.url() in client.run("webhook", "list").stdout
    happen(shop.platform.database)
    (heard,) = receiver.until(1)
    assert heard.is_signed_with(made["secret"])
    told = hooks.delivery(made["id"], state="delivered")
    said = client.run("webhook", "deliveries", made["id"]).stdout
    assert told["id"] in said
    assert "delivered  1" in said
    client.run("webhook", "retry", made["id"], told["id"])
    receiver.until(2)
    assert client.run("webhook", "delete", made["id"]).stdout.endswith("is deleted\n")
    assert hooks.http.get(hooks.path).json() == {"results": []}
    acts = shop.platform.installation.run("audit").stdout
    assert "webhooks:webhook:create" in acts
    assert "/hook" not in acts


def test_private_addresses_are_refused_unless_allowed_and_a_kill_loses_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    installation = own_installation(tmp_path)
    installation.run("migrate")
    with contextlib.closing(open_database("", installation.data)) as database:
        server = installation.start(settings=ALLOWED)
        with opened(installation, server) as shop:
            hooks = Hooks(shop.http, shop.creator.project)
            made = hooks.create(receiver.url())
            barred = hooks.create(f"https://127.0.0.1:{receiver.port}/barred")
        receiver.free.clear()
        happen(database, "first")
        receiver.until(1)
        happen(database, "second")
        server.kill()
        receiver.free.set()
        with installation.serving() as server, opened(installation, server) as shop:
            hooks = Hooks(shop.http, shop.creator.project)
            # Their address was public when they were made, for all that the server knows.
            told = hooks.delivery(barred["id"])
            assert told["state"] == "waiting"
            assert "private or local address" in told["attempts"][-1]["answer"]
            for url in ("https://127.0.0.1/x", "https://localhost/x", "https://10.0.0.1/x"):
                assert "CONNECTORY_WEBHOOK_PRIVATE_ADDRESSES" in hooks.refused(url)
            assert hooks.refused(receiver.url()).startswith("url: the address must begin with")
            server.kill()
        before = len(receiver.heard)
        with installation.serving(settings=ALLOWED) as server, opened(installation, server) as shop:
            heard = receiver.until(before + 2)
            hooks = Hooks(shop.http, shop.creator.project)
            hooks.all_delivered(made["id"], 2)
        assert {each.payload["data"]["key"] for each in heard} == {"first", "second"}
        assert len({each.id for each in heard}) == 2
        assert all(each.is_signed_with(made["secret"]) for each in heard)
        assert receiver.on("/barred") == []


def test_whose_scope_does_not_manage_the_project_sees_no_webhook(shop: Shop, hooks: Hooks) -> None:
    with shop.other_client("manage_connectors_deployments manage_connectors") as http:
        assert http.get(hooks.path).status_code == 403
        assert http.post(hooks.path, json={"url": "https://acme.example/"}).status_code == 403
    assert httpx.get(f"{shop.platform.server.url}{hooks.path}").status_code == 401
