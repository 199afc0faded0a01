"""What stands in a connect.yaml, spelled as the file spells it.

These types are the one source: `checking` walks a file along them, `schema` makes the JSON Schema
of them, `model` reads a valid file through them. The order of the fields is the order in which the
official validator (`@commercetools-connect/specification` 0.0.16) reports.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

#: What `String.trim` of JavaScript takes away: Python's own notion differs.
WHITE_SPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
RESERVED_KEYS: Final = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")

# `$` alone would let a trailing line feed pass in Python; `schema` takes the look-ahead out again.
_END: Final = r"(?!\n)$"
NAME: Final = r"[a-zA-Z0-9_-]{2,256}"
#: The official pattern for this, `([a-zA-Z0-9_\-/]{0,256})+`, takes exponential time.
ENDPOINT: Final = r"[a-zA-Z0-9_\-/]+"
KEY: Final = r"[a-zA-Z0-9_]{2,256}"
RESERVED: Final = "|".join(
    "".join(f"[{each}{each.lower()}]" if each.isalpha() else each for each in key)
    for key in RESERVED_KEYS
)
#: Found anywhere in the text, as the official pattern is: `@daily`, or five fields in a row, each
#: with at most one blank behind it. An official field is `(\d+,)+\d+`, `(\d+|\*)[/-]\d+`, `\d+` or
#: `*`; since blanks are optional, each digit can be a field of its own, and five short fields are
#: found wherever five long ones are. No match has to begin inside a list: beginning at its first
#: digit finds the same. Both together make this linear.
SCHEDULE: Final = (
    r"@(?:annually|yearly|monthly|weekly|daily|hourly|reboot)"
    r"|@every [0-9]+(?:ns|us|\u00b5s|ms|s|m|h)"
    r"|(?:(?<![0-9],)|(?=\*))(?:(?:(?:[0-9],)+[0-9]|[0-9*][/\-][0-9]|[0-9*]) ?){5}"
)
_NOT_BLANK: Final = r"[^\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"


def _text(check: str, description: str, pattern: str, **more: Any) -> Meta:
    return Meta(pattern=pattern, description=description, extra={"check": check}, **more)


Name = Annotated[
    str,
    _text(
        "name",
        "Name of the application, and of its folder: 2 to 256 letters, digits, - and _.",
        f"^{NAME}{_END}",
        examples=["payment-processor"],
    ),
]
Endpoint = Annotated[
    str,
    _text(
        "endpoint",
        "Path under which the application is called: letters, digits, -, _ and single slashes.",
        f"^(?!.*//){ENDPOINT}{_END}",
        examples=["/service"],
    ),
]
Schedule = Annotated[
    str,
    _text(
        "schedule",
        "When the job runs: five fields of cron, or @daily and its like.",
        SCHEDULE,
        examples=["0 3 * * *"],
    ),
]
_KEY_PATTERN: Final = rf"^(?!(?:{RESERVED}){_END}){KEY}{_END}"
StandardKey = Annotated[
    str,
    _text(
        "standard-key",
        "Name of the environment variable: 2 to 256 letters, digits and _.",
        _KEY_PATTERN,
        examples=["CTP_REGION"],
    ),
]
SecuredKey = Annotated[
    str,
    _text(
        "secured-key",
        "Name of the environment variable: 2 to 256 letters, digits and _.",
        _KEY_PATTERN,
        examples=["CTP_CLIENT_SECRET"],
    ),
]
Description = Annotated[str, _text("Description", "What it is for.", _NOT_BLANK)]
Default = Annotated[
    str,
    _text("Default value", "The value where a Deployment gives none; always a text.", _NOT_BLANK),
]
PostDeploy = Annotated[
    str, _text("postDeploy value", "Command that runs after a deployment.", _NOT_BLANK)
]
PreUndeploy = Annotated[
    str, _text("preUndeploy value", "Command that runs before an undeployment.", _NOT_BLANK)
]
Scope = Annotated[
    str,
    Meta(min_length=1, description="A scope of the HTTP API.", extra={"check": "scope"}),
]
Required = Annotated[
    bool, Meta(description="Whether a Deployment must give it a value; left out, it need not.")
]
OneToTwenty = Annotated[int, Meta(ge=1, le=20)]
BackoffSeconds = Annotated[int, Meta(ge=1, le=600)]
Attempts = Annotated[int, Meta(ge=5, le=100)]


class Part(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of everything in the file: no key is allowed but those that are named."""


class StandardEntry(Part, frozen=True, kw_only=True):
    """An environment variable whose value is kept in plain text."""

    key: StandardKey
    description: Description
    required: Required | UnsetType = UNSET
    default: Default | UnsetType = UNSET


class SecuredEntry(Part, frozen=True, kw_only=True):
    """An environment variable whose value is a secret; it has no default."""

    key: SecuredKey
    description: Description
    required: Required | UnsetType = UNSET


class Configuration(Part, frozen=True, kw_only=True):
    """What is configured by environment variables."""

    standard_configuration: tuple[StandardEntry, ...] | UnsetType = UNSET
    secured_configuration: tuple[SecuredEntry, ...] | UnsetType = UNSET


