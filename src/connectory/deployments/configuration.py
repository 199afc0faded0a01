"""Which values a Deployment has: what is given, matched against what connect.yaml declares.

Pure. Every fault is told, in one answer. A missing value of one application has no code in the
contract: it is InvalidJsonInput, whose detail names application and key, rather than a deploy that
fails minutes later. (docs/differences.md)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from connectory.contract import deployments as wire
from connectory.contract.connectors import (
    ConnectorConfigurationApplication,
    ConnectorGlobalConfiguration,
    SecuredConfigurationKey,
    StandardConfigurationKey,
)
from connectory.contract.deployments import (
    ConfigurationValue,
    DeploymentConfigurationApplication,
    DeploymentGlobalConfiguration,
)
from connectory.contract.errors import (
    ApiError,
    ApiErrors,
    DeploymentApplicationDoNotBelong,
    DeploymentEmptyRequiredGlobalConfigurationKey,
    DeploymentInvalidRetryPolicy,
    DeploymentMissingGlobalConfigurationKey,
    DeploymentRetryPolicyOverrideNotAllowed,
    DeploymentUnknownApplicationConfiguration,
    DeploymentUnknownApplicationConfigurationKey,
    DeploymentUnknownGlobalConfigurationKey,
    InvalidJsonInput,
)
from connectory.contract.scalars import ApplicationType
from connectory.specification.shape import ExponentialBackoff, RetryPolicy, is_schedule

_policies = msgspec.json.Decoder(RetryPolicy)

#: Encrypts a value, so that only this Deployment can have it decrypted.
Seal = Callable[[str], str]

_Key = StandardConfigurationKey | SecuredConfigurationKey
_STANDARD, _SECURED = "standard", "secret"


class Values(Struct, frozen=True, kw_only=True):
    """The values of one application, or of all.

    Attributes:
        standard: In plain text, defaults among them, in the order of connect.yaml.
        secured: Encrypted, likewise.
        schedule: Of a job: what is said instead of connect.yaml's.
        retry_policy: Of an event, likewise.
    """

    standard: tuple[ConfigurationValue, ...] = ()
    secured: tuple[ConfigurationValue, ...] = ()
    schedule: str | None = None
    retry_policy: RetryPolicy | None = None


class Configured(Struct, frozen=True, kw_only=True):
    """All values of a Deployment: of each application by its name, and of all together."""

    applications: Mapping[str, Values]
    shared: Values


class Given(Struct, frozen=True, kw_only=True):
    """What a draft or a redeploy gives, and what was there before."""

    applications: Sequence[DeploymentConfigurationApplication]
    shared: DeploymentGlobalConfiguration | None
    kept: Configured | None = None
    #: How errors name the Deployment that is redeployed; none for a new one.
    name: str | None = None


class _Owner(Struct, frozen=True):
    """Whose values are matched: an application, or all; it knows the contract's errors."""

    application: str | None

    def unknown(self, kind: str, key: str) -> ApiError:
        if self.application is None:
            return DeploymentUnknownGlobalConfigurationKey(kind, key)
        return DeploymentUnknownApplicationConfigurationKey(kind, key, self.application)

    def missing(self, kind: str, key: str) -> ApiError:
        if self.application is None:
            return DeploymentMissingGlobalConfigurationKey(kind, key)
        return InvalidJsonInput(
            f"application '{self.application}' needs a value for the {kind} key '{key}'"
        )

    def empty(self, kind: str, key: str) -> ApiError:
        if self.application is None:
            return DeploymentEmptyRequiredGlobalConfigurationKey(kind, key)
        return InvalidJsonInput(
            f"application '{self.application}' needs a value that is not empty for the {kind} key"
            f" '{key}'"
        )

    def repeated(self, kind: str, key: str) -> ApiError:
        where = "globalConfiguration" if self.application is None else self.application
        return InvalidJsonInput(f"the {kind} key '{key}' of {where} is given more than once")


def configured(
    applications: Iterable[ConnectorConfigurationApplication],
    shared: ConnectorGlobalConfiguration | None,
    given: Given,
    seal: Seal,
) -> Configured:
    """The values of a Deployment: given ones, else those it had, else defaults.

    Raises:
        ApiErrors: something is unknown, missing or empty; all of it is told.
    """
    faults: list[ApiError] = []
    declared = {each.application_name: each for each in applications}
    of_application = _by_application(declared, given, faults)
    kept = given.kept or Configured(applications={}, shared=Values())
    found = {}
    for name, each in declared.items():
        now, before = of_application.get(name), kept.applications.get(name, Values())
        matching = _Matching(_Owner(name), seal, faults)
        found[name] = Values(
            standard=matching.standard(
                each.standard_configuration, now.standard_configuration if now else (), before
            ),
            secured=matching.secured(
                each.secured_configuration, now.secured_configuration if now else (), before
            ),
            schedule=_schedule(each, now, before, faults),
            retry_policy=_retry_policy(each, now, before, faults),
        )
    whole = given.shared or DeploymentGlobalConfiguration()
    keys = shared or ConnectorGlobalConfiguration()
    together = _Matching(_Owner(None), seal, faults)
    of_all = Values(
        standard=together.standard(
            keys.standard_configuration or (), whole.standard_configuration or (), kept.shared
        ),
        secured=together.secured(
            keys.secured_configuration or (), whole.secured_configuration or (), kept.shared
        ),
    )
    if faults:
        raise ApiErrors(faults)
    return Configured(applications=found, shared=of_all)


