"""Locks on folders that several processes share; a lock ends with the process that holds it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.01


@contextlib.contextmanager
def locked(folder: Path, mode: int, waiting: Callable[[], None]) -> Iterator[Path]:
    """Hold a lock on a folder, which is made if need be, until the block ends.

    `mode` is fcntl.LOCK_SH or LOCK_EX. `waiting` is called again and again while others hold it;
    what it raises ends the wait.
    """
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            while not _taken(descriptor, mode):
                waiting()
                time.sleep(_POLL_SECONDS)
            if is_at(folder, descriptor):
                yield folder
                return
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def locked_at_once(folder: Path) -> Iterator[bool]:
    """Whether nobody holds a folder, which is locked then until the block ends."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        yield _taken(descriptor, fcntl.LOCK_EX) and is_at(folder, descriptor)
    finally:
        os.close(descriptor)


def is_at(folder: Path, descriptor: int) -> bool:
    """Whether an open folder is still the one of that name."""
    try:
        there = folder.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _taken(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