class ApiClient(Part, frozen=True, kw_only=True):
    """The API Client that a Deployment generates for itself."""

    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, description="The scopes that it gets.")]


class InheritAs(Part, frozen=True, kw_only=True):
    """What all applications share."""

    configuration: Configuration | UnsetType = UNSET
    api_client: ApiClient | UnsetType = UNSET


class Scripts(Part, frozen=True, kw_only=True):
    """Commands that run in the folder of the application."""

    post_deploy: PostDeploy | UnsetType = UNSET
    pre_undeploy: PreUndeploy | UnsetType = UNSET


class HealthCheck(Part, frozen=True, kw_only=True):
    """How the platform finds out whether the application is well."""

    path: Endpoint
    interval_seconds: OneToTwenty | UnsetType = UNSET
    timeout_seconds: OneToTwenty | UnsetType = UNSET
    unhealthy_threshold: OneToTwenty | UnsetType = UNSET


class ExponentialBackoff(
    Part, frozen=True, kw_only=True, tag_field="strategy", tag="exponential-backoff"
):
    """Failed messages are sent again after a time that grows."""

    min_backoff_seconds: BackoffSeconds
    max_backoff_seconds: BackoffSeconds
    max_attempts: Attempts | UnsetType = UNSET


class Immediate(Part, frozen=True, kw_only=True, tag_field="strategy", tag="immediate"):
    """Failed messages are sent again at once."""


RetryPolicy = ExponentialBackoff | Immediate


class Properties(Part, frozen=True, kw_only=True):
    """What only a job has."""

    schedule: Schedule


class Service(Part, frozen=True, kw_only=True, tag_field="applicationType", tag="service"):
    """An application that is called over HTTP."""

    name: Name
    endpoint: Endpoint
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET
    health_check: HealthCheck | UnsetType = UNSET


class Event(Part, frozen=True, kw_only=True, tag_field="applicationType", tag="event"):
    """An application that messages are sent to."""

    name: Name
    endpoint: Endpoint
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET
    health_check: HealthCheck | UnsetType = UNSET
    retry_policy: RetryPolicy | UnsetType = UNSET


class Job(Part, frozen=True, kw_only=True, tag_field="applicationType", tag="job"):
    """An application that is called by a schedule."""

    name: Name
    endpoint: Endpoint
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET
    properties: Properties


class Assets(Part, frozen=True, kw_only=True, tag_field="applicationType", tag="assets"):
    """Files that are served as they are."""

    name: Name


class MerchantCenterCustomApplication(
    Part,
    frozen=True,
    kw_only=True,
    tag_field="applicationType",
    tag="merchant-center-custom-application",
):
    """A custom application of the Merchant Center."""

    name: Name
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET


class McApp(Part, frozen=True, kw_only=True, tag_field="applicationType", tag="mc-app"):
    """A custom application of the Merchant Center, by the name of old."""

    name: Name
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET


class MerchantCenterCustomView(
    Part, frozen=True, kw_only=True, tag_field="applicationType", tag="merchant-center-custom-view"
):
    """A custom view of the Merchant Center."""

    name: Name
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET


class Unknown(Part, frozen=True, kw_only=True, tag_field="applicationType", tag="unknown"):
    """An application that is passed over."""

    name: Name
    endpoint: Endpoint
    configuration: Configuration | UnsetType = UNSET
    scripts: Scripts | UnsetType = UNSET


Application = (
    Service
    | Event
    | Job
    | Assets
    | MerchantCenterCustomApplication
    | McApp
    | MerchantCenterCustomView
    | Unknown
)


class File(Part, frozen=True, kw_only=True):
    """A connect.yaml."""

    inherit_as: InheritAs | UnsetType = UNSET
    deploy_as: tuple[Application, ...]


#: Keys that an application of the Merchant Center must have in its standard configuration, with
#: `required: true`, and how the official messages begin.
MERCHANT_CENTER_KEYS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "merchant-center-custom-application": (
        "Mc app",
        ("CUSTOM_APPLICATION_ID", "ENTRY_POINT_URI_PATH"),
    ),
    "mc-app": ("Mc app", ("CUSTOM_APPLICATION_ID", "ENTRY_POINT_URI_PATH")),
    "merchant-center-custom-view": ("Merchant center custom view", ("CUSTOM_VIEW_ID",)),
}

is_name = re.compile(NAME).fullmatch
is_endpoint = re.compile(ENDPOINT).fullmatch
is_key = re.compile(KEY).fullmatch
is_reserved = re.compile(RESERVED).fullmatch
is_schedule = re.compile(SCHEDULE).search


def is_blank(text: str) -> bool:
    """Whether a text is white space only, as JavaScript sees it."""
    return not text.strip(WHITE_SPACE)


def description_of(part: type[Struct]) -> msgspec.inspect.StructType:
    """The fields and constraints of a part."""
    described = msgspec.inspect.type_info(part)
    if not isinstance(described, msgspec.inspect.StructType):  # pragma: no cover
        raise TypeError(f"{part.__name__} is not a part of the file")
    return described
