"""What changed between two releases, and how a report tells it: pure, and without secrets."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from connectory.contract.releases import ChangeKind
from connectory.contract.scalars import ApplicationType
from connectory.deployments.changes import changes
from connectory.deployments.clients import GeneratedClient
from connectory.deployments.comparing import difference
from connectory.deployments.configuration import Values
from connectory.deployments.environment import Environment
from connectory.deployments.model import Application, Release
from connectory.specification.shape import ExponentialBackoff, Immediate, Scripts
from tests.deployments.examples import job, release, service, values

# What changed


def sealed(value: str, time: int = 1) -> str:
    """Sealed twice, one secret looks like two."""
    return f"{time}|{value}" if value else ""


def same_secret(one: str, other: str) -> bool:
    return one.partition("|")[2] == other.partition("|")[2]


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
