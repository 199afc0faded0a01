"""What was written reaches the disk, so that a power cut leaves it whole or not at all."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path


def sync_filesystem(folder: Path) -> None:
    """Wait until all that was written on a folder's filesystem is on the disk.

    An artifact has thousands of files: to ask for each would take many times as long.

    Raises:
        OSError: the disk does not take it.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()  # not Linux
        return
    with _opened(folder) as descriptor:
        if syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OSError: the disk does not take it.
    """
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
