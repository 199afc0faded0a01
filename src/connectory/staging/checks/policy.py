"""Which findings are Errors and which are Warnings: the policy file, and a repository's own word.

The default is that of the official validator, which looks for HIGH and CRITICAL vulnerabilities
that have a fix, in development dependencies too. A finding that is allowed, by the operator or in
the repository, is not hidden: it is a Warning, so that a reviewer of the Connector still sees it.
"""

import fnmatch
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, structs

from connectory.kernel.prepared import prepared
from connectory.staging.checks.model import Finding, Severity

#: The largest policy file that is read, and the largest of a repository's own.
MOST_BYTES: Final = 256 * 2**10
#: Where a repository allows findings of the secrets check for which no comment can be written.
REPOSITORY_FILE: Final = ".connectory-allow.json"


class PolicyError(ValueError):
    """The policy file cannot be used; the message names the file and what is wrong, in one line."""


#: A repository writes these too, and its patterns are tried on every finding.
_Text = Annotated[str, Meta(min_length=1, max_length=300)]


class Allowance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings that are Warnings for a while.

    Attributes:
        rule: Id of the rule or of the advisory.
        reason: Why; shown beside the finding.
        until: The last day on which it holds (UTC).
        path: Pattern of the paths it holds for, where `*` is any text; left out, every path.
        package: Name of the package it holds for; left out, every package.
    """

    rule: _Text
    reason: _Text
    until: date
    path: _Text = "*"
    package: _Text | None = None

    def covers(self, finding: Finding, today: date) -> bool:
        """Whether a finding is one of those, today."""
        return (
            today <= self.until
            and finding.rule == self.rule
            and self.package in (None, finding.package)
            and fnmatch.fnmatchcase(finding.path, self.path)
        )


_Allowances = Annotated[tuple[Allowance, ...], Meta(max_length=500)]


class SecretsPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the secrets check does.

    Attributes:
        run: Whether it runs; where not, it is skipped.
        errors: The severities that fail the check.
    """

    run: bool = True
    errors: frozenset[Severity] = frozenset({Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL})


class BuildPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the build check does.

    Attributes:
        run: Whether it runs; where not, it is skipped.
    """

    run: bool = True


class VulnerabilitiesPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the vulnerabilities check does.

    Attributes:
        run: Whether it runs; where not, it is skipped.
        errors: The severities that fail the check.
        only_with_fix: Whether only those fail it for which a good version is known.
        malicious: Whether a package that was published to do harm (an advisory `MAL-…`) fails the
            check, whatever else is said.
        development: Whether development dependencies are looked at.
    """

    run: bool = True
    errors: frozenset[Severity] = frozenset({Severity.HIGH, Severity.CRITICAL})
    only_with_fix: bool = True
    malicious: bool = True
    development: bool = True


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole policy; that of an empty file is the default.

    Attributes:
        secrets: For the secrets check.
        vulnerabilities: For the vulnerabilities check.
        build: For the build check.
        allow: Findings that the operator allows for a while.
    """

    secrets: SecretsPolicy = SecretsPolicy()
    vulnerabilities: VulnerabilitiesPolicy = VulnerabilitiesPolicy()
    build: BuildPolicy = BuildPolicy()
    allow: _Allowances = ()

    def judge_secret(self, finding: Finding, today: date) -> Finding:
        """A finding of the secrets check, as Error or Warning."""
        return allowed_or(finding, self.allow, today, error=finding.severity in self.secrets.errors)

    def judge_vulnerability(self, finding: Finding, today: date) -> Finding:
        """A finding of the vulnerabilities check, as Error or Warning."""
        rules = self.vulnerabilities
        has_fix = finding.fixed_version is not None or not rules.only_with_fix
        error = finding.severity in rules.errors and has_fix
        if finding.rule.startswith("MAL-"):
            error = rules.malicious
        return allowed_or(finding, self.allow, today, error=error)


class _RepositoryFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    allow: _Allowances = ()


_POLICY: Final = prepared(Policy)
_REPOSITORY_FILE: Final = msgspec.json.Decoder(_RepositoryFile)


def allowed_or(
    finding: Finding, allowances: tuple[Allowance, ...], today: date, *, error: bool
) -> Finding:
    """The finding as an Error or a Warning; one that is allowed is a Warning that says why."""
    for allowance in allowances:
        if allowance.covers(finding, today):
            why = f"allowed until {allowance.until}: {allowance.reason}"
            return structs.replace(finding, error=False, message=f"{finding.message} ({why})")
    return structs.replace(finding, error=error)


def read_policy(path: Path | None) -> Policy:
    """The policy of a file; the default where there is none.

    Raises:
        PolicyError: the file cannot be read, is no TOML, or says what a policy cannot.
    """
    if path is None:
        return Policy()
    try:
        with path.open("rb") as file:
            return _parsed(file.read(MOST_BYTES + 1))
    except OSError as error:
        raise PolicyError(f"the check policy {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise PolicyError(f"the check policy {path} is wrong: {error}") from None


def repository_allowances(text: bytes) -> tuple[Allowance, ...]:
    """What a repository's own file allows.

    It is JSON, not TOML as the operator's: a hostile one of a few kilobytes keeps Python's reader
    of TOML busy for minutes.

    Raises:
        ValueError: it says what it cannot; the message is one line.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    try:
        return _REPOSITORY_FILE.decode(text).allow
    except msgspec.DecodeError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _parsed(text: bytes) -> Policy:
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    try:
        return msgspec.convert(tomllib.loads(text.decode()), _POLICY)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(" ".join(str(error).split())) from None
