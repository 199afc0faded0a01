"""Where artifacts and package caches lie, shared by processes, bounded, and whole after a crash.

    artifacts/ID/made/        an artifact with its `artifact.json`, complete from its first moment
    artifacts/ID/part-…/      one in the making, or what a crash left of it
    artifacts/scratch-…/      where a script runs
    packages/KEY/made/        packages that builds of one origin fetched, or a Yarn or a pnpm

Whoever makes or uses one holds a lock on its folder, which ends with the process; so nothing has to
be mended after a crash: a part is made anew, and one that nobody holds is swept.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from connectory.building import durable
from connectory.kernel.locks import locked, locked_at_once

_POLL_SECONDS: Final = 0.05
_MADE: Final = "made"
#: How the name of what is in the making begins; the rest is made up.
PART: Final = "part-"
_SIZE: Final = "size"
#: Builds that go beyond have no good reason; Python and the kernel have limits near.
_LONGEST_PATH: Final = 3_000
_DEEPEST: Final = 200


class Entry(Struct, frozen=True):
    """One artifact or package cache, for the sweep."""

    used_at: float
    size: int
    folder: Path
    is_artifact: bool


class Store:
    """The folder of builds; may be used in any thread and by many processes."""

    def __init__(
        self, folder: Path, sync: Callable[[Path], None] = durable.sync_filesystem
    ) -> None:
        """Keep all in a folder; `sync` waits until what was written there is on the disk."""
        self._sync = sync
        self._artifacts = folder / "artifacts"
        self._packages = folder / "packages"
        for each in (folder, self._artifacts, self._packages):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def artifact(self, key: str) -> Path | None:
        """The folder of an artifact, marked as used now; None where it is not made."""
        made = self._artifacts / key / _MADE
        try:
            os.utime(made)
        except FileNotFoundError:
            return None
        return made

    @contextlib.contextmanager
    def making(self, key: str, waiting: Callable[[], None]) -> Iterator[Path | None]:
        """A new folder to make an artifact in, which `keep` is given; None where it is made.

        Others that make the same wait, and call `waiting` meanwhile, which may raise.
        """
        with locked(self._artifacts / key, fcntl.LOCK_EX, waiting) as entry:
            if (entry / _MADE).exists():
                yield None
                return
            for left in entry.iterdir():
                remove(left)
            part = Path(tempfile.mkdtemp(prefix=PART, dir=entry))
            try:
                yield part
            finally:
                if part.exists():
                    remove(part)

    def keep(self, key: str, folder: Path) -> Path:
        """Let a folder be an artifact from now on; where it is now.

        Its files are on the disk before its name is: a power cut leaves no half artifact.
        """
        (folder / _SIZE).write_text(str(size_of(folder)))
        entry = self._artifacts / key
        made = entry / _MADE
        self._sync(folder)
        folder.rename(made)
        os.utime(made)
        durable.sync_folder(entry)
        return made

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder, which is gone when the block ends; what a crash leaves of it is swept."""
        key = f"scratch-{os.urandom(16).hex()}"
        try:
            with self.making(key, lambda: None) as part:
                assert part is not None  # noqa: S101 - nobody else has this key
                yield part
        finally:
            _remove_unused(self._artifacts / key)

    @contextlib.contextmanager
    def packages(self, key: str, waiting: Callable[[], None]) -> Iterator[Path]:
        """The packages of an origin; they are not swept until the block ends."""
        with locked(self._packages / key, fcntl.LOCK_SH, waiting) as entry:
            made = entry / _MADE
            made.mkdir(mode=0o700, exist_ok=True)
            os.utime(made)
            try:
                yield made
            finally:
                try:
                    size = size_of(made)
                except TooDeep:
                    remove(made)
                    size = 0
                aside = entry / f"{_SIZE}-{os.getpid()}-{time.monotonic_ns()}"
                aside.write_text(str(size))
                aside.rename(entry / _SIZE)

    def sweep(self, in_use: set[str], most_bytes: int, spared: float) -> None:
        """Remove what crashes left, and what was not used for longest beyond a limit.

        Artifacts in use stay, and what was used in the last `spared` seconds.
        """
        total = 0
        now = time.time()
        for entry in sorted(self._entries(), key=lambda each: each.used_at, reverse=True):
            total += entry.size
            stays = entry.is_artifact and entry.folder.name in in_use
            if entry.size and (stays or now - entry.used_at < spared or total <= most_bytes):
                self._sweep_parts(entry)
            elif _remove_unused(entry.folder):
                total -= entry.size

    def _sweep_parts(self, entry: Entry) -> None:
        def parts() -> list[Path]:
            if entry.is_artifact:
                return [each for each in entry.folder.iterdir() if each.name != _MADE]
            return list((entry.folder / _MADE).glob(f"{PART}*"))

        if parts():
            with locked_at_once(entry.folder) as ours:
                for each in parts() if ours else []:
                    remove(each)

    def _entries(self) -> Iterator[Entry]:
        for folder in (self._artifacts, self._packages):
            for entry in folder.iterdir():
                size = used_at = 0.0
                with contextlib.suppress(FileNotFoundError, ValueError):
                    made = entry / _MADE
                    used_at = made.stat().st_mtime
                    is_artifact = folder is self._artifacts
                    size = int((made if is_artifact else entry).joinpath(_SIZE).read_text())
                yield Entry(used_at, int(size), entry, folder is self._artifacts)


class TooDeep(Exception):
    """Folders lie so deep in each other that they cannot be looked at."""


def size_of(folder: Path) -> int:
    """Bytes of disk below a folder, as far as they are there; folders are made readable.

    Raises:
        TooDeep: what is there cannot be told.
    """
    total = 0
    root = os.fspath(folder)
    pending = [root]
    while pending:
        here = pending.pop()
        if len(here) > _LONGEST_PATH or here.count("/") - root.count("/") > _DEEPEST:
            raise TooDeep(here[:200])
        for each in _entries_of(here):
            with contextlib.suppress(OSError):
                facts = each.stat(follow_symlinks=False)
                total += max(facts.st_blocks * 512, 512)
                if stat.S_ISDIR(facts.st_mode):
                    pending.append(each.path)
    return total


def _entries_of(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder, whose modes are no obstacle where it is ours; nothing where it went."""
    for _ in range(2):
        try:
            with os.scandir(folder) as found:
                return list(found)
        except PermissionError:
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o755)  # noqa: PTH101, S103 - as in `open_up`
        except OSError:
            break
    return []


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it, whatever its owner made of its modes and depth."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        open_up(path)
        command = ["/bin/rm", "-rf", "--", str(path)]  # it goes to any depth
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - a path of ours


def open_up(folder: Path) -> None:
    """Let us enter, read and change every folder below one; links are not followed."""
    pending = [os.fspath(folder)]
    while pending:
        here = pending.pop()
        with contextlib.suppress(OSError):
            os.chmod(here, 0o755)  # noqa: PTH101, S103 - text is faster here; its parent is 0700
            with os.scandir(here) as found:
                pending += [each.path for each in found if each.is_dir(follow_symlinks=False)]


def _remove_unused(folder: Path) -> bool:
    with locked_at_once(folder) as ours:
        if ours:
            made = folder / _MADE
            if made.exists():
                # Under another name first: nobody finds half an artifact.
                made.rename(folder / f"{PART}gone")
            remove(folder)
    return ours
