"""The tree of a commit: what is in it, checked, and written to a folder without git's help.

Git's own checkout is not used: it knows filters, attributes, hooks and submodules, and this needs
none of them. Files are written as their bytes are stored. A symbolic link is made where it leads
to a place inside the tree; any other is left out. A submodule becomes an empty folder.
"""

import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from connectory.sources.model import Limits, TreeRefused

_LINK = b"120000"
_SUBMODULE = b"160000"
_EXECUTABLE = b"100755"

_LONGEST_PATH = 1024
_LONGEST_NAME = 255
_DEEPEST = 64
_LONGEST_LINK = 4096
_MOST_LINKS = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the listing of a tree: not a folder, which git does not list."""

    mode: bytes
    object: bytes
    size: int
    path: bytes

    @property
    def has_content(self) -> bool:
        """Whether its object is one of this repository: not that of a submodule."""
        return self.mode != _SUBMODULE

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.mode not in (_SUBMODULE, _LINK)


def entries(listing: Iterable[bytes]) -> Iterator[Entry]:
    """Read what `git ls-tree -r -l -z` prints, piece by piece.

    Raises:
        TreeRefused: it is no such listing.
    """
    rest = b""
    for piece in listing:
        *lines, rest = (rest + piece).split(b"\0")
        if len(rest) > 2 * _LONGEST_PATH + 256:
            raise TreeRefused("the repository has a path that is too long")
        for line in lines:
            facts, _, path = line.partition(b"\t")
            mode, _, name, size = facts.split()
            yield Entry(mode, name, int(size) if size.isdigit() else 0, path)


def listing(found: Iterable[Entry]) -> bytes:
    """Spell entries as `entries` reads them."""
    return b"".join(
        b"%b - %b %d\t%b\0" % (each.mode, each.object, each.size, each.path) for each in found
    )


def checked(found: Iterable[Entry], limits: Limits) -> Iterator[Entry]:
    """Hand entries on as long as the tree is one that is taken.

    Raises:
        TreeRefused: it has too much, or a name that no file may have.
    """
    total = links = 0
    for files, entry in enumerate(found, start=1):
        total += entry.size
        links += entry.mode == _LINK
        if files > limits.files:
            raise TreeRefused(f"the repository has more than {limits.files} files")
        if links > _MOST_LINKS:
            raise TreeRefused(f"the repository has more than {_MOST_LINKS} symbolic links")
        if entry.size > limits.file_bytes:
            raise TreeRefused(
                f"{shown(entry.path)} has {entry.size} bytes; a file may have {limits.file_bytes}"
            )
        if total > limits.tree_bytes:
            raise TreeRefused(f"the files of the repository have over {limits.tree_bytes} bytes")
        _check_path(entry.path)
        yield entry


def shown(path: bytes) -> str:
    """A path of a repository, for a message."""
    text = path.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:200])


def _check_path(path: bytes) -> None:
    names = path.split(b"/")
    if len(path) > _LONGEST_PATH or len(names) > _DEEPEST:
        raise TreeRefused(f"the path {shown(path)} is too long or too deep")
    for name in names:
        # .git in every spelling that some file system takes for it
        plain = name.lower().rstrip(b" .")
        if name in (b"", b".", b"..") or plain in (b".git", b"git~1") or len(name) > _LONGEST_NAME:
            raise TreeRefused(f"the repository has a file that may not be there: {shown(path)}")


def may_be_path(path: str) -> bool:
    """Whether a path can be that of a file of a tree that is taken, for `git cat-file`."""
    if len(path) > _LONGEST_PATH or "\n" in path or "\0" in path:
        return False
    return all(name not in ("", ".", "..") for name in path.split("/"))


def write(target: Path, found: Iterable[Entry], contents: "Contents") -> None:
    """Write the entries of a tree into an empty folder.

    `contents` has the objects of all that are not submodules, in the order of `found`.

    Raises:
        TreeRefused: two names are one to this file system, or a file stands where a folder is.
    """
    root = os.fsencode(target)
    made = {b""}
    links: list[tuple[bytes, bytes]] = []
    try:
        for entry in found:
            if not entry.has_content:
                _make_folder(root, entry.path, made)
                continue
            _make_folder(root, posixpath.dirname(entry.path), made)
            if entry.mode == _LINK:
                links.append((entry.path, contents.whole(entry, _LONGEST_LINK)))
            else:
                _write_file(root, entry, contents)
        _make_links(root, links)
    except (FileExistsError, NotADirectoryError):
        raise TreeRefused(
            f"the repository has two files of one name: {shown(entry.path)}"
        ) from None


def _make_folder(root: bytes, path: bytes, made: set[bytes]) -> None:
    if path in made:
        return
    parent = posixpath.dirname(path)
    _make_folder(root, parent, made)
    os.mkdir(root + b"/" + path, 0o755)  # noqa: PTH102 - names are bytes
    made.add(path)


def _write_file(root: bytes, entry: Entry, contents: "Contents") -> None:
    mode = 0o755 if entry.mode == _EXECUTABLE else 0o644
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(root + b"/" + entry.path, flags, mode)
    try:
        for piece in contents.pieces(entry):
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _make_links(root: bytes, links: list[tuple[bytes, bytes]]) -> None:
    """Make the links that stay inside; they come last, so that nothing is written through one."""
    made = []
    for path, goal in links:
        if leads_inside(path, goal):
            os.symlink(goal, root + b"/" + path)  # noqa: PTH211 - names are bytes
            made.append(root + b"/" + path)
    # A link may lead out by way of another one, and one that goes may be on the way of others.
    real_root = os.path.realpath(root)
    while True:
        inside = [link for link in made if _is_below(os.path.realpath(link), real_root)]
        if len(inside) == len(made):
            return
        for link in set(made).difference(inside):
            os.unlink(link)  # noqa: PTH108 - names are bytes
        made = inside


def leads_inside(path: bytes, goal: bytes) -> bool:
    """Whether a link at a path of the tree names a place inside it, by its words alone."""
    if not goal or b"\0" in goal or goal.startswith(b"/") or len(goal) > _LONGEST_LINK:
        return False
    depth = path.count(b"/")
    for name in goal.split(b"/"):
        if name == b"..":
            depth -= 1
        elif name not in (b"", b"."):
            depth += 1
        if depth < 0:
            return False
    return True


def _is_below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root + b"/")


class Contents:
    """The objects that `git cat-file --batch` prints, one after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._source = pieces
        self._held = b""
        self._at = 0

    def whole(self, entry: Entry, most: int) -> bytes:
        """The next object, or its first bytes where it has more than `most`."""
        held = b""
        for piece in self.pieces(entry):
            if len(held) <= most:
                held += piece
        return held

    def pieces(self, entry: Entry) -> Iterator[bytes]:
        """The next object.

        Raises:
            Damaged: it is not the one of this entry.
        """
        header = self._line()
        if header != b"%b blob %d" % (entry.object, entry.size):
            raise Damaged(f"{shown(entry.path)}: {header.decode(errors='replace')}")
        yield from self.next(entry.size)

    def size(self) -> int | None:
        """The size of the next object, which `next` gives; None where it is no file."""
        _, _, facts = self._line().partition(b" ")
        kind, _, size = facts.partition(b" ")
        return int(size) if kind == b"blob" else None

    def next(self, size: int) -> Iterator[bytes]:
        """The object whose line was read."""
        while size:
            piece = self._some(size)
            size -= len(piece)
            yield piece
        if self._some(1) != b"\n":
            raise Damaged("an object has another size than it says")

    def _line(self) -> bytes:
        while (end := self._held.find(b"\n", self._at)) < 0:
            self._held = self._held[self._at :] + self._more()
            self._at = 0
        line = self._held[self._at : end]
        self._at = end + 1
        return line

    def _some(self, most: int) -> bytes:
        if self._at == len(self._held):
            self._held = self._more()
            self._at = 0
        piece = self._held[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _more(self) -> bytes:
        piece = next(self._source, b"")
        if not piece:
            raise Damaged("an object is missing")
        return piece


class Damaged(Exception):
    """A repository of the cache is not whole."""
