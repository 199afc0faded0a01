"""A checked-out tree, read with care: within bounds, and never out of it.

The tree is hostile. A symbolic link that leads out of it is as if it were not there, and what is no
ordinary file (a pipe, a device) is never opened.
"""

import errno
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 2**20
#: Of a folder with more entries the first are looked at.
_MAX_ENTRIES: Final = 10_000
_NOTHING_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class OutsideTree(Exception):
    """A path leads out of the tree by a symbolic link."""


class FileTooLarge(Exception):
    """A file has more bytes than are read."""


class Tree:
    """The files of a folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))

    def read(self, *parts: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """The bytes of an ordinary file; None where there is none.

        Raises:
            OutsideTree: a link on the way leads out.
            FileTooLarge: there are more than `max_bytes`.
            OSError: it cannot be read.
        """
        place = self._resolved(parts)
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise FileTooLarge(f"more than {max_bytes:,} bytes")
        return content

    def has(self, *parts: str) -> bool:
        """Whether something has this name, be it a link that leads nowhere.

        Raises:
            OutsideTree: a link on the way leads out.
        """
        return os.path.lexists(os.path.join(self._resolved(parts[:-1]), parts[-1]))  # noqa: PTH118

    def names(self, *parts: str) -> list[str] | None:
        """Names in a folder, sorted, the first thousands at most; None where there is no folder.

        Raises:
            OutsideTree: a link on the way leads out.
            OSError: it cannot be read.
        """
        place = self._resolved(parts)
        try:
            with os.scandir(place) as entries:
                return sorted(entry.name for entry in islice(entries, _MAX_ENTRIES))
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise

    def folders(self) -> Iterator[str]:
        """The names of the folders at the top, hidden ones and links aside."""
        with os.scandir(self.root) as entries:
            for entry in islice(entries, _MAX_ENTRIES):
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def is_exact(self, name: str) -> bool:
        """Whether a name at the top that leads somewhere is spelled so, on any file system."""
        if not self.has(name.swapcase()) or name.swapcase() == name:
            return True
        with os.scandir(self.root) as entries:
            return any(entry.name == name for entry in entries)

    def _resolved(self, parts: tuple[str, ...]) -> str:
        place = os.path.realpath(self.root.joinpath(*parts))
        if not Path(place).is_relative_to(self.root):
            raise OutsideTree("/".join(parts))
        return place
