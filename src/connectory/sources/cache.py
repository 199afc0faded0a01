"""Commits that were fetched, kept in a folder that several processes share.

    entries/KEY/repository/   a bare repository with one commit, complete from its first moment
    entries/KEY/part-…/       one in the making, or what a crash left of it
    private/…/                folders of one use: trees, keys of ssh

A key is the hash of an address, a credential and a commit, so that nobody finds what was fetched
with another's credential. Entries never change. Whoever uses an entry holds a shared lock on its
folder, whoever makes or removes it an exclusive one; locks end with their process, so after a crash
there is nothing to mend: a part is made anew, and a folder that nobody holds is swept.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from connectory.kernel.locks import is_at, locked, locked_at_once
from connectory.sources.model import FetchTimeout

_POLL_SECONDS = 0.01
_REPOSITORY = "repository"
#: An entry without a repository is removed when nobody has touched it for so long.
_EMPTY_SECONDS = 3600.0


class Cache:
    """Entries by key, least recently used swept first."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._entries = folder / "entries"
        self._private = folder / "private"
        self._most = most_bytes
        self._added = 0
        self._adding = threading.Lock()
        for each in (folder, self._entries, self._private):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def using(self, key: str, *, deadline: float) -> Iterator[Path | None]:
        """The repository of a key, which stays until the block ends; None where there is none."""
        with locked(self._entries / key, fcntl.LOCK_SH, _until(deadline)) as entry:
            repository = entry / _REPOSITORY
            if not repository.exists():
                yield None
                return
            os.utime(entry)
            yield repository

    def has(self, key: str) -> bool:
        """Whether there is a repository of a key just now; it counts as used."""
        try:
            (self._entries / key / _REPOSITORY).stat()
            os.utime(self._entries / key)
        except FileNotFoundError:
            return False
        return True

    def fill(self, key: str, make: Callable[[Path], None], *, deadline: float) -> None:
        """Let `make` fill a new folder, and keep that as the repository of a key.

        Who comes second waits, and finds it made.
        """
        with locked(self._entries / key, fcntl.LOCK_EX, _until(deadline)) as entry:
            if (entry / _REPOSITORY).exists():
                return
            for part in entry.iterdir():
                _remove(part)
            part = Path(tempfile.mkdtemp(prefix="part-", dir=entry))
            try:
                make(part)
                size = size_of(part)
                (part / "size").write_text(str(size))
                part.rename(entry / _REPOSITORY)
            finally:
                if part.exists():
                    _remove(part)
        with self._adding:
            self._added += size
            full = self._added > self._most // 16
            if full:
                self._added = 0
        if full:
            self.sweep()

    def drop(self, key: str) -> None:
        """Remove the repository of a key, because it is damaged."""
        self._remove_unused(self._entries / key)

    @contextlib.contextmanager
    def private_folder(self) -> Iterator[Path]:
        """A new folder that only this process's user can enter, removed when the block ends."""
        while True:
            folder = Path(tempfile.mkdtemp(dir=self._private))
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue  # a sweeper was faster than our lock
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(folder, descriptor):
                break
            os.close(descriptor)
        try:
            yield folder
        finally:
            _remove(folder)
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove what dead processes left, and the least recently used entries beyond the limit."""
        for folder in self._private.iterdir():
            with locked_at_once(folder) as ours:
                if ours:
                    _remove(folder)
        entries = sorted(_sizes(self._entries), reverse=True)
        total = 0
        now = time.time()
        for used_at, size, entry in entries:
            total += size
            is_too_much = total > self._most or (not size and now - used_at > _EMPTY_SECONDS)
            if is_too_much and self._remove_unused(entry):
                total -= size

    def _remove_unused(self, entry: Path) -> bool:
        with locked_at_once(entry) as ours:
            if ours:
                # Under another name first: no reader finds half a repository.
                with self.private_folder() as folder:
                    entry.rename(folder / "gone")
        return ours


def key_of(*parts: str) -> str:
    """The key of what is told by some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, as far as they are there."""
    total = 0
    pending = [os.fspath(folder)]
    while pending:
        with contextlib.suppress(FileNotFoundError), os.scandir(pending.pop()) as found:
            for each in found:
                if each.is_dir(follow_symlinks=False):
                    pending.append(each.path)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        total += each.stat(follow_symlinks=False).st_size
    return total


def _sizes(entries: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was used last, and its size; 0 where it has no repository."""
    for entry in entries.iterdir():
        with contextlib.suppress(FileNotFoundError):
            used_at = entry.stat().st_mtime
            try:
                size = int((entry / _REPOSITORY / "size").read_text())
            except (FileNotFoundError, ValueError):
                size = 0
            yield used_at, size, entry


def _remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; what is gone already is no fault."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _until(deadline: float) -> Callable[[], None]:
    """What ends a wait for a lock at an instant of `time.monotonic`."""

    def waiting() -> None:
        if time.monotonic() > deadline:
            raise FetchTimeout("another fetch of this repository took too long; try again later")

    return waiting
