"""What a scanner for known vulnerabilities is given and says: the port of its adapters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from connectory.staging.checks.locks import Locked
from connectory.staging.checks.model import Severity


class Vulnerability(Struct, frozen=True, kw_only=True):
    """A known vulnerability of a locked package.

    Attributes:
        locked: The package.
        id: Id of the advisory, such as `GHSA-…`.
        severity: How grave it is.
        summary: What it is, in a sentence.
        fixed: The lowest good version above the locked one; None where none is known.
    """

    locked: Locked
    id: str
    severity: Severity
    summary: str
    fixed: str | None


class Scan(Struct, frozen=True):
    """What a scanner found.

    Attributes:
        found: The vulnerabilities, in any order.
        looked_at: The ecosystems that it has knowledge of; all packages of these were looked at.
        reason: What it could not do.
    """

    found: tuple[Vulnerability, ...] = ()
    looked_at: frozenset[str] = frozenset()
    reason: str = ""


class Scanner(Protocol):
    """An adapter of a scanner, or of its data."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def scan(self, root: Path, packages: Sequence[Locked]) -> Scan:
        """Look at what is locked in a tree. Bounded in time; raises nothing of its own."""
        ...
