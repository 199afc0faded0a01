"""`connectory send` and `connectory message`: messages by command, over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectory.messages.samples import FORMATS, NAMES, sample
from tests.deployments.shops import Shop, example
from tests.harness import Installation
from tests.messages.listeners import listening
from tests.staging.conftest import Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


@pytest.fixture
def connectory(shop: Shop, tmp_path: Path) -> Any:
    """Runs commands as an API Client of the Project."""
    credentials = shop.platform.installation.credentials(shop.creator.project.partition(":")[2])
    settings = {
        "CONNECTORY_API_URL": shop.platform.server.url,
        "CONNECTORY_CLIENT_ID": credentials.client_id,
        "CONNECTORY_CLIENT_SECRET": credentials.client_secret,
    }
    return Installation(tmp_path / "nothing", settings=settings).run


def test_a_sample_is_sent_to_an_application_and_waited_for(shop: Shop, connectory: Any) -> None:
    found = shop.deployed(shop.published(example("event")), key="mails")
    told = connectory("send", "mail-sender", "--sample", "order-created", "--wait").stdout
    assert "to mail-sender: acknowledged" in told
    assert '"type": "OrderCreated"' in told
    mail = shop.logged(found["id"], "jo@example.com")[0]["details"]
    assert mail == {"mail": "jo@example.com", "from": "shop@example.com", "order": "sample-1"}
    (topic,) = (each["topic"] for each in found["applications"])
    connectory("send", topic, "--sample", "subscription-test", "--wait")
    shop.logged(found["id"], "the subscription is there")
    shop.delete(found["id"])


def test_dead_letters_are_seen_replayed_and_dropped(
    shop: Shop, connectory: Any, tmp_path: Path
) -> None:
    policy = (
        "{strategy: exponential-backoff, minBackoffSeconds: 1, maxBackoffSeconds: 1,"
        " maxAttempts: 5}"
    )
    made = listening(shop, policy, key="letters")
    (file := tmp_path / "message.json").write_text('{"name": "poor", "answers": [500]}')
    sent = connectory(
        *("send", "listener", "--deployment", "letters", "--file", str(file)),
        *("--attribute", "origin=test", "--wait"),
        expect=1,
    )
    assert sent.stderr.startswith("connectory: message ")
    assert sent.stderr.endswith("is a dead letter: 500 said 500\n")
    heading, row = connectory("message", "list", "letters").stdout.splitlines()
    assert heading.split() == ["ID", "APPLICATION", "PUBLISHED", "ATTEMPTS", "LAST", "ANSWER"]
    id_ = row.split()[0]
    assert row.endswith("500 said 500")
    shown = connectory("message", "show", "letters", id_).stdout
    assert shown.count(" 500 ") == 5
    assert "attribute      origin=test" in shown
    assert json.loads(connectory("message", "show", "letters", id_, "--json").stdout)["id"] == id_
    assert connectory("message", "replay", "letters", id_).stdout == "1 dead letters replayed\n"
    assert connectory("message", "drop", "letters", "--all").stdout == "0 dead letters dropped\n"
    assert "either ids or --all" in connectory("message", "drop", "letters", expect=2).stderr
    key = json.loads(connectory("message", "topic-key", "letters", "listener", "--json").stdout)
    assert key["topic"] == made.topic
    shop.delete(made.id)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nobody", "--sample", "order-created"), 1, "no event application 'nobody'"),
        (("nobody",), 2, "one of --sample and --file is wanted"),
        (("x", "--file", "/nowhere"), 1, "cannot be read"),
        (("x", "--sample", "order-created", "--attribute", "y"), 2, "NAME=VALUE is wanted"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_line(
    connectory: Any, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = connectory("send", *arguments, expect=code).stderr
    assert len(told.splitlines()) == 1
    assert said in told


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_says_the_same_in_both_formats(name: str) -> None:
    platform, cloud = (
        sample(name, format_, project_key="shop", now="2026-01-31T08:30:00.123Z")
        for format_ in FORMATS
    )
    assert platform["projectKey"] == "shop"
    assert platform["notificationType"] in {
        *("Message", "ResourceCreated", "ResourceUpdated", "ResourceDeleted"),
    }
    assert cloud["specversion"] == "1.0"
    assert cloud["type"].startswith(f"com.commercetools.{platform['resource']['typeId']}.")
    assert cloud["data"] == platform
