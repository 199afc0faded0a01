"""How a script of connect.yaml is run: in a copy of the source, with what a build has, and values.

Most scripts install and build again, so they get what a build gets. What differs is that they also
get the values of a Deployment, secrets among them. So the packages that they fetch are kept apart
from those of builds (docs/decisions/0029-scripts.md).
"""

import collections
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from connectory.building.managers import Installing, Manager, manager_for, settings_of
from connectory.building.model import Plan, Ran, Script
from connectory.building.processes import Ended
from connectory.building.project import Manifest, Project, Refused
from connectory.building.recipe import Recipe
from connectory.building.registry import Registry
from connectory.building.store import Store
from connectory.building.toolchains import Node, Toolchains
from connectory.building.words import end_of
from connectory.building.workshop import Limits, Workshop
from connectory.containment.model import Containment

_WORK: Final = "script"
#: Lines that are told where a script fails.
_LAST_LINES: Final = 40
#: Programs that come from the tree lie here, in the script's home.
_BIN: Final = "bin"


class Running(Struct, frozen=True, kw_only=True):
    """What scripts are run with."""

    store: Store
    containment: Containment
    toolchains: Toolchains
    registry: Registry
    limits: Limits


def run_script(
    running: Running,
    script: Script,
    *,
    output: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Ran:
    """Run a script; see `ScriptRunner`."""
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)

    def take(line: str) -> None:
        if line:
            last.append(line)
        output(line)

    try:
        ended = _ended(running, script, take, cancelled)
    except Refused as why:
        return Ran(code=None, reason=why.message, last=tuple(last))
    except OSError as why:
        return Ran(code=None, reason=f"the server could not run it: {why}", last=tuple(last))
    return Ran(code=ended.code, reason=end_of(ended.code, _WORK), last=ended.last)


def _ended(
    running: Running, script: Script, output: Callable[[str], None], cancelled: Callable[[], bool]
) -> Ended:
    """How it ended by itself.

    Raises:
        Refused: it could not begin, or took more than it may have, or was cancelled.
    """

    def waiting() -> None:
        if cancelled():
            raise Refused("Script cancelled", "the script was cancelled")

    plan = Plan(
        tree=script.tree,
        source="",
        origin=script.origin,
        application=script.application,
        type=script.type,
    )
    recipe = Recipe(running.toolchains, plan, lambda *_: None)
    key = hashlib.sha256(f"scripts {script.tenant}\n{script.origin}".encode()).hexdigest()
    with (
        running.store.scratch() as folder,
        running.store.packages(key, waiting) as packages,
        _managers(running, recipe, script.command, output, waiting) as managers,
    ):
        workshop = Workshop(
            plan,
            recipe.project,
            folder,
            packages,
            containment=running.containment,
            registry=running.registry,
            limits=running.limits,
            output=output,
            cancelled=cancelled,
            work=_WORK,
        )
        node = recipe.node or running.toolchains.node(None)
        return workshop.run(
            ("/bin/sh", "-c", script.command),
            environment=script.environment,
            path=_path(workshop, node, managers),
            tools=_tools(node, managers),
            is_ci=False,
            settings=_settings(workshop, recipe.project, managers),
        )


@contextlib.contextmanager
def _managers(
    running: Running,
    recipe: Recipe,
    command: str,
    output: Callable[[str], None],
    watch: Callable[[], None],
) -> Iterator[Sequence[Manager]]:
    """What installs packages: what the tree asks for, and what else its scripts name.

    Raises:
        Refused: what the tree asks for could not be installed.
    """
    node, project = recipe.node, recipe.project
    if node is None or recipe.manager is None:
        yield ()
        return
    installing = Installing(
        store=running.store,
        containment=running.containment,
        registry=running.registry,
        network=running.limits.network,
        memory_bytes=running.limits.memory_bytes,
        output=output,
        watch=watch,
    )
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(installing.manager(recipe.manager, node))]
        for kind in _named(project, command):
            other = replace(project, manager=kind, lock="", is_berry=False, yarn_release="")
            # Where it cannot be had, the script says itself that it is missing, if it calls it.
            with contextlib.suppress(Refused):
                wanted = manager_for(other, node, running.toolchains)
                found.append(stack.enter_context(installing.manager(wanted, node)))
        yield found


def _named(project: Project, command: str) -> Iterator[str]:
    """Yarn and pnpm, where a script names them and the tree's lock file is not of that kind."""
    scripts = (project.manifest or Manifest()).scripts.values()
    text = "\n".join([command, *(each for each in scripts if isinstance(each, str))])
    for kind in ("yarn", "pnpm"):
        if kind != project.manager and re.search(rf"\b{kind}\b", text):
            yield kind


def _path(workshop: Workshop, node: Node | None, managers: Sequence[Manager]) -> Sequence[str]:
    """Folders of programs; a Yarn of the tree is given a name first."""
    for each in managers:
        if each.release:
            program = workshop.home / _BIN / each.kind
            program.parent.mkdir()
            program.write_text(
                f'#!/bin/sh\nexec node "{workshop.places.workspace}/{each.release}" "$@"\n'
            )
            program.chmod(0o755)
    own = (f"{workshop.places.home}/{_BIN}",)
    return (*own, *(node.path if node else ()), *(one for each in managers for one in each.path))


def _tools(node: Node | None, managers: Sequence[Manager]) -> Sequence[Path]:
    tools = (*(node.tools if node else ()), *(one for each in managers for one in each.tools))
    return tuple(dict.fromkeys(tools))


def _settings(workshop: Workshop, project: Project, managers: Sequence[Manager]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in managers:
        found |= settings_of(
            each,
            plug_and_play=project.plug_and_play,
            workspace=workshop.places.workspace,
            packages=workshop.places.packages,
        )
    return found
