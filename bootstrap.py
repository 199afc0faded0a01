"""Set up Connectory in a checkout and run it: `python3 bootstrap.py demo`.

For a machine with nothing but Python and git. Only the standard library is used here, everything
that is installed goes into `.venv` beside this file, and the system's Python stays as it was.
`make demo` is the same as `python3 bootstrap.py demo`, and so on for every other command.
"""

from __future__ import annotations

import sys

# Before any other import, and in syntax that Python 3.8 still reads: an old Python has to get this
# sentence, not the traceback of whatever it lacks first.
if sys.version_info < (3, 11):  # noqa: UP036 (nothing has looked at the version yet)
    sys.exit(
        "bootstrap: Connectory needs Python 3.11 or newer, and {} is Python {}.{};"
        " call a newer one by its name, such as: python3.12 bootstrap.py demo".format(
            sys.executable, *sys.version_info[:2]
        )
    )

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LOCKS = ROOT / "requirements"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "connectory.json"  # inside .venv, so that it goes when .venv goes
WORKSHOP = ROOT / ".bootstrap"
LOG = WORKSHOP / "install.log"
PROMPT = "\n$ "  # starts each command in the log

# The interpreter itself when this runs inside a virtual environment, which may be the very one
# that has to be made anew.
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)

# Settings that would send an install somewhere else than into .venv.
MISLEADING = frozenset(
    {
        "PIP_PREFIX",
        "PIP_REQUIRE_HASHES",  # this checkout itself has no hash
        "PIP_ROOT",
        "PIP_TARGET",
        "PIP_USER",
        "PYTHONHOME",
        "PYTHONPATH",
        "UV_REQUIRE_HASHES",
        "UV_SYSTEM_PYTHON",
    }
)
UNREACHABLE = re.compile(
    r"name resolution|failure resolving|name or service not known|dns error"
    r"|failed to establish a new connection|connection refused|network is unreachable"
    r"|error sending request|timed out",
    re.IGNORECASE,
)


class BootstrapError(Exception):
    """What is missing or went wrong, in one line for a person."""


@dataclasses.dataclass(frozen=True)
class Command:
    """One word of the command line: what it needs installed, what it runs, what help says."""

    lock: str
    run: Callable[[Sequence[str]], int]
    text: str


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Set up Connectory in this checkout and run it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:<15}{command.text}" for name, command in COMMANDS.items()),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command", help="one of those below")
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="...", help="handed on to what the command runs"
    )
    chosen = parser.parse_args(arguments)
    command = COMMANDS[chosen.command]
    try:
        require_git()
        install(command.lock)
        return command.run(chosen.rest)
    except (BootstrapError, OSError) as error:
        say(f"bootstrap: {error}")
        return 1
    except KeyboardInterrupt:
        say("bootstrap: interrupted")
        return 130


def require_git() -> None:
    """Refuse to go on without git: a connector is a tag of a git repository."""
    if not shutil.which("git"):
        raise BootstrapError("git is missing; on Debian and Ubuntu: apt install git")


def say(text: str) -> None:
    """Tell a person what goes on; standard output belongs to what is run."""
    print(text, file=sys.stderr, flush=True)


# Installing


def install(lock: str) -> None:
    """Bring .venv to what a lock file says; next to free when it is there already."""
    if is_installed(lock):
        return
    WORKSHOP.mkdir(exist_ok=True)
    with one_at_a_time():
        if is_installed(lock):  # by the start that this one waited for
            return
        began = time.monotonic()
        say(f"Installing requirements/{lock}.txt into {VENV}; this may take a minute, once")
        LOG.write_text("", encoding="utf-8")
        prepare_venv()
        STATE.unlink(missing_ok=True)  # what is interrupted from here on starts over
        fill_venv(lock)
        record(lock)
        say(f"Installed in {time.monotonic() - began:.0f} s")


def is_installed(lock: str) -> bool:
    """Say whether the last install that finished brought what a lock file wants."""
    state = recorded()
    # The development set holds the runtime's packages in the same versions.
    return (
        state.get("lock") in {lock, "dev"}
        and state.get("fingerprint") == fingerprint(state["lock"])
        and is_in_place(state)
    )


def is_in_place(state: Mapping[str, str]) -> bool:
    """Say whether .venv is a finished one, of this Python and made where it is.

    One that came along with a copied or renamed checkout has scripts that name the old place.
    """
    return state.items() >= place().items() and PYTHON.exists()