def _by_application(
    declared: Mapping[str, ConnectorConfigurationApplication], given: Given, faults: list[ApiError]
) -> dict[str, DeploymentConfigurationApplication]:
    found: dict[str, DeploymentConfigurationApplication] = {}
    for each in given.applications:
        name = each.application_name
        if name in found:
            faults.append(InvalidJsonInput(f"application '{name}' is given more than once"))
        elif name in declared:
            found[name] = each
        elif given.name is not None:
            faults.append(DeploymentApplicationDoNotBelong(given.name, name))
        else:
            faults.append(DeploymentUnknownApplicationConfiguration(name))
    return found


class _Matching:
    """Matches what is given to one owner against what is declared for it."""

    def __init__(self, owner: _Owner, seal: Seal, faults: list[ApiError]) -> None:
        self._owner = owner
        self._seal = seal
        self._faults = faults

    def standard(
        self,
        declared: Iterable[StandardConfigurationKey],
        given: Iterable[ConfigurationValue],
        kept: Values,
    ) -> tuple[ConfigurationValue, ...]:
        """The values in plain text, in the order in which their keys are declared."""
        keys = tuple(declared)
        before = {each.key: each.default for each in keys if isinstance(each.default, str)}
        before |= {each.key: each.value for each in kept.standard}
        return self._matched(_STANDARD, keys, self._given(_STANDARD, keys, given), before)

    def secured(
        self,
        declared: Iterable[SecuredConfigurationKey],
        given: Iterable[ConfigurationValue],
        kept: Values,
    ) -> tuple[ConfigurationValue, ...]:
        """The secrets, encrypted, in the order in which their keys are declared."""
        keys = tuple(declared)
        before = {each.key: each.value for each in kept.secured}
        values = self._given(_SECURED, keys, given)
        sealed = {key: self._seal(value) if value else "" for key, value in values.items()}
        return self._matched(_SECURED, keys, sealed, before)

    def _given(
        self, kind: str, declared: Iterable[_Key], given: Iterable[ConfigurationValue]
    ) -> dict[str, str]:
        known = {each.key for each in declared}
        values: dict[str, str] = {}
        for each in given:
            if each.key not in known:
                self._faults.append(self._owner.unknown(kind, each.key))
            elif each.key in values:
                self._faults.append(self._owner.repeated(kind, each.key))
            else:
                values[each.key] = each.value
        return values

    def _matched(
        self,
        kind: str,
        declared: Iterable[_Key],
        given: Mapping[str, str],
        before: Mapping[str, str],
    ) -> tuple[ConfigurationValue, ...]:
        found = []
        for each in declared:
            value = given.get(each.key, before.get(each.key))
            if value is not None:
                found.append(ConfigurationValue(key=each.key, value=value))
            if each.required is True and not value:
                fault = self._owner.missing if value is None else self._owner.empty
                self._faults.append(fault(kind, each.key))
        return tuple(found)


def _schedule(
    declared: ConnectorConfigurationApplication,
    given: DeploymentConfigurationApplication | None,
    kept: Values,
    faults: list[ApiError],
) -> str | None:
    if given is None or not isinstance(given.schedule, str):
        return kept.schedule
    name = declared.application_name
    if declared.application_type is not ApplicationType.JOB:
        faults.append(InvalidJsonInput(f"application '{name}' is no job: it has no schedule"))
    elif not is_schedule(given.schedule):
        faults.append(
            InvalidJsonInput(
                f"application '{name}': '{given.schedule[:80]}' is no schedule; five fields of"
                " cron, such as '0 0 * * *', or '@daily' and the like"
            )
        )
    return given.schedule


def _retry_policy(
    declared: ConnectorConfigurationApplication,
    given: DeploymentConfigurationApplication | None,
    kept: Values,
    faults: list[ApiError],
) -> RetryPolicy | None:
    if given is None or not isinstance(given.retry_policy, wire.RetryPolicy):
        return kept.retry_policy
    name = declared.application_name
    if declared.application_type is not ApplicationType.EVENT:
        faults.append(DeploymentRetryPolicyOverrideNotAllowed(name))
        return None
    try:
        return retry_policy_of(given.retry_policy)
    except ValueError as error:
        faults.append(DeploymentInvalidRetryPolicy(name, str(error)))
        return None


def retry_policy_of(given: wire.RetryPolicy) -> RetryPolicy:
    """A retry policy as connect.yaml could have it.

    Raises:
        ValueError: it could not.
    """
    policy: RetryPolicy = _policies.decode(msgspec.json.encode(given))
    if (
        isinstance(policy, ExponentialBackoff)
        and policy.min_backoff_seconds > policy.max_backoff_seconds
    ):
        raise ValueError("minBackoffSeconds must be less than or equal to maxBackoffSeconds")
    return policy
