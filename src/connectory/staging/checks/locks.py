"""Lock files: which versions of which packages a tree takes, and where that is written.

Known are those of npm, Yarn, pnpm, pip, Poetry, uv, PDM and Pipenv. The text is hostile: JSON is
decoded into the few fields that are needed, all else is read line by line, and both are linear.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from connectory.staging.checks.files import NotAllRead, files, read

#: The largest lock file that is read, in bytes; a thousand packages are half a megabyte.
MOST_BYTES: Final = 8 * 2**20
#: How many locked packages of one tree are looked at.
MOST_PACKAGES: Final = 50_000
#: How many lock files of one tree are looked at.
MOST_LOCKS: Final = 200

#: The longest name, and the longest version: npm takes 214 and 256 characters.
LONGEST_NAME: Final = 256

NPM: Final = "npm"
PYPI: Final = "PyPI"


class Locked(Struct, frozen=True):
    """A package that a lock file takes.

    Attributes:
        ecosystem: Whose package it is, as OSV names ecosystems.
        package: Its name, normalised.
        version: Its version.
        path: The lock file.
        line: The line that names it.
        development: Whether it is for development only.
    """

    ecosystem: str
    package: str
    version: str
    path: str
    line: int
    development: bool = False


class Locks(Struct, frozen=True):
    """What a tree locks, and what of it could not be read.

    Attributes:
        packages: Each package once for each version and lock file.
        paths: The lock files that were read.
        unread: What could not be looked at, a phrase each.
    """

    packages: tuple[Locked, ...]
    paths: frozenset[str]
    unread: tuple[str, ...]


class LockError(ValueError):
    """A lock file cannot be read; the message says why."""


def read_locks(root: Path) -> Locks:
    """The packages of all lock files of a tree."""
    found: dict[tuple[str, str, str], Locked] = {}
    unread: list[str] = []
    paths: set[str] = set()
    try:
        for file in files(root):
            parse = parser(file.path)
            if parse is None:
                continue
            if len(paths) == MOST_LOCKS:
                unread.append(f"the tree has more than {MOST_LOCKS} lock files")
                break
            try:
                for locked in _parsed(root, file.path, parse):
                    if max(len(locked.package), len(locked.version)) > LONGEST_NAME:
                        continue
                    found.setdefault((locked.path, locked.package, locked.version), locked)
                    if len(found) > MOST_PACKAGES:
                        raise NotAllRead(f"the tree locks more than {MOST_PACKAGES:,} packages")
                paths.add(file.path)
            except LockError as why:
                unread.append(f"{file.path}: {why}")
    except NotAllRead as why:
        unread.append(str(why))
    return Locks(tuple(found.values()), frozenset(paths), tuple(unread))


Parser = Callable[[str, bytes], Iterator[Locked]]


def parser(path: str) -> Parser | None:
    """What reads a lock file of this name; None where it is none."""
    name = path.rpartition("/")[2]
    if re.fullmatch(r"requirements([._-][\w.-]{1,40})?\.txt", name):
        return _requirements
    return _PARSERS.get(name)


def _parsed(root: Path, path: str, parse: Parser) -> Iterator[Locked]:
    text = read(root, path, MOST_BYTES)
    if text is None:
        raise LockError("it cannot be read")
    if len(text) > MOST_BYTES:
        raise LockError(f"it is larger than {MOST_BYTES // 2**20} MiB")
    try:
        yield from parse(path, text)
    except RecursionError:
        raise LockError("it is nested too deeply") from None
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise LockError(f"it cannot be read: {error}") from None


class _Entry(Struct):
    name: str | None = None
    version: str | None = None
    link: bool = False
    dev: bool = False


class _OldEntry(Struct):
    version: str | None = None
    dev: bool = False
    dependencies: "dict[str, _OldEntry] | None" = None


class _PackageLock(Struct):
    packages: dict[str, _Entry] | None = None
    dependencies: dict[str, _OldEntry] | None = None


_PACKAGE_LOCK: Final = msgspec.json.Decoder(_PackageLock, strict=False)


def _package_lock(path: str, text: bytes) -> Iterator[Locked]:
    """npm's, of lockfileVersion 1 (a tree of `dependencies`) and above (flat `packages`)."""
    lock = _PACKAGE_LOCK.decode(text)
    lines = _Lines(text)
    if lock.packages is not None:
        for key, entry in lock.packages.items():
            name = key.rpartition("node_modules/")[2]
            if entry.version and not entry.link and key != name:
                line = lines.of(key)
                yield Locked(NPM, entry.name or name, entry.version, path, line, entry.dev)
        return
    waiting = [lock.dependencies or {}]
    while waiting:
        for name, old in waiting.pop().items():
            if old.version:
                yield Locked(NPM, name, old.version, path, lines.of(name), old.dev)
            if old.dependencies:
                waiting.append(old.dependencies)


class _Lines:
    """The lines of the keys of a JSON text: the first line that begins with each."""

    def __init__(self, text: bytes) -> None:
        self._of: dict[bytes, int] = {}
        for number, line in enumerate(io.BytesIO(text), 1):
            stripped = line.lstrip()
            if stripped.startswith(b'"'):
                self._of.setdefault(stripped[1 : stripped.find(b'"', 1)], number)

    def of(self, key: str) -> int:
        """The line of a key; the first one where it is not at the start of any."""
        return self._of.get(key.encode("utf-8", "replace"), 1)


