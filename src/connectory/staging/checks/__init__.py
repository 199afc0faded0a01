"""The checks that a connector passes on its way to a preview or a publish.

Each is an adapter behind `model.Check`: of rules of ours, or of a scanner. The worker runs them one
by one and writes a report entry for each; `connectory validate --all` runs the same ones.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from connectory.kernel.clock import SECOND, Clock
from connectory.settings import Settings
from connectory.staging.checks.build import BuildCheck
from connectory.staging.checks.model import Check, Finding, Outcome, Result, Severity, Source
from connectory.staging.checks.policy import PolicyError, read_policy
from connectory.staging.checks.secrets import SecretsCheck
from connectory.staging.checks.structure import StructureCheck

__all__ = [
    "Check",
    "Finding",
    "Outcome",
    "PolicyError",
    "Result",
    "Severity",
    "Source",
    "checks",
]


def checks(settings: Settings, clock: Clock, cache: Path) -> tuple[Check, ...]:
    """The checks, in the order in which they run.

    They keep what is costly to make (compiled rules, an index of advisories) in the folder
    `cache`, which may be shared by processes and may go at any time.

    Raises:
        PolicyError: the policy file cannot be used.
    """
    policy = read_policy(settings.check_policy)
    today = _today(clock)
    return (
        StructureCheck(),
        SecretsCheck(policy, cache / "secrets", today),
        BuildCheck(),
    )


def _today(clock: Clock) -> Callable[[], date]:
    """The day by a clock, in UTC."""
    return lambda: datetime.fromtimestamp(clock() / SECOND, UTC).date()