def place() -> dict[str, str]:
    """Name what a virtual environment is bound to."""
    return {"python": sys.implementation.cache_tag, "root": str(ROOT)}


def recorded() -> dict[str, str]:
    """Return what the last finished install recorded."""
    try:
        return dict(json.loads(STATE.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}


def record(lock: str) -> None:
    """Record a finished install, in one step: there is never half of this file."""
    draft = STATE.with_suffix(".draft")
    state = {**place(), "lock": lock, "fingerprint": fingerprint(lock)}
    draft.write_text(json.dumps(state), encoding="utf-8")
    draft.replace(STATE)


def fingerprint(lock: str) -> str:
    """Name everything that decides what an install brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = (
        (LOCKS / f"{lock}.txt").read_text(encoding="utf-8"),
        (ROOT / "src" / "connectory" / "__init__.py").read_text(encoding="utf-8"),  # the version
        json.dumps(project, sort_keys=True),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one install run at a time: two terminals may well start at once."""
    with (WORKSHOP / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another install in this checkout")
            fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), True)  # an installer that outlives this keeps the lock
        yield


def prepare_venv() -> None:
    """Make .venv, or keep the one that is there when a finished install left it."""
    if is_in_place(recorded()):
        return
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    if not importlib.util.find_spec("venv"):
        raise BootstrapError(
            f"{BASE_PYTHON} lacks its venv module; on Debian and Ubuntu: apt install python3-venv"
        )
    if not logged([BASE_PYTHON, "-m", "venv", "--without-pip", str(VENV)]):
        raise BootstrapError(f"{VENV} could not be made: {failure()}")


def fill_venv(lock: str) -> None:
    """Install a lock file's packages and this checkout into .venv."""
    steps = (
        ["--require-hashes", "--no-deps", "-r", str(LOCKS / f"{lock}.txt")],
        ["--no-deps", "--no-build-isolation", "-e", "."],
    )
    for command in installers():
        if all(logged([*command, "--quiet", *step]) for step in steps):
            return
    raise BootstrapError(failure())


def installers() -> Iterator[list[str]]:
    """Give the commands that can install, the quickest first; the next is for when one fails."""
    uv = shutil.which("uv")
    if uv:
        # uv does not read pip's configuration (mirrors, certificates), so pip has the last word.
        yield [uv, "pip", "install", "--python", str(PYTHON)]
    if logged([str(PYTHON), "-m", "pip", "--version"]) or (
        importlib.util.find_spec("ensurepip") and logged([str(PYTHON), "-m", "ensurepip"])
    ):
        yield [str(PYTHON), "-m", "pip", "install"]
    elif importlib.util.find_spec("pip"):
        yield [BASE_PYTHON, "-m", "pip", "--python", str(PYTHON), "install"]
    elif not uv:
        yield [str(PYTHON), str(debian_pip() / "pip"), "install"]


def logged(command: Sequence[str], folder: Path = ROOT) -> bool:
    """Run a command of an install, with its output to the log; say whether it worked."""
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"{PROMPT}{shlex.join(command)}\n")
        log.flush()
        return not subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            close_fds=False,  # for the lock
            check=False,
        ).returncode


def failure() -> str:
    """Give the reason why the last command of an install failed, in one line."""
    text = LOG.read_text(encoding="utf-8", errors="replace").rpartition(PROMPT)[2]
    if UNREACHABLE.search(text):
        reason = "nothing could be fetched; is there a network?"
    else:
        lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
        errors = [line for line in lines if line.lower().startswith(("error", "e: "))]
        reason = (errors or lines or ["the install failed without a word"])[-1]
    return f"{reason} (the whole output: {LOG})"


# Not "update &&": one archive of several that does not answer is no reason to give up.
FETCH_PIP = """
apt-get --quiet "$@" update
apt-get --quiet "$@" download python3-pip-whl && dpkg-deb --extract python3-pip-whl_*.deb .
"""