class _PipfileEntry(Struct):
    version: str | None = None


class _PipfileLock(Struct):
    default: dict[str, _PipfileEntry] = {}
    develop: dict[str, _PipfileEntry] = {}


_PIPFILE_LOCK: Final = msgspec.json.Decoder(_PipfileLock)


def _pipfile(path: str, text: bytes) -> Iterator[Locked]:
    lock = _PIPFILE_LOCK.decode(text)
    lines = _Lines(text)
    for entries, development in ((lock.default, False), (lock.develop, True)):
        for name, entry in entries.items():
            if entry.version and entry.version.startswith("=="):
                version = entry.version[2:]
                yield Locked(PYPI, python_name(name), version, path, lines.of(name), development)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, one by one: as a list, millions of them are dear."""
    for number, line in enumerate(io.StringIO(text), 1):
        yield number, line.rstrip("\r\n")


def _yarn(path: str, text: bytes) -> Iterator[Locked]:
    """Yarn's: version 1, and the later ones, which are YAML of the same shape."""
    name, at = "", 0
    for number, line in _lines(text.decode()):
        if line and line[0] not in " #":
            name, at = _yarn_name(line), number
        elif name and line.startswith("  version"):
            version = line[len("  version") :].strip().lstrip(":").strip().strip('"')
            yield Locked(NPM, name, version, path, at)
            name = ""


def _yarn_name(header: str) -> str:
    """The package of a header such as `"a@^1.0.0", a@^1.2.0:`; empty where there is none."""
    name, _, rest = _split_at(header.split(",", maxsplit=1)[0].strip().strip('":'))
    if not rest or rest.startswith(("workspace:", "file:", "link:", "portal:")):
        return ""
    # An alias: `short@npm:real@^1.0.0`.
    real, _, version = _split_at(rest.removeprefix("npm:"))
    return real if rest.startswith("npm:") and version else name


def _split_at(text: str) -> tuple[str, str, str]:
    """A name, which may begin with `@`, and what follows the next `@`."""
    at = text.find("@", 1)
    return (text, "", "") if at < 0 else (text[:at], "@", text[at + 1 :])


#: `/name/1.0.0_peers`, `/name@1.0.0(peers)`, `name@1.0.0(peers)`.
_PNPM_KEY: Final = re.compile(r"/?(?P<name>(?:@[^/@]+/)?[^/@]+)[/@](?P<version>\d[^/@_(:'\"]*)")


def _pnpm(path: str, text: bytes) -> Iterator[Locked]:
    """pnpm's: the keys of `packages`, in the spellings of lockfileVersion 5 to 9."""
    inside = False
    for number, line in _lines(text.decode()):
        if line and line[0] not in " #":
            inside = line.startswith("packages:")
        elif inside and line.startswith("  ") and line[2:3] not in ("", " ", "#"):
            key = _PNPM_KEY.match(line.strip().strip("'\""))
            if key:
                yield Locked(NPM, key["name"], key["version"], path, number)


def _toml(path: str, text: bytes) -> Iterator[Locked]:
    """The tables `[[package]]` of Poetry, uv and PDM: each has its name and version on top."""
    name, at = "", 0
    inside = False
    for number, line in _lines(text.decode()):
        if line.startswith("["):
            inside = line.startswith("[[package]]")
            name, at = "", number
        elif inside and line.startswith('name = "'):
            name = python_name(line.split('"')[1])
        elif inside and name and line.startswith('version = "'):
            yield Locked(PYPI, name, line.split('"')[1], path, at)
            name = ""


_PINNED: Final = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,99}) {0,4}(?:\[[^\]]{0,200}\])? {0,4}={2,3} {0,4}([^\s;#,\\*]+)"
    r"(?=[\s;#,\\]|$)"
)
_NAMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _requirements(path: str, text: bytes) -> Iterator[Locked]:
    """Pip's requirements: what is pinned by `==`."""
    development = re.search(r"dev|test|lint|docs", path.rpartition("/")[2]) is not None
    for number, line in _lines(text.decode()):
        pinned = _PINNED.match(line)
        if pinned:
            name, version = pinned.groups()
            yield Locked(PYPI, python_name(name), version, path, number, development)


def unpinned(root: Path, path: str) -> int | None:
    """The first line of a pip requirements file that names a package without its version."""
    text = read(root, path, MOST_BYTES)
    for number, line in _lines((text or b"").decode("utf-8", "replace")):
        if _NAMED.match(line) and not _PINNED.match(line):
            return number
    return None


def python_name(name: str) -> str:
    """The one spelling of a Python package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


_PARSERS: Final[Mapping[str, Parser]] = {
    "package-lock.json": _package_lock,
    "npm-shrinkwrap.json": _package_lock,
    "yarn.lock": _yarn,
    "pnpm-lock.yaml": _pnpm,
    "poetry.lock": _toml,
    "uv.lock": _toml,
    "pdm.lock": _toml,
    "Pipfile.lock": _pipfile,
}
