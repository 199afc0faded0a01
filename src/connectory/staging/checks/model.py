"""What a check is given, and what it says: the one interface of all checks and scanners."""

import enum
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from connectory.contract.staged import ReportEntryType
from connectory.specification.faults import visible
from connectory.specification.model import Specification

#: The longest message of a report entry, in characters.
LONGEST_MESSAGE: Final = 4_000
#: The longest line of one: a finding's text comes from the tree or from advisory data.
LONGEST_LINE: Final = 500


class Outcome(enum.StrEnum):
    """How a check ended; the word is the last of its report entry's title."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  #: It found an Error.
    SKIPPED = "skipped"  #: It could not run, or not on everything: this is no pass.


class Severity(enum.StrEnum):
    """How grave a finding is, mildest first."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that a check found: where, what, and what to do.

    Attributes:
        check: Name of the check.
        rule: What was broken: a rule of ours, a scanner's, or the id of an advisory.
        severity: How grave it is.
        path: The file, from the root of the tree, with `/`.
        line: Its line, from 1; None where the whole file is meant.
        message: What is wrong and what to do, in one line; never a secret.
        package: Name of the package, where one is meant.
        version: Version of the package that the tree locks.
        fixed_version: The lowest version above it that is good; None where none is known.
        error: Whether it fails the check: the policy says so.
    """

    check: str
    rule: str
    severity: Severity
    path: str
    line: int | None = None
    message: str
    package: str | None = None
    version: str | None = None
    fixed_version: str | None = None
    error: bool = False

    @property
    def order(self) -> tuple[bool, int, str, int, str, str, str]:
        """Errors first, the gravest first, then by place: the order of every report."""
        return (
            not self.error,
            -_RANK[self.severity],
            self.path,
            self.line or 0,
            self.package or "",
            self.rule,
            self.message,
        )

    @property
    def text(self) -> str:
        """The finding in one line, for a person."""
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        kind = "error" if self.error else "warning"
        return shown(f"{place}: {kind}[{self.rule}] {self.severity}: {self.message}")


class Result(Struct, frozen=True, kw_only=True):
    """What one check said of one tree.

    Attributes:
        check: Name of the check.
        title: Its title, as report entries have it.
        outcome: How it ended.
        findings: What it found, in the order of `Finding.order`.
        reason: Why it was skipped, or what it could not look at; empty otherwise.
    """

    check: str
    title: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    @property
    def entry_title(self) -> str:
        """The title of its report entry, such as "Connector structure check succeeded"."""
        return f"{self.title} {self.outcome}"

    @property
    def entry_type(self) -> ReportEntryType:
        """The type of its report entry; only a plain success is Information."""
        if self.outcome is Outcome.FAILED:
            return ReportEntryType.ERROR
        if self.outcome is Outcome.SKIPPED or self.findings or self.reason:
            return ReportEntryType.WARNING
        return ReportEntryType.INFORMATION

    @property
    def entry_message(self) -> str:
        """What was found, a line each, of at most `LONGEST_MESSAGE` characters."""
        lines = [finding.text for finding in self.findings]
        if self.reason:
            lines.insert(0, shown(self.reason))
        more = "\nand {} more"
        room = LONGEST_MESSAGE - len(more) - len(str(len(lines)))
        ends = list(itertools.accumulate(len(line) + 1 for line in lines))
        told = sum(end <= room for end in ends)
        text = "\n".join(lines[:told])
        return text if told == len(lines) else text + more.format(len(lines) - told)


def concluded(check: "Check", findings: list[Finding], reason: str = "") -> Result:
    """The result of a check that ran: it failed where a finding is an Error.

    `reason` says what could not be looked at. Where there is one, a check that would have
    succeeded is skipped: what was not looked at has not passed.
    """
    outcome = Outcome.SUCCEEDED
    if any(finding.error for finding in findings):
        outcome = Outcome.FAILED
    elif reason:
        outcome = Outcome.SKIPPED
    return Result(
        check=check.name,
        title=check.title,
        outcome=outcome,
        findings=tuple(sorted(findings, key=lambda finding: finding.order)),
        reason=reason,
    )


def skipped(check: "Check", reason: str) -> Result:
    """The result of a check that could not run."""
    return concluded(check, [], reason)


def _never() -> bool:
    return False


class Source(Struct, frozen=True, kw_only=True):
    """What is checked.

    Attributes:
        root: The checked-out tree; no `.git` is in it that matters.
        specification: What its connect.yaml says.
        commit: What the tree is; empty where it is no commit's, as a folder somebody works in.
        origin: The address that the commit was fetched from; empty where there is none.
        cancelled: Whether nobody waits for the result any more: long checks ask it and end.
    """

    root: Path
    specification: Specification
    commit: str = ""
    origin: str = ""
    cancelled: Callable[[], bool] = _never


class Check(Protocol):
    """One check, an adapter of a scanner or a rule of ours; it has no state.

    Attributes:
        name: Name of its step in durable work.
        title: Title of its report entries, without the outcome.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - said above
    @property
    def title(self) -> str: ...  # noqa: D102

    def run(self, source: Source) -> Result:
        """Look at a tree. Bounded in time and memory whatever is in it; raises nothing of its own.

        The same tree, policy and advisory data give the same result.
        """
        ...


def shown(text: str) -> str:
    """Text of a tree in one line: characters that can be seen, in valid Unicode, not endless."""
    seen = visible(text[: LONGEST_LINE + 1])
    return seen if len(seen) <= LONGEST_LINE else seen[: LONGEST_LINE - 1] + "…"
