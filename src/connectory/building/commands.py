"""Which commands install, build, prune and start an application."""

import re
import shlex
from typing import Final

from connectory.building.managers import BINARIES, Manager
from connectory.building.project import Manifest, Project
from connectory.building.registry import SYSTEM_PATH
from connectory.building.toolchains import Node

#: A command line that a shell would run as one program with its arguments.
_ONE_PROGRAM: Final = re.compile(r"(\w+=[\w./:@%+,-]* +)*[\w./@-]+( +([\w@%+=:,./-]+|'[^']*'))*")
_SHELL_WORDS: Final = frozenset(
    {".", "cd", "eval", "exec", "exit", "export", "set", "source", "trap", "ulimit", "umask"}
)
#: Where an artifact has its Yarn or pnpm, when it starts by it.
MANAGER: Final = ".connectory"
#: What `yarn run` sets, so that Node finds packages that lie in no `node_modules`.
_PLUG_AND_PLAY: Final = (
    """; NODE_OPTIONS="--require $PWD/.pnp.cjs ${NODE_OPTIONS:-}"; if [ -f .pnp.loader.mjs ];"""
    """ then NODE_OPTIONS="--experimental-loader file://$PWD/.pnp.loader.mjs $NODE_OPTIONS"; fi;"""
    """ export NODE_OPTIONS"""
)
_QUIET: Final = "--no-update-notifier --logs-max=0"


def install_arguments(manager: Manager, lock: str, packages: str) -> tuple[str, ...]:
    """How packages are installed, by the lock where there is one.

    `packages` is where the cache is, as the command sees it.
    """
    if manager.kind == "npm":
        if lock in ("package-lock.json", "npm-shrinkwrap.json"):
            return ("ci", "--prefer-offline")
        return ("install", "--no-package-lock")
    if manager.kind == "yarn" and not manager.is_berry:
        frozen = ("--frozen-lockfile", "--prefer-offline") if lock else ("--no-lockfile",)
        return ("install", "--non-interactive", "--mutex", f"file:{packages}/mutex", *frozen)
    if manager.kind == "yarn":
        return ("install", "--immutable" if lock else "--no-immutable")
    frozen = ("--frozen-lockfile", "--prefer-offline") if lock else ("--no-lockfile",)
    return ("install", *frozen)


def prune_arguments(manager: Manager, lock: str, packages: str) -> tuple[str, ...]:
    """How development dependencies are removed; empty where the tool cannot do it."""
    if manager.kind == "npm":
        locked = lock in ("package-lock.json", "npm-shrinkwrap.json")
        unlocked = () if locked else ("--no-package-lock",)
        # All that it may ask for was fetched just now.
        return ("prune", "--omit=dev", "--ignore-scripts", "--prefer-offline", *unlocked)
    if manager.kind == "pnpm":
        return ("prune", "--prod", "--ignore-scripts")
    if not manager.is_berry:
        arguments = install_arguments(manager, lock, packages)
        return (*arguments, "--production", "--ignore-scripts")
    # Before 4 it is a plugin, which is not there.
    has_focus = not manager.version.startswith(("2.", "3."))
    return ("workspaces", "focus", "--production") if has_focus else ()


def start_command(project: Project, node: Node) -> tuple[str, ...]:
    """What starts an application, in its folder.

    A script of one program is run as npm runs it, but without npm, which would cost memory and
    half a second at each start; any other by `npm start`.
    """
    manifest = project.manifest or Manifest()
    settings = {"npm_lifecycle_event": "start"}
    for key, value in (("name", manifest.name), ("version", manifest.version)):
        if isinstance(value, str):
            settings[f"npm_package_{key}"] = value
    assigned = " ".join(f"{key}={shlex.quote(value)}" for key, value in settings.items())
    before = shlex.quote(":".join(node.path))
    own = f"{MANAGER}/{BINARIES}"
    head = (
        f'export PATH="$PWD/node_modules/.bin:$PWD/{own}:"{before}":${{PATH:-{SYSTEM_PATH}}}"'
        f' NODE_ENV="${{NODE_ENV:-production}}" {assigned}'
    )
    if project.plug_and_play:
        head += _PLUG_AND_PLAY
    return ("/bin/sh", "-c", f"{head}; {_start_line(project, manifest)}")


def _start_line(project: Project, manifest: Manifest) -> str:
    script = manifest.script("start")
    if project.start:
        line, otherwise = project.start, project.start
    elif manifest.script("prestart") or manifest.script("poststart"):
        line, otherwise = "", f"exec npm start {_QUIET}"
    else:
        line, otherwise = script, f"exec npm start {_QUIET}"
    return f"exec env {line}" if _is_one_program(line) else otherwise


def _is_one_program(line: str) -> bool:
    if not _ONE_PROGRAM.fullmatch(line):
        return False
    words = line.split()
    program = next((word for word in words if "=" not in word), "")
    return bool(program) and program not in _SHELL_WORDS