def debian_pip() -> Path:
    """Fetch the wheel of pip from the archive of Debian or Ubuntu, which ship Python without pip.

    As any user and with nothing installed: apt has its lists and files in a folder of ours, and
    checks them by its keys. A wheel of pip runs as it is.
    """
    lack = (
        f"{BASE_PYTHON} has neither pip nor ensurepip (on Debian and Ubuntu: apt install"
        " python3-venv), and pip could not be fetched"
    )
    if not shutil.which("apt-get"):
        raise BootstrapError(lack)
    folder = WORKSHOP / "apt"
    shutil.rmtree(folder, ignore_errors=True)
    options = ["-o", "APT::Sandbox::User=root", "-o", "Dir::Cache::pkgcache="]
    for name, place_of in (("State::Lists", "lists"), ("Cache::Archives", "archives")):
        (folder / place_of / "partial").mkdir(parents=True)
        options += ["-o", f"Dir::{name}={folder / place_of}"]
    try:
        fetched = logged(["sh", "-c", FETCH_PIP, "sh", *options], folder)
        wheels = list(folder.glob("usr/share/python-wheels/pip-*.whl"))
        if not fetched or not wheels:
            raise BootstrapError(f"{lack}: {failure()}")
        return wheels[0].replace(WORKSHOP / wheels[0].name)
    finally:
        shutil.rmtree(folder)


# Running


def nothing(_: Sequence[str]) -> int:
    """Have installed."""
    return 0


def demo(rest: Sequence[str]) -> int:
    """Become the server with the demo's data, so that signals reach it and not this process."""
    os.chdir(ROOT)
    script = str(VENV / "bin" / "connectory")
    os.execv(script, [script, "serve", "--demo", *rest])


def module(*arguments: str) -> Callable[[Sequence[str]], int]:
    """Make a command that becomes a Python module at the root of the checkout."""

    def run(rest: Sequence[str]) -> int:
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", *arguments, *rest])

    return run


def docs(rest: Sequence[str]) -> int:
    """Build the documentation; a broken link fails the build."""
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")  # the theme's notice about its own future
    return module("mkdocs", "build", "--strict")(rest)


def check(_: Sequence[str]) -> int:
    """Run every check, also after one that failed, and name those that did."""
    checks = (
        ("ruff", "format", "--check", "."),
        ("ruff", "check", "."),
        ("mypy",),
        ("lint-imports",),
    )
    failed = []
    for name, *arguments in checks:
        say(f"$ {' '.join((name, *arguments))}")
        if subprocess.run([VENV / "bin" / name, *arguments], cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        raise BootstrapError(f"failed: {', '.join(failed)}")
    return 0


def lock_files(rest: Sequence[str]) -> int:
    """Write the lock files anew; --upgrade takes newer versions."""
    uv = shutil.which("uv") or str(WORKSHOP / "uv" / "bin" / "uv")
    if not Path(uv).exists():
        target = str(WORKSHOP / "uv")
        if not logged([str(PYTHON), "-m", "pip", "install", "--quiet", "--target", target, "uv"]):
            raise BootstrapError(failure())
    for lock, sources in LOCK_SOURCES.items():
        compiling = [
            *(uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
            *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-config"),
            *("--custom-compile-command", "make lock"),
            *("--output-file", f"requirements/{lock}.txt"),
            *sources,
            *rest,
        ]
        if subprocess.run(compiling, cwd=ROOT, check=False).returncode:
            raise BootstrapError(f"requirements/{lock}.txt could not be written")
    return 0


LOCK_SOURCES = {
    "run": ("pyproject.toml", "--group", "build"),
    "dev": ("pyproject.toml", "--group", "dev", "--constraints", "requirements/run.txt"),
}

# The time limits are measured on two cores, and now and then a test waits.
PYTEST = ("pytest", "-n", "3", "-m")

COMMANDS = {
    "demo": Command("run", demo, "start the server with demo data; the first start installs"),
    "install": Command("dev", nothing, "install everything into .venv, development tools too"),
    "test": Command("dev", module(*PYTEST, "not long"), "run the tests"),
    "test-long": Command("dev", module(*PYTEST, "long"), "run the crash and soak tests"),
    "coverage": Command(
        "dev",
        # Also of the commands and servers that tests start, which takes half as long again.
        module(*PYTEST, "not long", "--cov", "--cov-report=term:skip-covered"),
        "run the tests, and show what they cover",
    ),
    "check": Command("dev", check, "check formatting, style, types and imports"),
    "bench": Command("dev", module("bench"), "measure, and compare with the rivals"),
    "bench-million": Command("dev", module("bench", "--million"), "measure with 1,000,000"),
    "docs": Command("dev", docs, "build the docs into site/"),
    "lock": Command("dev", lock_files, "write requirements/*.txt anew from pyproject.toml"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
