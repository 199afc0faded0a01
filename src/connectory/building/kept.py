"""What a build left, made fit to be kept: hostile code wrote it, and nothing of it runs any more.

Nothing here follows a link that the build made, without having looked where it leads.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from connectory.building.store import open_up, remove


class TooMuch(Exception):
    """What is to be kept would take more disk than it may."""


class Budget:
    """Bytes of disk that may still be written: links and holes make much out of little."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, path: str | Path) -> None:
        """Count a file or a folder with all in it, as it is when it is copied.

        Raises:
            TooMuch: it is more than what is left.
        """
        pending = [os.fspath(path)]
        while pending:
            here = pending.pop()
            facts = os.lstat(here)
            self._left -= max(facts.st_size, _LEAST_BYTES)
            if self._left < 0:
                raise TooMuch
            if stat.S_ISDIR(facts.st_mode):
                with os.scandir(here) as found:
                    pending += [each.path for each in found]


#: What any file takes.
_LEAST_BYTES: Final = 4096


def put_modules_in(folder: Path, places: Mapping[str, Path], budget: Budget) -> None:
    """Put copies of modules in `node_modules` where links lead to them out of the folder.

    `places` has the laid out modules: the path that the build saw → where it is here.

    Raises:
        TooMuch: the copies would be more than the budget.
    """
    roots = [(seen, place.resolve()) for seen, place in places.items()]
    _put(folder, folder.resolve(), roots, (folder.resolve(),), budget)


def _put(
    folder: Path, origin: Path, roots: "_Roots", above: tuple[Path, ...], budget: Budget
) -> None:
    """Do so in a folder that was copied from another, where its links are right.

    `above` are the modules that are being copied: one that needs itself finds itself there.
    """
    for link in _links(folder / "node_modules"):
        target = _target(link, origin / link.relative_to(folder), roots)
        if target is None or target.is_relative_to(origin):
            continue
        if not any(target.is_relative_to(root) for _, root in roots):
            continue
        link.unlink()
        if target in above:
            continue
        budget.take(target)
        if target.is_dir():
            shutil.copytree(target, link, symlinks=True)
            _put(link, target, roots, (*above, target), budget)
        elif target.is_file():
            shutil.copy(target, link)


def _links(modules: Path) -> Iterator[Path]:
    """The links in a `node_modules`, and in its folders of scopes."""
    if modules.is_symlink() or not modules.is_dir():
        return
    for each in list(modules.iterdir()):
        if each.is_symlink():
            yield each
        elif each.name.startswith("@") and each.is_dir():
            yield from (inner for inner in list(each.iterdir()) if inner.is_symlink())


def _target(link: Path, was: Path, roots: "_Roots") -> Path | None:
    """Where a link leads on this machine, when it was where it was made; None: to nothing."""
    goal = str(link.readlink())
    for seen, place in roots:
        if goal == seen or goal.startswith(f"{seen}/"):
            goal = f"{place}{goal[len(seen) :]}"
    target = Path(os.path.realpath(was.parent / goal))
    return target if target.exists() else None


#: The path that a build saw of a module, and where it is on this machine.
_Roots = list[tuple[str, Path]]


def make_plain(folder: Path, budget: Budget, *, served: bool) -> None:
    """Leave only files, folders and links, which everybody may read and nobody gains by.

    Files that have other names too get an inode of their own: nobody else writes to them then.
    Where the folder is `served`, links that lead out of it are removed.

    Raises:
        TooMuch: these would be more than the budget.
    """
    open_up(folder)
    inside = folder.resolve()
    pending = [os.fspath(folder)]
    while pending:
        with os.scandir(pending.pop()) as found:
            entries = list(found)
        for each in entries:
            mode = each.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                pending.append(each.path)
            elif stat.S_ISLNK(mode):
                if served and not _leads_inside(Path(each.path), inside):
                    os.unlink(each.path)  # noqa: PTH108 - text is faster here
            elif stat.S_ISREG(mode):
                _make_plain_file(Path(each.path), mode, budget)
            else:
                remove(Path(each.path))


def _make_plain_file(path: Path, mode: int, budget: Budget) -> None:
    wanted = 0o755 if mode & stat.S_IXUSR else 0o644
    if stat.S_IMODE(mode) != wanted:
        path.chmod(wanted)
    if path.stat(follow_symlinks=False).st_nlink > 1:
        budget.take(path)
        aside = path.with_name(f".{path.name[:200]}.own")
        if aside.is_symlink() or aside.exists():
            remove(aside)
        shutil.copy(path, aside, follow_symlinks=False)
        aside.rename(path)


def _leads_inside(link: Path, folder: Path) -> bool:
    target = Path(os.path.realpath(link))
    return target.is_relative_to(folder) and target.exists()
