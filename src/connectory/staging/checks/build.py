"""The build check: every application is built, by the builder that Deployments are built with."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from connectory.building.model import Builder, BuildFailed, Plan, Step
from connectory.contract.scalars import ApplicationType
from connectory.contract.staged import ReportEntryType
from connectory.specification.model import Application, Specification
from connectory.staging.checks.model import (
    LONGEST_LINE,
    Finding,
    Result,
    Severity,
    Source,
    concluded,
    skipped,
)
from connectory.staging.checks.policy import Policy

_MERCHANT_CENTER: Final = frozenset(
    {
        ApplicationType.MERCHANT_CENTER_CUSTOM_APPLICATION,
        ApplicationType.MERCHANT_CENTER_CUSTOM_VIEW,
    }
)
#: Merchant Center applications are built with values that a Deployment gives; a check has none of
#: them, and builds with these.
_PLACEHOLDERS: Final = {
    "APPLICATION_URL": "https://application.example",
    "CLOUD_IDENTIFIER": "gcp-eu",
    "CUSTOM_APPLICATION_ID": "custom-application-id",
    "CUSTOM_VIEW_ID": "custom-view-id",
    "ENTRY_POINT_URI_PATH": "entry-point",
}
_WHY_NOT: Final = "the applications were not built: a preview or a publish does that"
#: What a finding keeps of the end of the output.
_LAST: Final = 300


class BuildCheck:
    """Builds each application of a tree, under the title that the hosted platform uses."""

    name: Final = "build"
    title: Final = "Connector image build check"

    def __init__(
        self,
        policy: Policy,
        builder: Builder | None = None,
        refusal: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Build with a builder; without one the check is skipped.

        `refusal` says why the code of a repository is not to be run here; "" where it may be.
        """
        self._policy = policy.build
        self._builder = builder
        self._refusal = refusal

    def run(self, source: Source) -> Result:
        """Build all applications, so that all faults are told; what was built before is not."""
        if not self._policy.run:
            return skipped(self, "the policy says that it does not run")
        if self._builder is None:
            return skipped(self, _WHY_NOT)
        refusal = self._refusal(source.origin)
        if refusal:
            return skipped(self, f"the applications were not built: {refusal}")
        commit = source.commit or tree_hash(source.root)
        findings: list[Finding] = []
        for application in source.specification.applications:
            plan = Plan(
                tree=source.root,
                source=commit,
                application=application.name,
                type=application.type,
                environment=_environment(application, source.specification),
                origin=source.origin,
            )
            findings += self._findings(self._builder, plan, source.cancelled)
        return concluded(self, findings)

    def _findings(
        self, builder: Builder, plan: Plan, cancelled: Callable[[], bool]
    ) -> Iterator[Finding]:
        steps: list[Step] = []
        take: Callable[[Step], None] = steps.append
        try:
            builder.build(plan, told=take, output=lambda *_: None, cancelled=cancelled)
        except BuildFailed as why:
            if not any(step.type is ReportEntryType.ERROR for step in steps):
                yield self._finding(plan, "Build failed", str(why), is_error=True)
        for step in steps:
            if step.type is not ReportEntryType.INFORMATION:
                is_error = step.type is ReportEntryType.ERROR
                yield self._finding(plan, step.title, step.message, is_error=is_error)

    def _finding(self, plan: Plan, title: str, message: str, *, is_error: bool) -> Finding:
        return Finding(
            check=self.name,
            rule=title.lower().replace(":", "").replace(" ", "-"),
            severity=Severity.HIGH if is_error else Severity.LOW,
            path=plan.application,
            message=in_one_line(message),
            error=is_error,
        )


def in_one_line(message: str) -> str:
    """A step's message in one line: its reason, and the end of the output that follows."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = "; ".join(lines)
    most = LONGEST_LINE * 3 // 4
    return text if len(text) <= most else f"{text[: most - _LAST]} … {text[-_LAST:]}"


def _environment(application: Application, specification: Specification) -> dict[str, str]:
    if application.type not in _MERCHANT_CENTER:
        return {}
    keys = (*specification.inherited.standard, *application.configuration.standard)
    values = {each.key: each.default for each in keys if isinstance(each.default, str)}
    return _PLACEHOLDERS | values


def tree_hash(root: Path) -> str:
    """What a tree is that is no commit's: a hash of its names, modes and contents."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(each for each in folders if each not in (".git", "node_modules"))
        links = [each for each in folders if Path(folder, each).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(folder, name)
            digest.update(f"{path.relative_to(root)}\0".encode(errors="surrogateescape"))
            if path.is_symlink():
                digest.update(os.fsencode(path.readlink()))
            elif path.is_file():
                executable = path.stat().st_mode & 0o100
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"{executable}{content}".encode())
            digest.update(b"\0")
    return digest.hexdigest()
