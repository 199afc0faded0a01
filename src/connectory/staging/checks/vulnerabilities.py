"""The vulnerabilities check: advisories that affect the versions that lock files take."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from connectory.staging.checks.files import read
from connectory.staging.checks.locks import Locks, read_locks, unpinned
from connectory.staging.checks.model import Finding, Result, Source, concluded, shown, skipped
from connectory.staging.checks.policy import Policy
from connectory.staging.checks.scanner import Scanner, Vulnerability

#: How many findings are told; the gravest ones are.
MOST_FINDINGS: Final = 1_000
_MOST_MANIFEST_BYTES: Final = 2**20


class VulnerabilitiesCheck:
    """Asks the scanners of known vulnerabilities about what the lock files of a tree take."""

    name: Final = "vulnerabilities"
    title: Final = "SAST and SCA analysis check"

    def __init__(
        self, policy: Policy, scanners: Sequence[Scanner], today: Callable[[], date]
    ) -> None:
        self._policy = policy
        self._scanners = scanners
        self._today = today

    def run(self, source: Source) -> Result:
        """Look at a tree; skipped where no scanner knows an ecosystem that it uses."""
        rules = self._policy.vulnerabilities
        if not rules.run:
            return skipped(self, "the policy of this server does not look for vulnerabilities")
        locks = read_locks(source.root)
        wanted = [one for one in locks.packages if rules.development or not one.development]
        reasons = [*locks.unread, *_unlocked(source, locks)]
        found: list[Vulnerability] = []
        looked_at: frozenset[str] = frozenset()
        failed: list[str] = []
        for scanner in self._scanners if wanted else ():
            scan = scanner.scan(source.root, wanted)
            found += scan.found
            looked_at |= scan.looked_at
            failed += [scan.reason] if scan.reason else []
        missing = {one.ecosystem for one in wanted} - looked_at
        reasons += [f"no advisories for {ecosystem} packages" for ecosystem in sorted(missing)]
        return self._concluded(found, reasons + failed)

    def _concluded(self, found: list[Vulnerability], reasons: list[str]) -> Result:
        today = self._today()
        findings: dict[tuple[str, str | None, str | None, str], Finding] = {}
        # Of two scanners' words on the same, the one that knows a fix.
        for one in sorted(found, key=lambda one: one.fixed is None):
            finding = self._policy.judge_vulnerability(self._finding(one), today)
            key = (finding.path, finding.package, finding.version, finding.rule)
            findings.setdefault(key, finding)
        told = sorted(findings.values(), key=lambda finding: finding.order)
        if len(told) > MOST_FINDINGS:
            reasons = [*reasons, f"{len(told) - MOST_FINDINGS} findings more are not told"]
        return concluded(self, told[:MOST_FINDINGS], "; ".join(map(shown, reasons)))

    def _finding(self, one: Vulnerability) -> Finding:
        locked = one.locked
        todo = f"upgrade to {one.fixed}" if one.fixed else "no fixed version is known"
        return Finding(
            check=self.name,
            rule=one.id,
            severity=one.severity,
            path=shown(locked.path),
            line=locked.line,
            message=shown(f"{locked.package} {locked.version}: {todo} ({one.summary})"),
            package=shown(locked.package),
            version=shown(locked.version),
            fixed_version=one.fixed,
        )


def _unlocked(source: Source, locks: Locks) -> Iterator[str]:
    """Dependencies of applications whose versions are not locked: nothing can be said of them."""
    folders = {path.rpartition("/")[0] for path in locks.paths if not path.endswith(".txt")}
    for name in _applications(source):
        # A lock of a workspace is in a folder above.
        locked = bool({name, ""} & folders)
        requirements = f"{name}/requirements.txt"
        if requirements in locks.paths and not locked:
            line = unpinned(source.root, requirements)
            if line is not None:
                yield f"{requirements}:{line}: a package whose version is not pinned"
        if not locked and _has_dependencies(source.root, f"{name}/package.json"):
            yield f"{name}/package.json: there is no lock file"


def _applications(source: Source) -> list[str]:
    return [application.name for application in source.specification.applications]


class _Manifest(msgspec.Struct):
    dependencies: Any = None
    # npm's spelling
    devDependencies: Any = None  # noqa: N815


_MANIFEST: Final = msgspec.json.Decoder(_Manifest)


def _has_dependencies(root: Path, path: str) -> bool:
    text = read(root, path, _MOST_MANIFEST_BYTES)
    if text is None or len(text) > _MOST_MANIFEST_BYTES:
        return False
    try:
        manifest = _MANIFEST.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return bool(manifest.dependencies or manifest.devDependencies)
