"""The checks that a connector passes on its way to a preview or a publish.

Each is an adapter behind `model.Check`: of rules of ours, or of a scanner. The worker runs them one
by one and writes a report entry for each; `connectory validate --all` runs the same ones. Which
scanners, and why: docs/decisions/0016-scanners-and-policy.md.
"""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from connectory.building.model import Builder
from connectory.kernel.clock import SECOND, Clock
from connectory.settings import Settings
from connectory.staging.checks.advisories import Advisories
from connectory.staging.checks.build import BuildCheck
from connectory.staging.checks.model import Check, Finding, Outcome, Result, Severity, Source
from connectory.staging.checks.npm_audit import NpmAudit
from connectory.staging.checks.policy import PolicyError, read_policy
from connectory.staging.checks.scanner import Scanner
from connectory.staging.checks.secrets import SecretsCheck
from connectory.staging.checks.structure import StructureCheck
from connectory.staging.checks.vulnerabilities import VulnerabilitiesCheck

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


def checks(
    settings: Settings,
    clock: Clock,
    cache: Path,
    environment: Mapping[str, str] | None = None,
    *,
    builder: Builder | None = None,
    refusal: Callable[[str], str] = lambda _: "",
) -> tuple[Check, ...]:
    """The checks, in the order in which they run.

    They keep what is costly to make (compiled rules, an index of advisories) in the folder
    `cache`, which may be shared by processes and may go at any time. `npm audit`, if it
    is asked, finds npm and its configuration in `environment`; left out, in that of the process.
    `builder` builds the applications, unless `refusal` says why the code of a repository is not to
    be run here; without a builder that is skipped.

    Raises:
        PolicyError: the policy file cannot be used.
    """
    policy = read_policy(settings.check_policy)
    today = _today(clock)
    scanners: list[Scanner] = [Advisories(settings.advisories, cache / "advisories")]
    if settings.npm_audit == "on":
        scanners.append(NpmAudit(os.environ if environment is None else environment))
    return (
        StructureCheck(),
        SecretsCheck(policy, cache / "secrets", today),
        VulnerabilitiesCheck(policy, scanners, today),
        BuildCheck(policy, builder, refusal),
    )


def _today(clock: Clock) -> Callable[[], date]:
    """The day by a clock, in UTC."""
    return lambda: datetime.fromtimestamp(clock() / SECOND, UTC).date()
