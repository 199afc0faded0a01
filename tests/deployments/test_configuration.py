"""Which values a Deployment gets: matched against what connect.yaml declares, every fault told."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectory.contract.connectors import (
    ConnectorConfigurationApplication,
    ConnectorGlobalConfiguration,
)
from connectory.contract.deployments import (
    DeploymentConfigurationApplication,
    DeploymentGlobalConfiguration,
)
from connectory.contract.errors import ApiErrors
from connectory.deployments.configuration import Configured, Given, Values, configured
from connectory.specification.shape import ExponentialBackoff, Immediate

SERVICE = {
    "applicationName": "shop",
    "applicationType": "service",
    "standardConfiguration": [
        {"key": "CITY", "description": "Where", "required": True, "default": "Berlin"},
        {"key": "STREET", "description": "Where", "required": True},
        {"key": "NOTE", "description": "Any"},
    ],
    "securedConfiguration": [
        {"key": "TOKEN", "description": "Secret", "required": True},
        {"key": "SPARE", "description": "Secret"},
    ],
}
JOB = {
    "applicationName": "night",
    "applicationType": "job",
    "standardConfiguration": [],
    "securedConfiguration": [],
}
SHARED = {
    "standardConfiguration": [{"key": "REGION", "description": "Where", "required": True}],
    "securedConfiguration": [{"key": "MASTER", "description": "Secret", "required": True}],
}
GOOD = {
    "applicationName": "shop",
    "standardConfiguration": [{"key": "STREET", "value": "Main"}],
    "securedConfiguration": [{"key": "TOKEN", "value": "t0ken"}],
}
GOOD_SHARED = {
    "standardConfiguration": [{"key": "REGION", "value": "eu"}],
    "securedConfiguration": [{"key": "MASTER", "value": "m"}],
}


def seal(value: str) -> str:
    return f"sealed {value}"


def matched(
    applications: list[Any],
    shared: Any = None,
    *,
    declared: tuple[Any, ...] = (SERVICE, JOB),
    all_declare: Any = None,
    kept: Configured | None = None,
) -> Configured:
    return configured(
        msgspec.convert(declared, tuple[ConnectorConfigurationApplication, ...]),
        msgspec.convert(all_declare, ConnectorGlobalConfiguration | None),
        Given(
            applications=msgspec.convert(
                applications, tuple[DeploymentConfigurationApplication, ...]
            ),
            shared=msgspec.convert(shared, DeploymentGlobalConfiguration | None),
            kept=kept,
            name=None if kept is None else "id=1",
        ),
        seal,
    )


def plain(values: Values) -> dict[str, str]:
    return {each.key: each.value for each in (*values.standard, *values.secured)}


def faults(applications: list[Any], shared: Any = None, **more: Any) -> list[tuple[str, str]]:
    """Code, and detail or message, of each error."""
    with pytest.raises(ApiErrors) as told:
        matched(applications, shared, **more)
    return [
        (each.code, each.details.get("detailedErrorMessage", each.message))
        for each in told.value.errors
    ]


def test_values_are_taken_defaults_filled_in_and_secrets_sealed() -> None:
    found = matched([GOOD], GOOD_SHARED, all_declare=SHARED)
    assert plain(found.applications["shop"]) == {
        "CITY": "Berlin",
        "STREET": "Main",
        "TOKEN": "sealed t0ken",
    }
    assert plain(found.applications["night"]) == {}
    assert plain(found.shared) == {"REGION": "eu", "MASTER": "sealed m"}


def with_values(kind: str, *values: dict[str, str]) -> dict[str, Any]:
    return GOOD | {kind: [*GOOD[kind], *values]}


@pytest.mark.parametrize(
    ("applications", "expected"),
    [
        (
            [GOOD, {"applicationName": "other"}],
            (
                "DeploymentUnknownApplicationConfiguration",
                "Deployment does not require configuration for application named 'other'.",
            ),
        ),
        (
            [with_values("standardConfiguration", {"key": "TOWN", "value": "x"})],
            (
                "DeploymentUnknownApplicationConfigurationKey",
                (
                    "Deployment does not require standard configuration with key TOWN for"
                    " application named shop."
                ),
            ),
        ),
        (
            [with_values("standardConfiguration", {"key": "SPARE", "value": "x"})],
            (
                "DeploymentUnknownApplicationConfigurationKey",
                (
                    "Deployment does not require standard configuration with key SPARE for"
                    " application named shop."
                ),
            ),
        ),
        (
            [with_values("securedConfiguration", {"key": "NOTE", "value": "x"})],
            (
                "DeploymentUnknownApplicationConfigurationKey",
                (
                    "Deployment does not require secret configuration with key NOTE for application"
                    " named shop."
                ),
            ),
        ),
        (
            [GOOD | {"standardConfiguration": []}],
            (
                "InvalidJsonInput",
                "application 'shop' needs a value for the standard key 'STREET'",
            ),
        ),
        (
            [GOOD | {"securedConfiguration": [{"key": "TOKEN", "value": ""}]}],
            (
                "InvalidJsonInput",
                "application 'shop' needs a value that is not empty for the secret key 'TOKEN'",
            ),
        ),
        (
            [with_values("standardConfiguration", {"key": "STREET", "value": "x"})],
            ("InvalidJsonInput", "the standard key 'STREET' of shop is given more than once"),
        ),
        (
            [GOOD, GOOD],
            ("InvalidJsonInput", "application 'shop' is given more than once"),
        ),
        (
            [GOOD | {"schedule": "0 0 * * *"}],
            ("InvalidJsonInput", "application 'shop' is no job: it has no schedule"),
        ),
        (
            [GOOD, {"applicationName": "night", "schedule": "at night"}],
            (
                "InvalidJsonInput",
                (
                    "application 'night': 'at night' is no schedule; five fields of cron, such as"
                    " '0 0 * * *', or '@daily' and the like"
                ),
            ),
        ),
    ],
)
def test_what_is_wrong_with_an_application_is_told(
    applications: list[Any], expected: tuple[str, str]
) -> None:
    assert faults(applications) == [expected]


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        (
            GOOD_SHARED | {"standardConfiguration": []},
            (
                "DeploymentMissingGlobalConfigurationKey",
                "Deployment global configuration requires standard with key REGION.",
            ),
        ),
        (
            GOOD_SHARED | {"securedConfiguration": [{"key": "MASTER", "value": ""}]},
            (
                "DeploymentEmptyRequiredGlobalConfigurationKey",
                (
                    "Deployment requires a non empty value for secret global configuration with key"
                    " MASTER."
                ),
            ),
        ),
        (
            GOOD_SHARED | {"securedConfiguration": [{"key": "REGION", "value": "x"}]},
            (
                "DeploymentUnknownGlobalConfigurationKey",
                "Deployment global configuration does not require secret with key REGION.",
            ),
        ),
    ],
)
def test_what_is_wrong_with_values_for_all_is_told(
    shared: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert expected in faults([GOOD], shared, all_declare=SHARED)


def test_a_key_of_all_is_no_key_of_an_application() -> None:
    repeated = with_values("standardConfiguration", {"key": "REGION", "value": "eu"})
    assert [code for code, _ in faults([repeated], GOOD_SHARED, all_declare=SHARED)] == [
        "DeploymentUnknownApplicationConfigurationKey"
    ]


def test_all_faults_are_told_in_one_answer() -> None:
    codes = [code for code, _ in faults([{"applicationName": "other"}], all_declare=SHARED)]
    assert codes == [
        "DeploymentUnknownApplicationConfiguration",
        "InvalidJsonInput",
        "InvalidJsonInput",
        "DeploymentMissingGlobalConfigurationKey",
        "DeploymentMissingGlobalConfigurationKey",
    ]


def test_a_schedule_of_a_job_is_kept() -> None:
    first = matched([GOOD, {"applicationName": "night", "schedule": "0 3 * * *"}])
    assert first.applications["night"].schedule == "0 3 * * *"
    assert matched([], kept=first).applications["night"].schedule == "0 3 * * *"


def test_a_redeploy_keeps_what_is_left_out() -> None:
    first = matched([GOOD], GOOD_SHARED, all_declare=SHARED)
    changed = {
        "applicationName": "shop",
        "standardConfiguration": [{"key": "CITY", "value": "Bonn"}],
    }
    again = matched([changed], None, all_declare=SHARED, kept=first)
    assert plain(again.applications["shop"]) == {
        "CITY": "Bonn",
        "STREET": "Main",
        "TOKEN": "sealed t0ken",
    }
    assert again.shared == first.shared
    once_more = matched([], None, all_declare=SHARED, kept=again)
    assert once_more == again, "the deployed value is kept, not the default"


def test_a_redeploy_of_an_application_that_is_not_there_is_told() -> None:
    first = matched([GOOD])
    assert faults([{"applicationName": "other"}], kept=first) == [
        (
            "DeploymentApplicationDoNotBelong",
            "Deployment with id=1 does not include application: other",
        )
    ]


def test_a_new_required_key_of_a_newer_connector_is_told_by_name() -> None:
    first = matched([GOOD])
    newer = SERVICE | {
        "standardConfiguration": [{"key": "NEW", "description": "New", "required": True}],
        "securedConfiguration": [],
    }
    assert faults([], kept=first, declared=(newer,)) == [
        ("InvalidJsonInput", "application 'shop' needs a value for the standard key 'NEW'")
    ]


_keys = st.sampled_from(["CITY", "STREET", "NOTE", "TOKEN", "SPARE", "NOWHERE"])
_lists = st.lists(
    st.builds(lambda key, value: {"key": key, "value": value}, _keys, st.sampled_from(["", "x"])),
    max_size=5,
)


@given(_lists, _lists)
@settings(max_examples=200, deadline=None)
def test_either_all_is_good_or_faults_are_told(standard: Any, secured: Any) -> None:
    application = {
        "applicationName": "shop",
        "standardConfiguration": standard,
        "securedConfiguration": secured,
    }

    def keys(values: Any) -> list[str]:
        return [each["key"] for each in values]

    def good(values: Any, known: set[str], needed: set[str]) -> bool:
        names = keys(values)
        given = {each["key"] for each in values if each["value"]}
        empty = {each["key"] for each in values if not each["value"]}
        return (
            len(names) == len(set(names))
            and set(names) <= known
            and (needed <= given and not empty & (needed | {"CITY"} & known))
        )

    fine = good(standard, {"CITY", "STREET", "NOTE"}, {"STREET"}) and good(
        secured, {"TOKEN", "SPARE"}, {"TOKEN"}
    )
    if not fine:
        assert faults([application])
        return
    found = plain(matched([application]).applications["shop"])
    for each in standard:
        assert found[each["key"]] == each["value"]
    for each in secured:
        assert found[each["key"]] == (f"sealed {each['value']}" if each["value"] else "")


EVENT = {
    "applicationName": "mails",
    "applicationType": "event",
    "standardConfiguration": [],
    "securedConfiguration": [],
}
BACKOFF = {"strategy": "exponential-backoff", "minBackoffSeconds": 2, "maxBackoffSeconds": 20}


def with_policy(policy: dict[str, Any], name: str = "mails") -> list[Any]:
    return [{"applicationName": name, "retryPolicy": policy}]


def test_a_retry_policy_of_an_event_is_kept() -> None:
    first = matched(with_policy(BACKOFF | {"maxAttempts": 7}), declared=(EVENT,))
    policy = first.applications["mails"].retry_policy
    assert policy == ExponentialBackoff(
        min_backoff_seconds=2, max_backoff_seconds=20, max_attempts=7
    )
    assert matched([], declared=(EVENT,), kept=first).applications["mails"].retry_policy == policy
    at_once = matched(with_policy({"strategy": "immediate"}), declared=(EVENT,), kept=first)
    assert at_once.applications["mails"].retry_policy == Immediate()


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"strategy": "never"}, "Invalid value 'never'"),
        ({"strategy": "exponential-backoff"}, "missing required field `minBackoffSeconds`"),
        (BACKOFF | {"minBackoffSeconds": 0}, "Expected `int` >= 1"),
        (BACKOFF | {"maxBackoffSeconds": 601}, "Expected `int` <= 600"),
        (BACKOFF | {"maxAttempts": 4}, "Expected `int` >= 5"),
        (
            BACKOFF | {"minBackoffSeconds": 21},
            "minBackoffSeconds must be less than or equal to maxBackoffSeconds",
        ),
        ({"strategy": "immediate", "maxAttempts": 5}, "unknown field `maxAttempts`"),
    ],
)
def test_a_retry_policy_that_connect_yaml_could_not_have_is_refused(
    policy: dict[str, Any], said: str
) -> None:
    ((code, message),) = faults(with_policy(policy), declared=(EVENT,))
    assert code == "DeploymentInvalidRetryPolicy"
    assert message.startswith("The retry policy of application 'mails' is not valid: ")
    assert said in message


def test_only_events_have_a_retry_policy() -> None:
    assert faults(with_policy(BACKOFF, "night"), declared=(JOB,)) == [
        (
            "DeploymentRetryPolicyOverrideNotAllowed",
            "Application 'night' cannot have a retry policy: it is no event application",
        )
    ]
