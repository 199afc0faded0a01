"""Advisories in the OSV format, and whether one affects a version.

Source: the OSV schema, https://ossf.github.io/osv-schema/ ("Evaluation"). Versions of npm are in
the order of Semantic Versioning, those of PyPI in that of PEP 440.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from connectory.staging.checks.locks import NPM, PYPI, python_name
from connectory.staging.checks.model import Severity


class Event(Struct, frozen=True, omit_defaults=True):
    """One step of a range: from `introduced` on bad, from `fixed` or after `last_affected` good."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None


class Range(Struct, frozen=True):
    """Versions between events; `type` tells in which order (GIT ones are of no use here)."""

    type: str
    events: tuple[Event, ...] = ()


class Package(Struct, frozen=True):
    """The package that is affected."""

    ecosystem: str = ""
    name: str = ""


class Affected(Struct, frozen=True, omit_defaults=True):
    """Which versions of one package are affected: those listed, and those in a range."""

    package: Package | None = None
    versions: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()


class Score(Struct, frozen=True):
    """How grave it is: a CVSS vector."""

    type: str
    score: str


class Document(Struct, frozen=True):
    """An advisory as OSV publishes it, as far as it is needed."""

    id: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    withdrawn: str | None = None
    severity: tuple[Score, ...] | None = None
    affected: tuple[Affected, ...] = ()
    # What it has differs from publisher to publisher.
    database_specific: Any = None


class Advisory(Struct, frozen=True, omit_defaults=True):
    """What one advisory says of one package.

    Attributes:
        id: Its id, such as `GHSA-…`.
        aliases: Other ids of the same vulnerability.
        summary: What it is, in a sentence.
        severity: How grave it is.
        affected: Which versions are affected.
    """

    id: str
    summary: str
    severity: Severity
    affected: tuple[Affected, ...]
    aliases: tuple[str, ...] = ()


_DECODER: Final = msgspec.json.Decoder(Document)


def read_advisory(text: bytes) -> dict[tuple[str, str], Advisory]:
    """What a document says, for each package (ecosystem, name) of the ecosystems we know.

    Raises:
        msgspec.DecodeError: it is no OSV document.
    """
    document = _DECODER.decode(text)
    if document.withdrawn:
        return {}
    by_package: dict[tuple[str, str], list[Affected]] = {}
    for affected in document.affected:
        package = affected.package
        if package is not None and package.ecosystem in (NPM, PYPI):
            name = python_name(package.name) if package.ecosystem == PYPI else package.name
            bare = Affected(versions=affected.versions, ranges=affected.ranges)
            by_package.setdefault((package.ecosystem, name), []).append(bare)
    if not by_package:
        return {}
    severity = _severity(document)
    summary = " ".join((document.summary or document.details).split())[:200]
    return {
        key: Advisory(document.id, summary, severity, tuple(affected), document.aliases)
        for key, affected in by_package.items()
    }


_WORDS: Final = frozenset(str(severity) for severity in Severity)


def _severity(document: Document) -> Severity:
    """The publisher's own word; else the CVSS score; harm on purpose is CRITICAL."""
    if document.id.startswith("MAL-"):
        return Severity.CRITICAL
    own = document.database_specific
    word = str(own.get("severity", "")).lower() if isinstance(own, dict) else ""
    if word == "moderate":
        return Severity.MEDIUM
    if word in _WORDS:
        return Severity(word)
    return max(
        (_rating(score) for score in document.severity or ()),
        key=list(Severity).index,
        default=Severity.UNKNOWN,
    )


def _rating(score: Score) -> Severity:
    """The qualitative rating of a vector (CVSS 3.1 specification, table 14)."""
    import cvss  # noqa: PLC0415 - only few advisories need it

    kinds = {"CVSS_V2": cvss.CVSS2, "CVSS_V3": cvss.CVSS3, "CVSS_V4": cvss.CVSS4}
    try:
        base = float(kinds[score.type](score.score).base_score)
    except (KeyError, ValueError, cvss.exceptions.CVSSError):
        return Severity.UNKNOWN
    steps = (
        (9.0, Severity.CRITICAL),
        (7.0, Severity.HIGH),
        (4.0, Severity.MEDIUM),
        (0.1, Severity.LOW),
    )
    return next((severity for least, severity in steps if base >= least), Severity.UNKNOWN)


class Ordered(Protocol):
    """A version that can be compared with another of its ecosystem."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...


Order = Callable[[str], Ordered]


def order(ecosystem: str) -> Order:
    """How the versions of an ecosystem are read; ValueError on what is none."""
    if ecosystem == PYPI:
        from packaging.version import Version as PythonVersion  # noqa: PLC0415 - lazily

        return PythonVersion
    from semver import Version as NpmVersion  # noqa: PLC0415

    def parse(text: str) -> Ordered:
        version: Ordered = NpmVersion.parse(text.lstrip("v="), optional_minor_and_patch=True)
        return version

    return parse


class Verdict(Struct, frozen=True):
    """Whether a version is affected, and the lowest good version above it."""

    affected: bool
    fixed: str | None = None


def judge(advisory: Advisory, version: str, parse: Order) -> Verdict:
    """Whether an advisory affects a version.

    A range with a version that cannot be read is passed over.

    Raises:
        ValueError: the version itself cannot be read.
    """
    here = parse(version)
    bad = False
    fixes: list[tuple[Ordered, str]] = []
    for affected in advisory.affected:
        listed = version in affected.versions
        for events in (_events(one, parse) for one in affected.ranges if one.type != "GIT"):
            inside = _inside(events, here)
            bad = bad or inside
            if inside or listed:
                fixes += [(at, text) for at, kind, text in events if kind == "fixed" and here < at]
        bad = bad or listed
    lowest: tuple[Ordered, str] | None = None
    for fix in fixes:
        if lowest is None or fix[0] < lowest[0]:
            lowest = fix
    return Verdict(bad, lowest[1] if bad and lowest is not None else None)


_Events = list[tuple[Any, str, str]]


def _events(versions: Range, parse: Order) -> _Events:
    """The events of a range, in the order of their versions; none where one cannot be read."""
    events: _Events = []
    for event in versions.events:
        for kind in ("introduced", "fixed", "last_affected"):
            text = getattr(event, kind)
            if text is not None:
                try:
                    # `0` is before every version, pre-releases too.
                    lowest = kind == "introduced" and text == "0"
                    events.append((_LOWEST if lowest else parse(text), kind, text))
                except ValueError:
                    return []
    events.sort(key=_EventOrder)
    return events


def _inside(events: Iterable[tuple[Any, str, str]], here: Ordered) -> bool:
    inside = False
    for at, kind, _ in events:
        if kind == "introduced" and (at is _LOWEST or at <= here):
            inside = True
        elif (kind == "fixed" and at <= here) or (kind == "last_affected" and at < here):
            inside = False
    return inside


_LOWEST: Final = object()


class _EventOrder:
    """By version; at one version, what ends a range comes before what begins the next."""

    def __init__(self, event: tuple[Any, str, str]) -> None:
        self.at, self.kind, _ = event

    def __lt__(self, other: "_EventOrder") -> bool:
        if self.at is _LOWEST or other.at is _LOWEST:
            return other.at is not _LOWEST
        if self.at < other.at or other.at < self.at:
            return bool(self.at < other.at)
        return self.kind != "introduced" and other.kind == "introduced"
