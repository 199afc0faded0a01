"""What is sent to an event application is delivered until it is acknowledged."""

import base64
from typing import Any

import pytest

from tests.deployments.shops import Shop
from tests.messages.listeners import Listening, listening, message
from tests.staging.conftest import Creator, Platform

EXPONENTIAL = (
    "{strategy: exponential-backoff, minBackoffSeconds: 1, maxBackoffSeconds: 1, maxAttempts: 5}"
)


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


@pytest.fixture(scope="module")
def hosted(platform: Platform) -> Any:
    """An application for tests that look at their own messages only; it is sent to at once."""
    with platform.creator() as made:
        yield listening(Shop(made, platform), "{strategy: immediate}")


def test_the_topic_stays_the_same_over_redeploys(shop: Shop) -> None:
    made = listening(shop)
    project_key = shop.creator.project.partition(":")[2]
    assert made.topic.startswith(f"projects/{project_key}/topics/event-")
    again = shop.redeploy(made.id)
    assert Listening(shop, again).topic == made.topic
    (id_,) = made.publish({"name": "after"})
    assert made.settled(id_)["state"] == "acknowledged"
    shop.delete(made.id)
    answer = shop.http.post(f"/v1/{made.topic}:publish", json={"messages": [{"data": "e30="}]})
    assert answer.status_code == 404
    assert made.topic in answer.json()["message"]


def test_a_message_comes_in_the_envelope_of_a_push(hosted: Listening) -> None:
    sent = message({"name": "envelope"}, key="value")
    answer = hosted.shop.http.post(
        f"/v1/{hosted.topic}:publish",
        json={"messages": [sent]},
        headers={"X-Correlation-ID": "sender-1"},
    )
    (id_,) = answer.json()["messageIds"]
    found = hosted.settled(id_)
    assert (found["state"], found["attemptCount"]) == ("acknowledged", 1)
    assert found["message"] == sent
    assert [each["status"] for each in found["attempts"]] == [204]
    (told,) = hosted.told("envelope")
    assert told["path"] == "/event"
    assert told["agent"] == "CloudPubSub-Google"
    assert told["correlation"] == found["correlationId"] == "sender-1"
    moment = found["publishedAt"]
    assert told["envelope"] == {
        "message": {
            "data": sent["data"],
            "attributes": {"key": "value"},
            "messageId": id_,
            "message_id": id_,
            "publishTime": moment,
            "publish_time": moment,
        },
        "subscription": hosted.topic.replace("/topics/", "/subscriptions/"),
    }


@pytest.mark.parametrize("status", [102, 200, 201, 202, 204])
def test_these_statuses_acknowledge(hosted: Listening, status: int) -> None:
    (id_,) = hosted.publish({"name": f"status {status}", "answers": [status]})
    found = hosted.settled(id_)
    assert [each["status"] for each in found["attempts"]] == [status]
    assert found["state"] == "acknowledged"


@pytest.mark.parametrize("status", [203, 302, 400, 404, 429, 500, 503])
def test_every_other_status_has_it_sent_again(hosted: Listening, status: int) -> None:
    (id_,) = hosted.publish({"name": f"status {status}", "answers": [status, 200]})
    found = hosted.settled(id_)
    assert [each["status"] for each in found["attempts"]] == [status, 200]
    assert found["attempts"][0]["answer"] == f"said {status}"
    assert found["state"] == "acknowledged"


def test_an_application_that_dies_gets_it_again(shop: Shop) -> None:
    made = listening(shop)
    (id_,) = made.publish({"name": "deadly", "answers": ["die"]})
    # Each that is started after a death has forgotten how many there were.
    found = made.until(id_, lambda found: found["attemptCount"] > 1)
    assert {each["status"] for each in found["attempts"]} == {0}
    assert "ended the connection" in found["attempts"][0]["answer"]
    assert found["state"] == "waiting"
    shop.delete(made.id)


def test_who_answers_too_late_gets_it_again_and_may_go_on(hosted: Listening) -> None:
    (id_,) = hosted.publish({"name": "slow", "answers": ["late", 200]})
    found = hosted.settled(id_)
    assert [each["status"] for each in found["attempts"]] == [0, 200]
    assert found["attempts"][0]["answer"] == "no answer within 10 s"
    assert found["attempts"][0]["milliseconds"] > 9_500
    assert hosted.shop.logged(hosted.id, "late")


