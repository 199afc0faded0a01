"""Development dependencies of an npm build, removed by what npm wrote down of them.

npm keeps what it installed in `node_modules/.package-lock.json`, where each package is marked that
nothing but development needs. `npm prune` finds the same out again, in seconds of a processor.
"""

import contextlib
import os
import re
import stat
from collections import defaultdict
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from connectory.building.store import remove

#: What npm has written of what lies in the folder beside it (since version 7).
RECORD: Final = "node_modules/.package-lock.json"
_MOST_BYTES: Final = 64 * 2**20
#: Where a package lies: in a `node_modules` that may lie in other packages or folders.
_PLACE: Final = re.compile(r"(?:[^/]+/)*node_modules/(?:@[^/]+/)?[^/]+")
_FORMATS: Final = (2, 3)


class _Package(Struct):
    """What is written of a package, as far as it is asked for here."""

    dev: bool = False
    extraneous: bool = False


class _Record(Struct, rename="camel"):
    lockfile_version: int
    packages: dict[str, _Package]


_DECODER: Final = msgspec.json.Decoder(_Record)


def remove_development(folder: Path) -> int | None:
    """Remove the packages that only development needs, as `npm prune --omit=dev` does.

    How many these were; None, and nothing was removed, where npm left no record that can be read.
    The record may be a lie of what was built: nothing outside of the folder is removed.
    """
    record = _read(folder)
    if record is None:
        return None
    root = folder.resolve()
    removed: dict[Path, set[str]] = defaultdict(set)
    for path, package in record.packages.items():
        if not (package.dev or package.extraneous) or not _lies_inside(root, path):
            continue
        place = root / path
        if place.is_symlink() or place.exists():
            remove(place)
        modules = root / path[: path.rindex("node_modules/") + len("node_modules")]
        removed[modules].add(str(place.relative_to(modules)))
        if place.parent != modules:
            with contextlib.suppress(OSError):
                place.parent.rmdir()  # of a scope, of which others may be left
    for modules, names in removed.items():
        _remove_programs(modules / ".bin", names)
    # It is not true any more; npm does without.
    (root / RECORD).unlink(missing_ok=True)
    return sum(map(len, removed.values()))


def _read(folder: Path) -> _Record | None:
    """What npm wrote down; None where it did not, or something else is there."""
    try:
        descriptor = os.open(folder / RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST_BYTES:
                return None
            record = _DECODER.decode(file.read(_MOST_BYTES))
    except (OSError, msgspec.MsgspecError, UnicodeError):
        return None
    if (folder / "node_modules").is_symlink() or record.lockfile_version not in _FORMATS:
        return None
    return record


def _lies_inside(root: Path, path: str) -> bool:
    """Whether a path is that of a package below a folder, and no link is on the way there."""
    if not _PLACE.fullmatch(path) or not {".", ".."}.isdisjoint(path.split("/")) or "\0" in path:
        return False
    parent = (root / path).parent
    return os.path.realpath(parent) == os.fspath(parent)


def _remove_programs(binaries: Path, packages: set[str]) -> None:
    """Remove the links in a folder of programs that lead to packages which went."""
    if binaries.is_symlink() or not binaries.is_dir():
        return
    for link in list(binaries.iterdir()):
        if not link.is_symlink():
            continue
        name, _, rest = str(link.readlink()).removeprefix("../").partition("/")
        if name.startswith("@"):
            name = f"{name}/{rest.partition('/')[0]}"
        if name in packages:
            link.unlink()
    with contextlib.suppress(OSError):
        binaries.rmdir()
