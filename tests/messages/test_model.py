"""What becomes of a message, over days: pure, by a clock that the tests turn."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectory.contract.messages import MessageState, PubsubMessage
from connectory.kernel.clock import DAY, SECOND
from connectory.messages.model import (
    KEPT_ATTEMPTS,
    Attempt,
    Keeping,
    Message,
    Topic,
    Window,
    envelope,
    outcome,
)
from connectory.messages.service import encoded
from connectory.specification.shape import ExponentialBackoff, Immediate, RetryPolicy

KEEPING = Keeping(waiting=7 * DAY, dead=30 * DAY)
TOPIC = Topic(
    name="mysubscription",
    application_id="a",
    deployment_id="d",
    project="europe-west1.gcp:myproject",
    application="mails",
    endpoint="/mails",
    retry_policy=None,
    delivers=True,
)


def message(content: bytes = b"{}", published_at: int = 0) -> Message:
    return Message(
        id=2070443601311540,
        application_id="a",
        deployment_id="d",
        due_at=published_at,
        content=msgspec.Raw(content),
        correlation_id="c",
        published_at=published_at,
        expires_at=published_at + KEEPING.waiting,
    )


def history(policy: RetryPolicy | None, *statuses: int) -> list[tuple[MessageState, float | None]]:
    """The state after each delivery, and how many seconds passed before the next."""
    subject, now, told = message(), 0, list[tuple[MessageState, float | None]]()
    for status in statuses:
        attempt = Attempt(at=now, status=status, milliseconds=1)
        came = outcome(subject, attempt, policy, now, KEEPING)
        wait = None if came.due_at is None else (came.due_at - now) / SECOND
        told.append((came.state, wait))
        subject = replace(
            subject,
            state=came.state,
            attempts=came.attempts,
            attempt_count=subject.attempt_count + 1,
        )
        now = came.due_at or now
    return told


def test_the_envelope_is_that_of_the_documentation() -> None:
    sent = PubsubMessage(data="aGVsbG8=", attributes={"key": "value"})
    made = message(encoded([sent])[0], published_at=1_614_367_535_749_000)
    told = json.loads(envelope(made, TOPIC))
    assert told == {
        "message": {
            "attributes": {"key": "value"},
            "data": "aGVsbG8=",
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "publishTime": told["message"]["publishTime"],
            "publish_time": told["message"]["publishTime"],
        },
        "subscription": "projects/myproject/subscriptions/mysubscription",
    }
    assert told["message"]["publishTime"].endswith(".749Z")


def test_a_message_of_attributes_alone_has_no_data() -> None:
    made = message(encoded([PubsubMessage(attributes={"a": "b"})])[0])
    told = json.loads(envelope(made, TOPIC))["message"]
    assert told["attributes"] == {"a": "b"}
    assert "data" not in told


@pytest.mark.parametrize("status", [102, 200, 201, 202, 204])
def test_an_acknowledged_message_is_over(status: int) -> None:
    assert history(None, 500, status)[-1] == (MessageState.ACKNOWLEDGED, None)


def test_without_a_policy_the_waits_double_from_a_second_up_to_ten_minutes() -> None:
    waits = [wait for _, wait in history(None, *[500] * 12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]


def test_a_policy_says_the_first_wait_and_the_longest() -> None:
    policy = ExponentialBackoff(min_backoff_seconds=10, max_backoff_seconds=60)
    assert [wait for _, wait in history(policy, *[0] * 5)] == [10, 20, 40, 60, 60]


def test_immediately_is_a_tenth_of_a_second() -> None:
    assert [wait for _, wait in history(Immediate(), 500, 503)] == [0.1, 0.1]


def test_after_all_attempts_of_a_policy_a_message_is_dead() -> None:
    policy = ExponentialBackoff(min_backoff_seconds=1, max_backoff_seconds=1, max_attempts=5)
    states = [state for state, _ in history(policy, *[500] * 5)]
    assert states == [MessageState.WAITING] * 4 + [MessageState.DEAD]


def test_without_a_bound_of_attempts_a_message_dies_after_seven_days() -> None:
    """At ten minutes each, some thousand times: no more and no less than seven days."""
    subject, now, count = message(), 0, 0
    while True:
        attempt = Attempt(at=now, status=500, milliseconds=1)
        came = outcome(subject, attempt, None, now, KEEPING)
        count += 1
        if came.state is MessageState.DEAD:
            break
        assert came.due_at is not None
        subject = replace(subject, attempts=came.attempts, attempt_count=count)
        now = came.due_at
    assert 7 * DAY - 600 * SECOND <= now < 7 * DAY
    assert 1_000 < count < 1_030
    assert len(came.attempts) == KEPT_ATTEMPTS
    assert came.expires_at == now + KEEPING.dead


@given(st.lists(st.sampled_from(["acknowledged", "refused", "unanswered"]), max_size=300))
def test_a_window_never_closes_and_never_opens_too_far(answers: list[str]) -> None:
    window = Window()
    for answer in answers:
        if answer == "acknowledged":
            window.acknowledged()
        else:
            assert 0 <= window.refused(answered=answer == "refused") <= Window.LAST_PAUSE
        assert 1 <= window.size <= Window.MOST


def test_a_window_doubles_while_all_is_well_and_pauses_longer_while_nothing_is_answered() -> None:
    window = Window()
    for _ in range(2):
        before = window.size
        for _ in range(int(before)):
            window.acknowledged()
        assert window.size == 2 * before
    pauses = [window.refused(answered=False) for _ in range(60)]
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] == Window.LAST_PAUSE
    assert window.size == 1
    window.acknowledged()
    assert window.refused(answered=False) == 0


def test_an_application_that_answers_and_refuses_is_not_held_up() -> None:
    """A thousand messages that nobody takes must not hold those behind them up for hours."""
    window = Window()
    pauses = [window.refused(answered=True) for _ in range(1_000)]
    assert max(pauses) == Window.FIRST_PAUSE
    assert window.size == Window.FIRST
    assert sum(pauses) / window.size < 30