def test_dead_letters_are_listed_replayed_and_dropped(shop: Shop) -> None:
    made = listening(shop, EXPONENTIAL)
    first, second, third = made.publish(
        {"name": "poor", "answers": [500]},
        {"name": "in need", "answers": [500, 500, 500, 500, 500, 200]},
        {"name": "well"},
    )
    assert made.settled(first)["state"] == "dead"
    dead = made.settled(second)
    assert dead["state"] == "dead"
    assert dead["attemptCount"] == 5
    assert made.settled(third)["state"] == "acknowledged"
    page = made.messages(limit=1)
    assert [each["id"] for each in page["data"]] == [second]
    rest = made.messages(limit=1, pageToken=page["next"])
    assert ([each["id"] for each in rest["data"]], rest["next"]) == ([first], "")
    assert made.act("replay", ids=[second, third]) == 1
    again = made.settled(second)
    assert again["state"] == "acknowledged"
    assert [each["status"] for each in again["attempts"]] == [500] * 5 + [200]
    assert made.act("drop", applicationName="listener") == 1
    assert made.messages()["data"] == []
    assert made.act("drop") == 0
    shop.delete(made.id)


def test_a_policy_can_be_overridden_for_a_deployment(shop: Shop) -> None:
    policy = {
        "strategy": "exponential-backoff",
        "minBackoffSeconds": 2,
        "maxBackoffSeconds": 20,
        "maxAttempts": 7,
    }
    values = {"applicationName": "listener", "retryPolicy": policy}
    made = listening(shop, EXPONENTIAL, configurations=[values])
    (application,) = made.deployment["applications"]
    assert application["retryPolicy"] == policy
    (again,) = shop.redeploy(made.id)["applications"]
    assert again["retryPolicy"] == policy
    shop.delete(made.id)


def test_the_key_of_a_topic_publishes_to_it_and_opens_nothing_else(shop: Shop) -> None:
    made = listening(shop)
    path = f"{made.path}/topics/listener/key"
    first = shop.http.post(path).json()
    assert first["topic"] == made.topic
    key = {"Authorization": f"Bearer {first['key']}"}
    body = {"messages": [message({"name": "by key"})]}
    sent = shop.http.post(f"/v1/{made.topic}:publish", json=body, headers=key)
    assert made.settled(sent.json()["messageIds"][0])["state"] == "acknowledged"
    for other in ("/connectors/search", made.path, f"{made.path}/messages"):
        assert shop.http.get(other, headers=key).status_code == 401
    stranger = made.topic[:-1] + ("a" if made.topic[-1] != "a" else "b")
    assert shop.http.post(f"/v1/{stranger}:publish", json=body, headers=key).status_code == 401
    shop.http.post(path)
    assert shop.http.post(f"/v1/{made.topic}:publish", json=body, headers=key).status_code == 401
    shop.delete(made.id)


def test_an_application_that_sleeps_is_woken(shop: Shop) -> None:
    made = listening(shop)
    # Several messages in one call, all of them for one start.
    ids = made.publish(*({"name": f"message {number}"} for number in range(20)))
    assert {made.settled(each)["state"] for each in ids} == {"acknowledged"}
    shop.delete(made.id)


def test_what_cannot_be_a_message_is_refused(hosted: Listening) -> None:
    for body, said in (
        ({"messages": []}, "messages: 1 to 1000"),
        ({"messages": [{}]}, "needs data, or at least one attribute"),
        ({"messages": [{"data": "%"}]}, "messages[0].data is not base64"),
        ({"messages": [{"attributes": {"": "x"}}]}, "a name has 1 to 256 bytes"),
        ({"messages": [{"attributes": {"a": "x" * 1025}}]}, "at most 1024 bytes"),
        ({}, "messages"),
    ):
        answer = hosted.shop.http.post(f"/v1/{hosted.topic}:publish", json=body)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["code"]) == (400, "InvalidJsonInput")
        assert said in error["detailedErrorMessage"]


def test_base64_for_urls_is_taken_too(hosted: Listening) -> None:
    data = json_of("name", "urls ~~~???")
    text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    body = {"messages": [{"data": text}]}
    answer = hosted.shop.http.post(f"/v1/{hosted.topic}:publish", json=body)
    found = hosted.settled(answer.json()["messageIds"][0])
    assert base64.b64decode(found["message"]["data"]) == data


def json_of(name: str, value: str) -> bytes:
    return f'{{"{name}": "{value}"}}'.encode()
