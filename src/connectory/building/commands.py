"""Which commands install, build, prune and start an application."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from connectory.building.project import Manifest, Project, Refused
from connectory.building.toolchains import Node, Toolchains, folders_of

#: A command line that a shell would run as one program with its arguments.
_ONE_PROGRAM: Final = re.compile(r"(\w+=[\w./:@%+,-]* +)*[\w./@-]+( +([\w@%+=:,./-]+|'[^']*'))*")
_SHELL_WORDS: Final = frozenset(
    {".", "cd", "eval", "exec", "exit", "export", "set", "source", "trap", "ulimit", "umask"}
)
_QUIET: Final = "--no-update-notifier --logs-max=0"
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Manager(Struct, frozen=True, kw_only=True):
    """What installs packages: npm, Yarn or pnpm of this machine.

    Attributes:
        kind: `npm`, `yarn` or `pnpm`.
        command: How it is called.
        version: Its version, or that of corepack, which brings it; for the artifact's address.
        path: Folders for PATH.
        tools: Folders that confined programs have to be shown.
        warning: What is not as the tree asks for; empty else.
    """

    kind: str
    command: Sequence[str]
    version: str
    path: Sequence[str]
    tools: Sequence[Path]
    warning: str = ""


def manager_for(project: Project, node: Node, toolchains: Toolchains) -> Manager:
    """What installs the packages of an application.

    Raises:
        Refused: this machine does not have it.
    """
    kind, warning = project.manager, ""
    if kind != "npm":
        own = toolchains.program(kind)
        for program, command in (
            (own, ()),
            (toolchains.program("corepack"), (kind,)),
        ):
            version = toolchains.version(program, node.path) if program else ""
            if program is not None and version:
                return Manager(
                    kind=kind,
                    command=(str(program), *command),
                    version=version if program is own else f"by corepack {version}",
                    path=(*node.path, str(program.parent)),
                    tools=tuple(dict.fromkeys((*node.tools, *folders_of((program,))))),
                )
        if not (project.folder / "package-lock.json").is_file():
            raise Refused(
                f"Toolchain missing: {kind}",
                f"{project.lock or 'package.json'} asks for {_asked(project)}, and this machine has"
                f" neither {kind} nor corepack: its operator must install one of them",
            )
        warning = f"{project.lock} asks for {kind}, which this machine does not have: npm is used"
    if node.npm is None:
        raise Refused(
            "Toolchain missing: npm",
            f"this machine has {node.name} and no npm: its operator must install npm",
        )
    return Manager(
        kind="npm",
        command=(str(node.npm),),
        version=node.npm_version,
        path=node.path,
        tools=node.tools,
        warning=warning,
    )


def _asked(project: Project) -> str:
    named = project.manifest.package_manager if project.manifest else None
    return str(named).partition("+")[0] if named else project.manager


def install_arguments(manager: Manager, lock: str, version: str, packages: str) -> tuple[str, ...]:
    """How packages are installed, by the lock where there is one.

    `version` is that of Yarn or pnpm as it tells it in the application's folder; `packages` is
    where the cache is, as the command sees it.
    """
    if manager.kind == "npm":
        if lock in ("package-lock.json", "npm-shrinkwrap.json"):
            return ("ci", "--prefer-offline")
        return ("install", "--no-package-lock")
    if manager.kind == "yarn" and version.startswith("1."):
        frozen = ("--frozen-lockfile", "--prefer-offline") if lock else ("--no-lockfile",)
        return ("install", "--non-interactive", "--mutex", f"file:{packages}/mutex", *frozen)
    if manager.kind == "yarn":
        return ("install", *(("--immutable",) if lock else ()))
    frozen = ("--frozen-lockfile", "--prefer-offline") if lock else ("--no-lockfile",)
    return ("install", f"--store-dir={packages}/pnpm", "--package-import-method=copy", *frozen)


def prune_arguments(manager: Manager, lock: str, version: str, packages: str) -> tuple[str, ...]:
    """How development dependencies are removed; empty where the tool cannot do it."""
    if manager.kind == "npm":
        locked = lock in ("package-lock.json", "npm-shrinkwrap.json")
        unlocked = () if locked else ("--no-package-lock",)
        # All that it may ask for was fetched just now.
        return ("prune", "--omit=dev", "--ignore-scripts", "--prefer-offline", *unlocked)
    if manager.kind == "pnpm":
        return ("prune", "--prod", "--ignore-scripts")
    if version.startswith("1."):
        arguments = install_arguments(manager, lock, version, packages)
        return (*arguments, "--production", "--ignore-scripts")
    return ("workspaces", "focus", "--production") if not version.startswith(("2.", "3.")) else ()


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
    head = (
        f'export PATH="$PWD/node_modules/.bin:"{before}":${{PATH:-{SYSTEM_PATH}}}"'
        f' NODE_ENV="${{NODE_ENV:-production}}" {assigned}'
    )
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
