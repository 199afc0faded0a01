"""The advisories of this server: a folder of OSV documents, and the index that is made of it.

The published archive of npm has hundreds of thousands of documents. Reading them takes a while, so
that an index by package is made when the folder has changed, and kept in a file beside others.
"""

import fcntl
import hashlib
import itertools
import os
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from connectory.staging.checks.locks import Locked
from connectory.staging.checks.model import Severity, shown
from connectory.staging.checks.osv import Advisory, Order, Verdict, judge, order, read_advisory
from connectory.staging.checks.scanner import Scan, Vulnerability

#: The largest document that is read, in bytes.
MOST_BYTES: Final = 16 * 2**20
#: Counts with the index: a change of its shape makes it anew.
SHAPE: Final = 1

_ENCODER: Final = msgspec.json.Encoder()
_ADVISORY: Final = msgspec.json.Decoder(Advisory)
_BATCH: Final = 5_000


class Advisories:
    """The adapter of the OSV data in a folder; it needs no network."""

    name: Final = "OSV advisories"

    def __init__(self, folder: Path | None, cache: Path) -> None:
        self._folder = folder
        self._cache = cache

    def scan(self, root: Path, packages: Sequence[Locked]) -> Scan:
        """The advisories that affect what is locked."""
        del root
        if self._folder is None:
            return Scan(reason="this server has no advisories (CONNECTORY_ADVISORIES)")
        try:
            path = self._index()
        except OSError as error:
            return Scan(reason=f"the advisories cannot be read: {error.strerror}")
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as index:
                return self._scanned(index, packages)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            path.unlink(missing_ok=True)  # so that the next one makes it anew
            return Scan(reason=f"the index of the advisories cannot be used: {error}")

    def _scanned(self, index: sqlite3.Connection, packages: Sequence[Locked]) -> Scan:
        looked_at = frozenset(
            row[0] for row in index.execute("SELECT DISTINCT ecosystem FROM advisory")
        )
        found: list[Vulnerability] = []
        for (ecosystem, package), group in itertools.groupby(
            sorted(packages, key=_package), key=_package
        ):
            rows = index.execute(
                "SELECT body FROM advisory WHERE ecosystem = ? AND package = ? ORDER BY id",
                (ecosystem, package),
            )
            advisories = [_ADVISORY.decode(row[0]) for row in rows]
            if advisories:
                parse = order(ecosystem)
                for locked in group:
                    found += _affecting(locked, advisories, parse)
        broken = [row[0] for row in index.execute("SELECT name FROM broken ORDER BY name LIMIT 4")]
        reason = f"advisories that cannot be read: {', '.join(broken)}" if broken else ""
        return Scan(tuple(found), looked_at, reason)

    def _index(self) -> Path:
        """The index of what is in the folder now; made where it is not there yet."""
        assert self._folder is not None  # noqa: S101 - `scan` has seen to it
        index = self._cache / f"advisories-{_fingerprint(self._folder)}.sqlite"
        if index.exists():
            return index
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / "advisories.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not index.exists():  # another process made it in the meantime
                made = index.with_suffix(f".{os.getpid()}")
                made.unlink(missing_ok=True)
                _make(self._folder, made)
                with made.open("rb") as written:
                    os.fsync(written.fileno())
                made.replace(index)
                for old in self._cache.glob("advisories-*"):
                    if old != index:
                        # Who reads it now goes on reading: only its name goes.
                        old.unlink(missing_ok=True)
        return index


def _package(locked: Locked) -> tuple[str, str]:
    return locked.ecosystem, locked.package


def _affecting(locked: Locked, advisories: Sequence[Advisory], parse: Order) -> list[Vulnerability]:
    """The vulnerabilities of one locked package; several advisories of one are told once."""
    hits: list[tuple[Advisory, Verdict]] = []
    for advisory in advisories:
        try:
            verdict = judge(advisory, locked.version, parse)
        except ValueError:
            return []  # Not a version of the registry's: nothing there is said of it.
        if verdict.affected:
            hits.append((advisory, verdict))
    told: list[Vulnerability] = []
    seen: set[str] = set()
    # GitHub's own come first: they have the severity and the fix.
    for advisory, verdict in sorted(hits, key=lambda hit: (hit[0].id[:5] != "GHSA-", hit[0].id)):
        ids = {advisory.id, *advisory.aliases}
        if ids.isdisjoint(seen):
            told.append(
                Vulnerability(
                    locked=locked,
                    id=shown(advisory.id),
                    severity=Severity(advisory.severity),
                    summary=advisory.summary,
                    fixed=verdict.fixed,
                )
            )
        seen |= ids
    return told


def _fingerprint(folder: Path) -> str:
    """Changes whenever a file of the folder does."""
    digest = hashlib.sha256(f"{SHAPE}\n{folder.resolve()}\n".encode(errors="surrogateescape"))
    for path in _documents(folder):
        status = path.stat()
        line = f"{path.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]


def _documents(folder: Path) -> list[Path]:
    """The files of a folder and those below it: an `all.zip` in a folder for each ecosystem, say.

    Raises:
        OSError: the folder is not there.
    """
    folder.stat()
    return sorted(path for path in folder.rglob("*.*") if path.suffix in (".json", ".zip"))


def _make(folder: Path, made: Path) -> None:
    """Write the index; what cannot be read is noted in it."""
    with closing(sqlite3.connect(made)) as index:
        # Made anew after a crash, so that nothing has to be safe while it is made.
        index.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE advisory (ecosystem TEXT, package TEXT, id TEXT, body BLOB);"
            "CREATE TABLE broken (name TEXT);"
        )
        rows: list[tuple[str, str, str, bytes]] = []
        for name, text in _texts(folder):
            try:
                if text is None or len(text) > MOST_BYTES:
                    raise ValueError  # noqa: TRY301 - told as what cannot be decoded is
                read = read_advisory(text)
            except (ValueError, RecursionError):
                index.execute("INSERT INTO broken VALUES (?)", (shown(name),))
                continue
            rows += [
                (ecosystem, package, advisory.id, _ENCODER.encode(advisory))
                for (ecosystem, package), advisory in read.items()
            ]
            if len(rows) >= _BATCH:
                index.executemany("INSERT INTO advisory VALUES (?, ?, ?, ?)", rows)
                rows.clear()
        index.executemany("INSERT INTO advisory VALUES (?, ?, ?, ?)", rows)
        index.execute("CREATE INDEX by_package ON advisory (ecosystem, package, id)")
        index.commit()


def _texts(folder: Path) -> Iterator[tuple[str, bytes | None]]:
    """Each document with its name; None where it cannot be read."""
    for path in _documents(folder):
        if path.suffix == ".json":
            with path.open("rb") as file:
                yield str(path.relative_to(folder)), file.read(MOST_BYTES + 1)
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.filename.endswith(".json"):
                        name = f"{path.relative_to(folder)}:{member.filename}"
                        yield name, _member(archive, member)
        except zipfile.BadZipFile:
            yield str(path.relative_to(folder)), None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    try:
        with archive.open(member) as file:
            return file.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):  # broken, encrypted, unknown
        return None
