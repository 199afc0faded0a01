"""How one application is built: its steps, with what each tells."""

import hashlib
import json
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from connectory.building.commands import (
    MANAGER,
    install_arguments,
    prune_arguments,
    start_command,
)
from connectory.building.kept import put_modules_in
from connectory.building.managers import BINARIES, Manager, manager_for, settings_of
from connectory.building.model import Plan
from connectory.building.processes import Ended
from connectory.building.project import STATIC, Manifest, Project, Refused, read_project
from connectory.building.pruning import remove_development
from connectory.building.toolchains import Node, Toolchains
from connectory.building.words import how_it_ended, why_not_installed
from connectory.building.workshop import Workshop
from connectory.contract.staged import ReportEntryType

#: Part of every address: what other builders made is made anew.
_BUILDER: Final = "3"


class Tell(Protocol):
    """Takes a step that has ended."""

    def __call__(
        self, title: str, message: str = "", kind: ReportEntryType = ReportEntryType.INFORMATION
    ) -> None:
        """Take it."""


class Recipe:
    """How an application is built, by what its tree says and this machine has."""

    def __init__(self, toolchains: Toolchains, plan: Plan, tell: Tell) -> None:
        """Read the tree; nothing of it runs.

        Raises:
            Refused: it cannot be built here.
        """
        self.plan = plan
        self.is_static = plan.type in STATIC
        self.project: Project = read_project(plan.tree, plan.application, plan.type)
        self._tell = tell
        self.node: Node | None = None
        self.manager: Manager | None = None
        if self.project.manifest is not None:
            self.node = toolchains.node(self.project.node)
            if self.node is None:
                asked = f" {self.project.asked}" if self.project.asked else ""
                raise Refused(
                    "Toolchain missing: Node",
                    f"this machine has no Node, and {plan.application} needs it{asked}: its"
                    " operator must install it, or name a folder of versions by"
                    " CONNECTORY_NODE_VERSIONS_FOLDER",
                )
            self.manager = manager_for(self.project, self.node, toolchains)

    def address(self, *, shows_places: bool) -> str:
        """The id of what comes of it: a hash of all that it is made of."""
        node, manager = self.node, self.manager
        parts = {
            "builder": _BUILDER,
            "origin": self.plan.origin,
            "source": self.plan.source,
            "application": self.plan.application,
            "static": self.is_static,
            "environment": sorted(self.plan.environment.items()),
            "node": [node.name, str(node.program)] if node else None,
            "manager": [manager.kind, manager.version, *manager.command] if manager else None,
            "machine": [sys.platform, platform.machine()],
            # Where the build saw itself is written into some of what is built.
            "shows_places": shows_places,
        }
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def made_with(self) -> str:
        """The toolchain and the lock file, for people."""
        if self.node is None or self.manager is None:
            return "static files as they are"
        if not self.project.needs_install:
            lock = "nothing to install"
        elif self.project.lock:
            lock = f"{self.project.lock} sha256:{self.project.lock_hash}"
        else:
            lock = "no lock file"
        return f"{self.node.name}, {self.manager.kind} {self.manager.version}\n{lock}"

    @property
    def command(self) -> tuple[str, ...]:
        """What starts it; empty for static files."""
        if self.is_static or self.node is None:
            return ()
        return start_command(self.project, self.node)

    def _tell_toolchain(self) -> None:
        """Tell what it is built with, and what of that is not as the tree asks for."""
        node, manager, project = self.node, self.manager, self.project
        if node is None or manager is None:
            return
        warnings = []
        if project.asked and project.node is None:
            warnings.append(f"{project.asked}: {node.name} is used")
        elif project.node is not None and not project.node.holds(node.version):
            warnings.append(
                f"{project.asked} is asked for, and this machine does not have it: {node.name}, the"
                " nearest, is used"
            )
        if project.needs_install and not project.lock:
            warnings.append(
                "there is no lock file: the versions of packages are those of the day of the build"
            )
        kind = ReportEntryType.WARNING if warnings else ReportEntryType.INFORMATION
        self._tell("Toolchain chosen", "\n".join((self.made_with, *warnings)), kind)

    def run(self, workshop: Workshop, manager: Manager | None) -> None:
        """Install, build and prune, with the manager as it can be called now.

        Raises:
            Refused: a step failed.
        """
        project = self.project
        if manager is None or project.manifest is None:
            return
        self.manager = manager
        self._tell_toolchain()
        for module in project.modules:
            if module.is_linked and module.manifest.needs_install:
                self._install(workshop, module.lock, module.path)
        if project.needs_install:
            self._install(workshop, project.lock)
        if project.build:
            self._step(workshop, ("run", project.build), "Build script ended")
        if self.is_static:
            return
        for module in project.modules:
            if module.is_linked:
                self._prune(workshop, module.manifest, module.lock, module.path)
        self._prune(workshop, project.manifest, project.lock)
        put_modules_in(workshop.application, workshop.seen_modules, workshop.budget())
        if project.starts_by_manager:
            self._bring_manager(workshop, manager)

    def _bring_manager(self, workshop: Workshop, manager: Manager) -> None:
        """Put the Yarn or pnpm that starts the application into its folder."""
        place = workshop.application / MANAGER
        if place.exists() or place.is_symlink():
            return
        if manager.installed is not None:
            workshop.budget().take(manager.installed)
            shutil.copytree(manager.installed, place, symlinks=True)
        elif manager.release:
            program = place / BINARIES / manager.kind
            program.parent.mkdir(parents=True)
            release = shlex.quote(manager.release)
            program.write_text(f'#!/bin/sh\nexec node "${{0%/*}}/../../.."/{release} "$@"\n')
            program.chmod(0o755)

    def _install(self, workshop: Workshop, lock: str, module: str = "") -> None:
        assert self.manager is not None  # noqa: S101 - `run` looked
        packages = workshop.places.packages
        arguments = install_arguments(self.manager, lock, packages)
        self._step(workshop, arguments, "Dependencies installed", lock=lock, module=module)

    def _prune(self, workshop: Workshop, manifest: Manifest, lock: str, module: str = "") -> None:
        assert self.manager is not None  # noqa: S101 - `run` looked
        if not manifest.dev_dependencies:
            return
        title = "Development dependencies removed"
        if self.manager.kind == "npm":
            folder = workshop.modules[module] if module else workshop.application
            removed = remove_development(folder)
            if removed is not None:
                self._tell(title, f"{removed} packages" + (f" in {module}" if module else ""))
                return
        arguments = prune_arguments(self.manager, lock, workshop.places.packages)
        if arguments:
            self._step(workshop, arguments, title, lock=lock, module=module)

    def _step(
        self,
        workshop: Workshop,
        arguments: Sequence[str],
        title: str,
        *,
        lock: str | None = None,
        module: str = "",
    ) -> None:
        """Run the manager and tell of it; `lock` is None where that runs a script of the tree."""
        manager = self.manager
        assert manager is not None  # noqa: S101 - `run` looked
        is_install = lock is not None
        began = time.monotonic()
        ended = self._ran(workshop, manager, arguments, is_ci=is_install, module=module)
        shown = (each for each in arguments if workshop.places.packages not in each)
        line = " ".join((manager.kind, *shown)).replace(" --mutex", "")
        line += f" in {module}" if module else ""
        if ended.code:
            why = (
                why_not_installed(ended, self._lock_text(lock, module)) if lock is not None else ""
            )
            reason = f"{line} failed" + (f": {why}" if why else "")
            raise Refused(
                "Dependencies not installed" if is_install else "Build failed",
                f"{reason}\n{how_it_ended(ended)}",
            )
        self._tell(title, f"{line}: {time.monotonic() - began:.1f} s")

    def _lock_text(self, lock: str, module: str) -> str:
        folder = self.plan.tree / (module or self.plan.application)
        return (folder / lock).read_text(errors="replace") if lock else ""

    def _ran(
        self,
        workshop: Workshop,
        manager: Manager,
        arguments: Sequence[str],
        *,
        is_ci: bool,
        module: str = "",
    ) -> Ended:
        places = workshop.places
        command = manager.command
        settings = settings_of(
            manager,
            plug_and_play=self.project.plug_and_play,
            workspace=places.workspace,
            packages=places.packages,
        )
        if manager.release:
            command = ("node", f"{places.workspace}/{manager.release}")
        return workshop.run(
            (*command, *arguments),
            settings=settings,
            environment=self.plan.environment,
            path=manager.path,
            tools=manager.tools,
            is_ci=is_ci,
            module=module,
        )

    def result(self, workshop: Workshop) -> Path:
        """The folder that was made.

        Raises:
            Refused: static files were to be made, and none were.
        """
        if not self.is_static:
            return workshop.application
        public = workshop.application / "public"
        if public.is_symlink() or not public.is_dir():
            raise Refused(
                "Build made no public folder",
                f"{self.plan.type} applications are served from the folder public/, and"
                + (
                    f" the script `{self.project.build}` made none"
                    if self.project.build
                    else " there is neither such a folder nor a script `build`"
                ),
            )
        return public
