"""Releases: what each of them changed, what a redeploy says of that, and the way back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from connectory.contract.deployments import ConfigurationValue
from connectory.contract.releases import ChangeKind
from connectory.contract.scalars import ApplicationType
from connectory.deployments.accepting import release_of
from connectory.deployments.changes import changes
from connectory.deployments.clients import GeneratedClient
from connectory.deployments.comparing import difference
from connectory.deployments.configuration import Values
from connectory.deployments.environment import Environment
from connectory.deployments.model import Application, Release, Request
from connectory.specification.shape import ExponentialBackoff, Immediate, Scripts
from tests.deployments.examples import deployment
from tests.deployments.shops import Shop, compared, configured, example
from tests.staging.conftest import Creator, Platform


@pytest.fixture(scope="module")
def platform(staging_on_sqlite: Platform) -> Platform:
    return staging_on_sqlite


@pytest.fixture
def shop(platform: Platform, creator: Creator) -> Shop:
    return Shop(creator, platform)


# What changed


def sealed(value: str, time: int = 1) -> str:
    """Sealed twice, one secret looks like two."""
    return f"{time}|{value}" if value else ""


def same_secret(one: str, other: str) -> bool:
    return one.partition("|")[2] == other.partition("|")[2]


def release(number: int = 1, **changed: Any) -> Release:
    """One with a service that has a value, and a job."""
    request = Request(id="r", release=number, actor="client:c")
    made = release_of(replace(deployment(), request=request), now=number)
    return replace(made, applications=(service(), job()), **({"commit": "a" * 40} | changed))


def service(standard: dict[str, str] | None = None, secured: dict[str, str] | None = None) -> Any:
    return Application(
        id="1",
        name="shop",
        type=ApplicationType.SERVICE,
        slug="s",
        values=values({"CITY": "Berlin"} if standard is None else standard, secured or {}),
    )


def values(standard: dict[str, str], secured: dict[str, str]) -> Values:
    return Values(
        standard=tuple(ConfigurationValue(key=key, value=each) for key, each in standard.items()),
        secured=tuple(ConfigurationValue(key=key, value=each) for key, each in secured.items()),
    )


def job(schedule: str = "@daily") -> Application:
    return Application(id="2", name="night", type=ApplicationType.JOB, slug="n", schedule=schedule)


def differences(before: Release, after: Release) -> dict[str, Any]:
    """What changed, without what did not."""
    found = msgspec.json.decode(msgspec.json.encode(changes(before, after, same_secret)))
    assert found.pop("since") == before.number
    return {name: value for name, value in found.items() if value}


def test_nothing_has_changed_where_all_is_the_same() -> None:
    assert differences(release(1), release(2)) == {}


def test_the_version_and_the_commit_of_the_connector() -> None:
    before = release()
    newer = replace(before.connector, version=2)
    assert differences(before, release(2, connector=newer, commit="b" * 40)) == {
        "connectorVersion": {"before": 1, "after": 2},
        "commit": {"before": "a" * 40, "after": "b" * 40},
    }
    assert differences(before, release(2, commit=None)) == {"commit": {"before": "a" * 40}}


def test_values_in_plain_text_are_told_as_they_were_and_are() -> None:
    before = release(shared=values({"REGION": "eu"}, {}))
    after = replace(
        release(2, shared=values({"REGION": "us"}, {})),
        applications=(service({"STREET": "Main"}), job()),
    )
    assert differences(before, after)["configuration"] == [
        {"key": "REGION", "change": "changed", "secured": False, "before": "eu", "after": "us"},
        {
            "applicationName": "shop",
            "key": "STREET",
            "change": "added",
            "secured": False,
            "after": "Main",
        },
        {
            "applicationName": "shop",
            "key": "CITY",
            "change": "removed",
            "secured": False,
            "before": "Berlin",
        },
    ]


def test_of_a_secret_it_is_told_only_that_it_changed() -> None:
    before = replace(release(), applications=(service({}, {"TOKEN": sealed("old"), "A": "1|x"}),))
    again = replace(
        release(2), applications=(service({}, {"TOKEN": sealed("old", 2), "A": "1|x"}),)
    )
    assert differences(before, again) == {}
    after = replace(
        release(2), applications=(service({}, {"TOKEN": sealed("new", 2), "B": "1|y"}),)
    )
    assert differences(before, after)["configuration"] == [
        {"applicationName": "shop", "key": "TOKEN", "change": "changed", "secured": True},
        {"applicationName": "shop", "key": "B", "change": "added", "secured": True},
        {"applicationName": "shop", "key": "A", "change": "removed", "secured": True},
    ]


def test_what_became_a_secret_or_was_one_is_not_told_either() -> None:
    plain = replace(release(), applications=(service({"TOKEN": "t0ken"}),))
    secret = replace(release(2), applications=(service({}, {"TOKEN": sealed("t0ken")}),))
    for pair in ((plain, secret), (secret, plain)):
        assert differences(*pair)["configuration"] == [
            {"applicationName": "shop", "key": "TOKEN", "change": "changed", "secured": True}
        ]


def test_applications_come_and_go_as_wholes() -> None:
    other = replace(job(), id="3", type=ApplicationType.EVENT)
    after = replace(release(2), applications=(service(), other))
    assert differences(release(), after) == {
        "applications": [
            {"applicationName": "night", "change": "added"},
            {"applicationName": "night", "change": "removed"},
        ]
    }


def test_scopes_that_the_api_client_got_and_lost() -> None:
    def client(*scopes: str) -> GeneratedClient:
        return GeneratedClient(id="c", scopes=scopes, secret="s")

    before = release(client=client("view_products", "view_orders"))
    after = release(2, client=client("view_orders", "manage_orders"))
    assert differences(before, after) == {
        "scopes": [
            {"scope": "manage_orders", "change": "added"},
            {"scope": "view_products", "change": "removed"},
        ]
    }
    assert differences(before, release(2))["scopes"] == [
        {"scope": "view_products", "change": "removed"},
        {"scope": "view_orders", "change": "removed"},
    ]


def test_scripts_schedules_and_retry_policies_as_they_take_effect() -> None:
    scripts = {"shop": Scripts(post_deploy="npm run set-up")}
    event = Application(id="3", name="mail", type=ApplicationType.EVENT, slug="m")
    before = replace(release(scripts=scripts), applications=(service(), job("@daily"), event))
    overridden = replace(job("@daily"), values=Values(schedule="@hourly"))
    policy = ExponentialBackoff(min_backoff_seconds=1, max_backoff_seconds=9)
    after = replace(
        release(2, scripts={"shop": Scripts(pre_undeploy="npm run end")}),
        applications=(service(), overridden, replace(event, retry_policy=policy)),
    )
    assert differences(before, after) == {
        "scripts": [
            {"applicationName": "shop", "script": "postDeploy", "before": "npm run set-up"},
            {"applicationName": "shop", "script": "preUndeploy", "after": "npm run end"},
        ],
        "schedules": [{"applicationName": "night", "before": "@daily", "after": "@hourly"}],
        "retryPolicies": [
            {
                "applicationName": "mail",
                "after": {
                    "strategy": "exponential-backoff",
                    "minBackoffSeconds": 1,
                    "maxBackoffSeconds": 9,
                },
            }
        ],
    }
    # What connect.yaml says now is what the Deployment said before: nothing has changed.
    said = replace(job("@hourly"), values=Values())
    same = replace(after, applications=(service(), said, replace(event, retry_policy=policy)))
    assert differences(after, same) == {}
    at_once = replace(event, values=Values(retry_policy=Immediate()), retry_policy=policy)
    assert differences(after, replace(after, applications=(service(), overridden, at_once))) == {
        "retryPolicies": [
            {
                "applicationName": "mail",
                "before": {
                    "strategy": "exponential-backoff",
                    "minBackoffSeconds": 1,
                    "maxBackoffSeconds": 9,
                },
                "after": {"strategy": "immediate"},
            }
        ]
    }


_keys = st.sampled_from(["AA", "BB", "CC", "DD"])
_texts = st.text("xyz", max_size=2).map(lambda text: f"v{text}")
_kinds = st.tuples(st.booleans(), _texts)


@given(st.dictionaries(_keys, _kinds), st.dictionaries(_keys, _kinds))
def test_the_keys_that_are_told_are_those_whose_value_or_kind_differs(
    before: dict[str, tuple[bool, str]], after: dict[str, tuple[bool, str]]
) -> None:
    def of(number: int, given_: dict[str, tuple[bool, str]]) -> Release:
        plain = {key: value for key, (secret, value) in given_.items() if not secret}
        secret = {
            key: sealed(f"hidden {value}", number)
            for key, (is_secret, value) in given_.items()
            if is_secret
        }
        return replace(release(number), applications=(service(plain, secret),))

    found = changes(of(1, before), of(2, after), same_secret).configuration
    assert {each.key for each in found} == {
        key for key in set(before) | set(after) if before.get(key) != after.get(key)
    }
    assert "hidden" not in str(found)
    for each in found:
        was, now = before.get(each.key), after.get(each.key)
        assert (each.change is ChangeKind.ADDED) == (was is None)
        assert (each.change is ChangeKind.REMOVED) == (now is None)
        if not each.secured:
            assert each.before == (UNSET if was is None else was[1])
            assert each.after == (UNSET if now is None else now[1])


# The list of them


def told(release: dict[str, Any]) -> dict[str, Any]:
    """What it says that it changed, without what is empty."""
    return {name: value for name, value in release["changes"].items() if value}


def test_releases_are_listed_with_what_each_changed(shop: Shop) -> None:
    connector = shop.published(example("hard-coded-port"))
    made = shop.deployed(connector, key="live", configurations=configured("One", "key-of-acme 1"))
    assert compared(made) == []
    again = shop.redeploy(made["id"], configurationValues=configured("Two", "key-of-acme 1"))
    change = "1 value changed: GREETING\nGREETING: 'One' → 'Two'"
    assert compared(again) == [("service", "Environment changed", change)]
    broken = example("crash-at-start") | {
        "connect.yaml": example("hard-coded-port")["connect.yaml"]
    }
    shop.next_version(connector, broken)
    failed = shop.redeploy(made["id"], updateConnector=True)
    assert (failed["status"], compared(failed)) == (
        "Failed",
        [("service", "Environment unchanged", "")],
    )
    page = shop.releases("key=live")
    assert {name: page[name] for name in ("offset", "limit", "total", "count")} == {
        "offset": 0, "limit": 20, "total": 3, "count": 3,
    }  # fmt: skip
    third, second, first = page["results"]
    assert [
        (each["number"], each["outcome"], each["serving"], each["connector"]["version"])
        for each in page["results"]
    ] == [(3, "failed", False, 2), (2, "deployed", True, 1), (1, "deployed", False, 1)]
    assert "changes" not in first
    # The secret was given again, and is the same.
    assert told(second) == {
        "since": 1,
        "configuration": [
            {
                "applicationName": "service",
                "key": "GREETING",
                "change": "changed",
                "secured": False,
                "before": "One",
                "after": "Two",
            }
        ],
    }
    assert told(third) == {
        "since": 2,
        "connectorVersion": {"before": 1, "after": 2},
        "commit": {"before": second["commit"], "after": third["commit"]},
    }
    assert third["connector"]["tag"] == "v2.0.0"
    assert first["actor"].startswith("client:")
    assert first["createdAt"] <= first["finishedAt"] <= second["createdAt"]
    again = shop.redeploy(made["id"], configurationValues=configured(key="key-of-acme 2"))
    change = "1 value changed: API_KEY (secured)"
    assert compared(again) == [("service", "Environment changed", change)]
    newest = shop.releases(made["id"], limit=1, offset=0)["results"]
    # What failed is no measure: it is compared with what was deployed.
    assert [(each["number"], told(each)["since"]) for each in newest] == [(4, 2)]
    assert shop.releases(made["id"], limit=2, offset=3)["results"] == [first]
    shop.delete(made["id"])


def test_releases_are_those_of_ones_own_project(shop: Shop, platform: Platform) -> None:
    missing = shop.http.get(f"{shop.path}/key=nothing/releases")
    assert missing.status_code == 404
    with platform.creator() as stranger:
        assert stranger.http.get(f"{shop.path}/key=live/releases").status_code == 403


# What the report of a redeploy says of it


def environment(values: dict[str, str], *secured: str) -> Environment:
    return Environment(values=values, secured=frozenset(secured))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (environment({"AA": "1"}), environment({"AA": "1"}), ""),
        (
            environment({"AA": "1"}),
            environment({"AA": "2"}),
            "1 value changed: AA\nAA: '1' → '2'",
        ),
        (
            environment({"AA": "1", "BB": "old secret"}, "BB"),
            environment({"BB": "new secret", "CC": "9"}, "BB"),
            (
                "3 values changed: BB (secured), CC (added), AA (removed)\n"
                "CC: none → '9'\nAA: '1' → none"
            ),
        ),
        # What is a secret on one side is told on neither.
        (
            environment({"AA": "a secret"}, "AA"),
            environment({"AA": "plain"}),
            "1 value changed: AA (secured)",
        ),
        (
            environment({"AA": ""}),
            environment({"AA": "x" * 81}),
            f"1 value changed: AA\nAA: '' → '{'x' * 80}…'",
        ),
    ],
)
def test_environments_are_compared_without_their_secrets(
    before: Environment, after: Environment, said: str
) -> None:
    assert difference(before, after) == said
