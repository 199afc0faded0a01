"""The adapter of the machine's own `npm audit`, for those who let it ask npm's registry.

npm is run on a copy of the lock file and its manifest in a folder of its own: nothing else of the
tree (an `.npmrc`, say, that names another registry) is seen by it, and no script of it is run.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from connectory.kernel.prepared import prepared
from connectory.staging.checks.files import read
from connectory.staging.checks.locks import MOST_BYTES, NPM, Locked
from connectory.staging.checks.model import Severity
from connectory.staging.checks.osv import Order, order
from connectory.staging.checks.scanner import Scan, Vulnerability

#: How long one lock file may take, in seconds.
SECONDS: Final = 60.0
#: How many lock files of a tree are looked at; more are told.
MOST_LOCKS: Final = 20
_NAMES: Final = frozenset({"package-lock.json", "npm-shrinkwrap.json"})
#: What npm may know of the server's environment: never a secret of ours.
_HANDED_ON: Final = re.compile(
    r"PATH|HOME|NODE_EXTRA_CA_CERTS|(https?|no)_proxy|npm_config_\w+", re.IGNORECASE
)
_SEVERITIES: Final = {"moderate": Severity.MEDIUM, "info": Severity.LOW}


class NpmAudit:
    """Asks `npm audit` about each npm lock file of a tree."""

    name: Final = "npm audit"

    def __init__(self, environment: Mapping[str, str], seconds: float = SECONDS) -> None:
        self._environment = {
            name: value for name, value in environment.items() if _HANDED_ON.fullmatch(name)
        }
        self._seconds = seconds

    def scan(self, root: Path, packages: Sequence[Locked]) -> Scan:
        """The advisories that npm's registry has for what is locked."""
        npm = shutil.which("npm", path=self._environment.get("PATH", os.defpath))
        if npm is None:
            return Scan(reason="npm is not installed, which CONNECTORY_NPM_AUDIT asks for")
        by_lock: dict[str, list[Locked]] = {}
        others = False
        for locked in packages:
            if locked.path.rpartition("/")[2] in _NAMES:
                by_lock.setdefault(locked.path, []).append(locked)
            else:
                others = others or locked.ecosystem == NPM
        if len(by_lock) > MOST_LOCKS:
            return Scan(reason=f"npm audit: more than {MOST_LOCKS} lock files")
        found: list[Vulnerability] = []
        for path, locked_here in sorted(by_lock.items()):
            try:
                found += _told(self._audit(npm, root, path), locked_here)
            except _NoAnswer as why:
                return Scan(tuple(found), reason=f"npm audit of {path}: {why}")
        # Locks of Yarn and pnpm it does not read.
        return Scan(tuple(found), frozenset() if others else frozenset({NPM}))

    def _audit(self, npm: str, root: Path, path: str) -> "_Report":
        """What npm says of one lock file.

        Raises:
            _NoAnswer: nothing, or nothing that can be used; the message says why.
        """
        folder, _, name = path.rpartition("/")
        manifest = f"{folder}/package.json" if folder else "package.json"
        with tempfile.TemporaryDirectory(prefix="connectory-audit-") as made:
            for source, target in ((path, name), (manifest, "package.json")):
                text = read(root, source, MOST_BYTES)
                if text is not None:
                    Path(made, target).write_bytes(text)
            command = (
                npm,
                "audit",
                "--json",
                "--package-lock-only",
                "--ignore-scripts",
                "--no-update-notifier",
            )
            output = _output(command, made, self._environment, self._seconds)
        try:
            report = _REPORT.decode(output)
        except (msgspec.DecodeError, RecursionError):
            raise _NoAnswer("it gave no answer") from None
        if report.vulnerabilities is None:
            raise _NoAnswer(report.message or "it gave no answer")
        return report


class _NoAnswer(Exception):
    """npm could not answer."""


class _Report(Struct):
    vulnerabilities: dict[str, "_Package"] | None = None
    message: str | None = None


class _Package(Struct):
    # Advisories, and the names of packages that this one has them from.
    via: tuple[Any, ...] = ()


class _Advisory(Struct):
    dependency: str
    severity: str = ""
    title: str = ""
    url: str = ""
    source: Any = None
    range: str = ""


_REPORT: Final = msgspec.json.Decoder(_Report)
_ADVISORY: Final = prepared(_Advisory)


def _output(
    command: Sequence[str], folder: str, environment: Mapping[str, str], seconds: float
) -> bytes:
    with subprocess.Popen(  # noqa: S603 - the operator's npm, with nothing of the tree's but data
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise _NoAnswer(f"it did not end within {seconds:g} seconds") from None


def _told(report: _Report, packages: Sequence[Locked]) -> list[Vulnerability]:
    """The advisories of a report, each for the locked packages that it is of."""
    found = []
    parse = order(NPM)
    for package in (report.vulnerabilities or {}).values():
        for via in package.via:
            if not isinstance(via, dict):
                continue
            advisory = msgspec.convert(via, _ADVISORY)
            for locked in packages:
                if locked.package == advisory.dependency:
                    bad, fixed = in_range(advisory.range, locked.version, parse)
                    if bad:
                        found.append(_vulnerability(advisory, locked, fixed))
    return found


def _vulnerability(advisory: _Advisory, locked: Locked, fixed: str | None) -> Vulnerability:
    word = advisory.severity.lower()
    if word in _SEVERITIES:
        severity = _SEVERITIES[word]
    else:
        known = {str(severity) for severity in Severity}
        severity = Severity(word) if word in known else Severity.UNKNOWN
    return Vulnerability(
        locked=locked,
        id=advisory.url.rpartition("/")[2] or f"npm-{advisory.source}",
        severity=severity,
        summary=" ".join(advisory.title.split())[:200],
        fixed=fixed,
    )


_COMPARATOR: Final = re.compile(r"(<=|>=|<|>|=)?\s*([^\s<>=|]+)")


def in_range(text: str, version: str, parse: Order) -> tuple[bool, str | None]:
    """Whether a version is in a range of an advisory, and where that part of the range ends.

    Ranges there are comparators, such as `>=2.0.0 <2.0.7 || <1.1.5`. One that cannot be read
    counts: npm itself said that the package is affected.
    """
    try:
        here = parse(version)
        for part in text.split("||"):
            comparators = _COMPARATOR.findall(part)
            if all(_holds(kind, at, here, parse) for kind, at in comparators):
                return True, next((at for kind, at in comparators if kind == "<"), None)
    except ValueError:
        return True, None
    return False, None


def _holds(kind: str, at: str, here: Any, parse: Order) -> bool:
    if at == "*":
        return True
    there = parse(at)
    below, above = bool(here < there), bool(there < here)
    return {
        "<": below,
        "<=": not above,
        ">": above,
        ">=": not below,
    }.get(kind, not below and not above)
