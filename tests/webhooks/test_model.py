"""What is decided of webhooks without a server: addresses, signatures, and when to try again."""

import base64

import pytest

from connectory.contract.webhooks import DeliveryState, WebhookEvent
from connectory.database.engine import Database
from connectory.kernel import ids
from connectory.kernel.clock import HOUR, SECOND
from connectory.webhooks import store
from connectory.webhooks.addresses import WebhookAddressRefused, parse_target, pinned
from connectory.webhooks.model import Attempt, Delivery, Webhook, after, headers
from connectory.webhooks.service import emit

PROJECT = "europe-west1.gcp:shop"


def delivery(webhook_id: str = "w", *, id_: str = "", at: int = 0) -> Delivery:
    return Delivery(
        id=id_ or ids.new_id(),
        webhook_id=webhook_id,
        type=WebhookEvent.DEPLOYMENT_FAILED,
        payload=b'{"test": 2432232314}',
        next_at=at,
        created_at=at,
    )


def test_a_signature_is_that_of_the_standards_published_sample() -> None:
    # What the libraries of Standard Webhooks are tested with.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    told = delivery(id_="msg_p5jXN8AQM9LWM0D4loKWxJek")
    assert headers(told, secret, 1_614_265_330 * SECOND + 999_999) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_what_fails_is_tried_eight_times_over_about_a_day_and_then_given_up() -> None:
    told, now, pauses = delivery(), 0, []
    while told.state is DeliveryState.WAITING:
        told = after(told, Attempt(at=now, status=500, milliseconds=1), now, jitter=0.0)
        if told.next_at is not None:
            pauses.append(told.next_at - now)
            now = told.next_at
    assert told.state is DeliveryState.FAILED
    assert len(told.attempts) == 8
    assert pauses == sorted(pauses)
    assert 20 * HOUR < now < 28 * HOUR
    # Retried by hand, it has one attempt, and no more.
    again = after(told, Attempt(at=now, status=0, milliseconds=1), now, jitter=0.2)
    assert (again.state, again.next_at) == (DeliveryState.FAILED, None)


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, "delivered"), (204, "delivered"), (301, "waiting"), (410, "waiting"), (0, "waiting")],
)
def test_a_status_of_success_delivers_and_no_other(status: int, state: str) -> None:
    ended = after(delivery(), Attempt(at=0, status=status, milliseconds=1), 0, jitter=0.0)
    assert ended.state == state


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://Acme.example/hook/?a=b//", "acme.example", 443, "/hook/?a=b//"),
        ("https://acme.example:8443", "acme.example", 8443, "/"),
        ("https://acme.example?x", "acme.example", 443, "/?x"),
    ],
)
def test_an_address_is_taken_as_it_was_given(url: str, host: str, port: int, path: str) -> None:
    target = parse_target(url, private=False)
    assert (target.secure, target.host, target.port, target.path) == (True, host, port, path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://acme.example/", "CONNECTORY_WEBHOOK_PRIVATE_ADDRESSES=on"),
        ("ftp://acme.example/", "https://host/path"),
        ("acme.example", "https://host/path"),
        ("https://ann:secret@acme.example/", "user or a password"),
        ("https:///hook", "no host"),
        ("https://acme.example:0/", "port"),
        ("https://0x7f.1/", "neither a name nor an IPv4 address"),
        ("https://[::1]/", "no host"),
        ("https://acme.example/a b", "character"),
        ("https://acme.example/\r\nHost: x", "character"),
        ("https://acme.example/#top", "character"),
        ("https://acme.example/ü", "character"),
        (f"https://acme.example/{'x' * 2_048}", "longer"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(url: str, why: str) -> None:
    with pytest.raises(WebhookAddressRefused, match="(?i)" + why):
        parse_target(url, private=False)


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["::1"], ["169.254.169.254"]]
)
def test_a_host_with_one_private_address_is_refused(addresses: list[str]) -> None:
    target = parse_target("https://acme.example/", private=False)
    with pytest.raises(WebhookAddressRefused, match="private or local address"):
        pinned(target, private=False, resolve=lambda *_: addresses)
    assert pinned(target, private=True, resolve=lambda *_: addresses) == tuple(addresses)


def test_a_host_without_an_address_is_told() -> None:
    target = parse_target("https://acme.example/", private=False)
    with pytest.raises(WebhookAddressRefused, match="has no address"):
        pinned(target, private=False, resolve=lambda *_: [])


def test_what_is_claimed_is_nobody_elses_until_its_time_is_up(database: Database) -> None:
    told = [delivery(ids.new_id(), at=number) for number in range(40)]
    with database.write() as connection:
        store.append(connection, PROJECT, told)
        rules = {"limit": 16, "per_webhook": 4, "busy": {}}
        first = store.claim(connection, 100, until=200, **rules)
        assert [each.id for each in first] == [each.id for each in told[:16]]
        second = store.claim(connection, 199, until=300, **rules)
        assert not {each.id for each in first} & {each.id for each in second}
        # The node that had the first has died.
        third = store.claim(connection, 200, until=400, limit=40, per_webhook=4, busy={})
        assert {each.id for each in first} <= {each.id for each in third}
        # It was slow, and comes too late.
        late = after(first[0], Attempt(at=0, status=200, milliseconds=1), 201, jitter=0.0)
        store.settle(connection, first[0], late)
        kept = store.find_delivery(connection, first[0].webhook_id, first[0].id)
        assert kept is not None
        assert kept.state is DeliveryState.WAITING


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_webhook_with_much_to_tell_leaves_room_for_others(database: Database) -> None:
    much, little = ids.new_id(), ids.new_id()
    told = [delivery(much, at=number) for number in range(100)]
    with database.write() as connection:
        store.append(connection, PROJECT, [*told, delivery(little, at=1_000)])
        first = store.claim(connection, 2_000, until=9_000, limit=16, per_webhook=4, busy={})
        assert [each.webhook_id for each in first].count(much) == 4
        second = store.claim(
            connection, 2_000, until=9_000, limit=12, per_webhook=4, busy={much: 4}
        )
        assert {each.webhook_id for each in (*first, *second)} == {much, little}
        third = store.claim(connection, 2_000, until=9_000, limit=12, per_webhook=4, busy={much: 3})
        assert [each.webhook_id for each in third] == [much]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_no_webhook_of_the_project_wants_is_not_written(database: Database) -> None:
    made = Webhook(
        id=ids.new_id(),
        project=PROJECT,
        url="https://acme.example/",
        events=(WebhookEvent.DEPLOYMENT_FAILED,),
        sealed="of no key",
        created_at=0,
    )
    with database.write() as connection:
        store.add(connection, made)
        emit(connection, PROJECT, WebhookEvent.DEAD_LETTER, {}, 1)
        emit(connection, f"{PROJECT}-two", WebhookEvent.DEPLOYMENT_FAILED, {}, 1)
        assert not store.is_due(connection, 2)
        emit(connection, PROJECT, WebhookEvent.DEPLOYMENT_FAILED, {}, 1)
        (told,) = store.listed(connection, made.id, before=None, limit=2)
        assert store.is_due(connection, 2)
    assert told.payload == (
        b'{"type":"deployment.failed","timestamp":"1970-01-01T00:00:00.000001Z","data":{}}'
    )
