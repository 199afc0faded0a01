"""The files of a tree that checks look at: in a stable order, inside the tree, bounded in number.

What a tree has is hostile: symbolic links are never followed, and a folder of a hundred thousand
entries costs no more than the limit.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

#: How many entries of a tree are looked at.
MOST_ENTRIES: Final = 200_000
#: How deep.
MOST_DEPTH: Final = 64
#: Folders that are not the creator's source.
NOT_SOURCE: Final = frozenset({".git", "node_modules"})


class File(Struct, frozen=True):
    """A regular file of a tree: its path from the root, with `/`, and its bytes."""

    path: str
    size: int


class NotAllRead(Exception):
    """The tree has more, or is deeper, than is looked at, or cannot be read; the message says."""


def files(root: Path) -> Iterator[File]:
    """The regular files of a tree, folder by folder, each in the order of its names.

    Raises:
        NotAllRead: there is more than was given.
    """
    try:
        yield from _walked(root)
    except OSError as error:
        raise NotAllRead(f"the tree cannot be read: {error.strerror}") from None


def _walked(root: Path) -> Iterator[File]:
    seen = 0
    waiting = [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise NotAllRead(f"the tree is deeper than {MOST_DEPTH} folders")
        entries = []
        with os.scandir(root / folder) as listing:
            for entry in listing:
                seen += 1
                if seen > MOST_ENTRIES:
                    raise NotAllRead(f"the tree has more than {MOST_ENTRIES:,} files and folders")
                entries.append(entry)
        entries.sort(key=lambda entry: entry.name)
        for entry in entries:
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                continue
            if entry.is_file(follow_symlinks=False):
                yield File(path, entry.stat(follow_symlinks=False).st_size)
        # Last in, first out: reversed, so that folders come in the order of their names.
        waiting += [
            (f"{folder}{entry.name}/", depth + 1)
            for entry in reversed(entries)
            if entry.name not in NOT_SOURCE and entry.is_dir(follow_symlinks=False)
        ]


def read(root: Path, path: str, most: int) -> bytes | None:
    """The bytes of a regular file, at most `most` + 1; None where it is none or cannot be read.

    The last step of the path is not followed where it is a symbolic link; those before it came
    from `files`, which follows none.
    """
    try:
        # Not blocking: a name that has become a pipe in the meantime never holds us.
        descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(most + 1)
