"""The secrets check: keys and passwords in the source, found by Kingfisher in a process of its own.

What is found is told by file, line and kind. The secret itself stays in the child process.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from connectory.staging.checks.files import read
from connectory.staging.checks.model import (
    Finding,
    Result,
    Severity,
    Source,
    concluded,
    shown,
    skipped,
)
from connectory.staging.checks.policy import (
    MOST_BYTES,
    REPOSITORY_FILE,
    Allowance,
    Policy,
    allowed_or,
    repository_allowances,
)

#: How long a tree is looked at, in seconds; what was not reached by then is told.
SECONDS: Final = 60.0
#: How long the child may live beyond that: it loads its rules, and compiles them the first time.
GRACE: Final = 60.0

_MODULE: Final = "connectory.staging.checks.secret_scan"
#: Places of made-up values: what looks like a secret there is a Warning.
_EXAMPLES: Final = re.compile(
    r"(^|/)(__tests__|__mocks__|tests?|spec|fixtures|mocks|examples?|samples?|docs)/"
    r"|[._-](test|spec|example|sample|template|dist|defaults)(\.[A-Za-z]+)?$"
    r"|\.md$",
    re.IGNORECASE,
)


class SecretsCheck:
    """Looks for secrets in the files of a tree."""

    name: Final = "secrets"
    title: Final = "Secrets in the source check"

    def __init__(
        self,
        policy: Policy,
        cache: Path,
        today: Callable[[], date],
        *,
        seconds: float = SECONDS,
        command: tuple[str, ...] = (sys.executable, "-I", "-m", _MODULE),
    ) -> None:
        self._policy = policy
        self._cache = cache
        self._today = today
        self._seconds = seconds
        self._command = command

    def run(self, source: Source) -> Result:
        """Look at a tree; skipped where the scanner cannot run or did not see all of it."""
        if not self._policy.secrets.run:
            return skipped(self, "the policy of this server does not look for secrets")
        try:
            answer = self._answer(source.root)
        except _ScannerFailed as why:
            return skipped(self, str(why))
        findings = [self._finding(told) for told in answer["findings"]]
        allowances, faults = self._allowances(source.root)
        today = self._today()
        judged = [self._judged(finding, allowances, today) for finding in findings]
        reason = "; ".join(shown(text) for text in answer["unread"])
        return concluded(self, judged + faults, reason)

    def _answer(self, root: Path) -> dict[str, Any]:
        """What the child says.

        Raises:
            _ScannerFailed: it did not answer, or not in time.
        """
        request = {"root": str(root), "cache": str(self._cache), "seconds": self._seconds}
        try:
            done = subprocess.run(  # noqa: S603 - our own program, with the limits that it sets
                self._command,
                input=json.dumps(request).encode(),
                stdout=subprocess.PIPE,
                # What a child that breaks says could name what it was reading.
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"HOME": str(self._cache), "LC_ALL": "C.UTF-8"},
                timeout=self._seconds + GRACE,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _ScannerFailed("the scanner did not end in time") from None
        except OSError as error:
            raise _ScannerFailed(f"the scanner cannot be started: {error.strerror}") from None
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            raise _ScannerFailed(f"the scanner was ended by {name}")
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise _ScannerFailed(f"the scanner ended with exit code {done.returncode}") from None
        return answer

    def _finding(self, told: dict[str, Any]) -> Finding:
        path = shown(told["path"])
        where_made_up = _EXAMPLES.search(path) is not None
        finding = Finding(
            check=self.name,
            rule=told["rule"],
            severity=Severity.LOW if where_made_up else Severity(told["confidence"]),
            path=path,
            line=told["line"],
            message=f"{_kind(told['what'])}: withdraw it where it was issued, and let Deployments"
            " give it by securedConfiguration",
        )
        if told["allowed"]:
            why = "allowed by a comment in the source"
            finding = structs.replace(
                finding, severity=Severity.LOW, message=f"{finding.message} ({why})"
            )
        return finding

    def _allowances(self, root: Path) -> tuple[tuple[Allowance, ...], list[Finding]]:
        """What the repository's own file allows, and what is wrong with that file."""
        text = read(root, REPOSITORY_FILE, MOST_BYTES)
        if text is None:
            return (), []
        try:
            return repository_allowances(text), []
        except ValueError as why:
            fault = Finding(
                check=self.name,
                rule="allow-file",
                severity=Severity.LOW,
                path=REPOSITORY_FILE,
                message=f"it allows nothing, because it is wrong: {why}",
            )
            return (), [fault]

    def _judged(self, finding: Finding, allowances: tuple[Allowance, ...], today: date) -> Finding:
        judged = self._policy.judge_secret(finding, today)
        return allowed_or(judged, allowances, today, error=True) if judged.error else judged


def _kind(description: str) -> str:
    """What a secret is, of what a rule says of it: what it may lead to is left out."""
    return description.partition(",")[0].rstrip(".")


class _ScannerFailed(Exception):
    """The scanner gave no answer; the message says why."""
