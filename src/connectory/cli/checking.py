"""What `connectory validate --all` does: the checks of a publish, on a folder of this machine."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from connectory.kernel.clock import system_clock
from connectory.settings import Settings
from connectory.specification import Reading
from connectory.staging.checks import Check, Result, Source, checks


def made_checks(environment: Mapping[str, str]) -> tuple[Check, ...]:
    """The checks as a server with these settings has them.

    Raises:
        SettingError: a setting cannot be read.
        PolicyError: the policy file cannot be used.
    """
    kept = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(kept, "connectory", "checks")
    return checks(Settings.load(environment), system_clock, cache, environment)


def results_of(made: Sequence[Check], root: Path, reading: Reading) -> tuple[Result, ...]:
    """What the checks say of a tree; nothing where its connect.yaml is not valid."""
    if reading.specification is None:
        return ()
    source = Source(root=root, specification=reading.specification)
    return tuple(check.run(source) for check in made)


@contextlib.contextmanager
def published(folder: Path) -> Iterator[Path]:
    """The tree that a publish of a folder would see: without what git ignores.

    A secret in a `.env` that is never committed is where it belongs. Outside of git the folder
    itself is the tree.
    """
    names = _committed(folder)
    if names is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="connectory-validate-") as made:
        root = Path(os.path.realpath(made))
        for name in names:
            _copy(folder / name, root / name)
        _drop_links_out(root, names)
        yield root


def _copy(original: Path, copy: Path) -> None:
    """A file or a link as it is; a submodule is a folder here, and empty in a publish."""
    if original.is_symlink():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(original.readlink())
    elif original.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(original, copy)
        except OSError:  # the folder for what is temporary is on another disk
            shutil.copyfile(original, copy)


def _drop_links_out(root: Path, names: Sequence[str]) -> None:
    """Take out what leads out of the tree, as a fetch does; until nothing leads out any more."""
    links = [root / name for name in names if (root / name).is_symlink()]
    while True:
        out = [link for link in links if not Path(os.path.realpath(link)).is_relative_to(root)]
        if not out:
            return
        for link in out:
            link.unlink()
        links = [link for link in links if link not in out]


def _committed(folder: Path) -> list[str] | None:
    """The files that git has or would add; None where the folder is in no work tree."""
    command = (
        *("git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--deduplicate"),
        *("--cached", "--others", "--exclude-standard"),
    )
    try:
        # Our own words, and git from where its user has it.
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603
    except OSError:
        return None
    if done.returncode:
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
