"""The place where one application is built, or its script run, and what programs see of it.

Where the containment shows places, the application lies at /workspace and the whole repository at
/tmp/lib, as in the official build, and a module that it has at `../shared` at /shared. Elsewhere
the same is laid out in a folder of this machine.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from connectory.building.kept import Budget
from connectory.building.model import Plan
from connectory.building.processes import Ended, run
from connectory.building.project import Project, Refused
from connectory.building.registry import Registry, npm_environment, yarn_environment
from connectory.building.store import TooDeep, size_of
from connectory.containment.model import Bounds, Confinement, Containment, Mount, Network

#: Where a module cannot be shown, because the sandbox has its own there.
_TAKEN: Final = frozenset(
    {"bin", "dev", "etc", "home", "lib", "lib64", "packages", "proc", "root", "run", "sbin", "sys"}
    | {"tmp", "usr", "var", "workspace"}
)
#: The disk is measured when it has lost so much, and now and then.
_MEASURED_BYTES: Final = 128 * 2**20
_MEASURED_SECONDS: Final = 15.0


class Limits(Struct, frozen=True, kw_only=True):
    """What a build may use: seconds and bytes."""

    seconds: float = 900.0
    memory_bytes: int = 2 * 2**30
    disk_bytes: int = 2 * 2**30
    cpus: float = 2.0
    processes: int = 512
    network: Network = Network.PUBLIC


class Places(Struct, frozen=True, kw_only=True):
    """Where things are, as the build's programs see them."""

    workspace: str
    home: str
    packages: str
    npmrc: str


class Workshop:
    """Runs the commands of one build, within its limits."""

    def __init__(
        self,
        plan: Plan,
        project: Project,
        folder: Path,
        packages: Path,
        *,
        containment: Containment,
        registry: Registry,
        limits: Limits,
        output: Callable[[str], None],
        cancelled: Callable[[], bool],
        work: str = "build",
    ) -> None:
        """Lay the application out in `folder`; `work` is what is done here, for people.

        Raises:
            Refused: it cannot be laid out.
        """
        self._plan = plan
        self._folder = folder
        self._packages = packages
        self._containment = containment
        self._registry = registry
        self._limits = limits
        self._output = output
        self._cancelled = cancelled
        self._work = work
        self._deadline = time.monotonic() + limits.seconds
        self._measured_at = time.monotonic()
        self._free = _free_bytes(folder)
        self._used_before = size_of(packages)
        self.home = folder / "home"
        self.application = folder / "root" / plan.application
        self.modules = {each.path: folder / "root" / each.path for each in project.modules}
        self._lay_out()
        shown = containment.shows_places
        self.places = Places(
            workspace="/workspace" if shown else str(self.application),
            home="/home/build" if shown else str(self.home),
            packages="/packages" if shown else str(packages),
            npmrc="/home/build/.npmrc" if shown else str(self.home / ".npmrc"),
        )

    def _lay_out(self) -> None:
        for name in ("root", "home", "tmp"):
            (self._folder / name).mkdir(mode=0o755)
        (self.home / ".npmrc").write_text(self._registry.npmrc)
        # One module may lie in another, and then it is there already.
        for path in sorted((self._plan.application, *self.modules)):
            if self._containment.shows_places and path in self.modules:
                self._refuse_taken(path)
            source, target = self._plan.tree / path, self._folder / "root" / path
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy(source, target)

    def _refuse_taken(self, path: str) -> None:
        if path.partition("/")[0] in _TAKEN:
            raise Refused(
                "Shared module cannot be shown",
                f"the shared module {path} cannot lie beside /workspace, where a folder of the"
                " system has its name: give it another name",
            )

    def _seen(self, module: str) -> str:
        return f"/{module}" if self._containment.shows_places else str(self.modules[module])

    @property
    def seen_modules(self) -> Mapping[str, Path]:
        """Where links of the build to modules lead: as it sees them → here."""
        shown = {f"/{path}": place for path, place in self.modules.items()}
        shown |= {f"/tmp/lib/{path}": place for path, place in self.modules.items()}  # noqa: S108
        here = {str(place): place for place in self.modules.values()}
        return shown | here if self._containment.shows_places else here

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        path: Sequence[str],
        tools: Sequence[Path],
        is_ci: bool,
        module: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a command to its end, in the application's folder or in that of a module.

        Raises:
            Refused: it could not be started, or took more than it may have, or was cancelled.
        """
        confinement = Confinement(
            command=command,
            environment={
                **environment,
                **self._registry.environment,
                **self._environment(path),
                **(settings or {}),
                **({"CI": "true"} if is_ci else {}),
            },
            mounts=self._mounts(tools),
            folder=self._seen(module) if module else self.places.workspace,
            network=self._limits.network,
            bounds=Bounds(
                cpus=self._limits.cpus,
                memory_bytes=self._limits.memory_bytes,
                processes=self._limits.processes,
                disk_bytes=self._limits.disk_bytes,
            ),
        )
        try:
            ended = run(self._containment, confinement, output=self._output, watch=self.watch)
        except OSError as why:
            raise self._refused("failed", f"the sandbox could not be started: {why}") from None
        self._measure()
        return ended

    def _environment(self, path: Sequence[str]) -> dict[str, str]:
        places = self.places
        settings = npm_environment(path, places.home, places.npmrc, places.packages)
        settings |= yarn_environment(self._registry)
        settings["YARN_CACHE_FOLDER"] = f"{places.packages}/yarn"
        if not self._containment.shows_places:
            settings["TMPDIR"] = str(self._folder / "tmp")
        return settings

    def _mounts(self, tools: Sequence[Path]) -> tuple[Mount, ...]:
        places = self.places
        mounts = [
            Mount(source=self.application, target=places.workspace, writable=True),
            Mount(source=self.home, target=places.home, writable=True),
            Mount(source=self._packages, target=places.packages, writable=True),
        ]
        for path, place in sorted(self.modules.items()):
            mounts.append(Mount(source=place, target=self._seen(path), writable=True))
        if self._containment.shows_places:
            mounts.append(Mount(source=self._plan.tree, target="/tmp/lib"))  # noqa: S108 - there
        others = (*tools, *self._registry.files)
        mounts += [Mount(source=each, target=str(each)) for each in others]
        return tuple(mounts)

    def watch(self) -> None:
        """Look whether the build may go on; called several times a second.

        Raises:
            Refused: it may not.
        """
        if self._cancelled():
            raise self._refused("cancelled", f"the {self._work} was cancelled")
        now = time.monotonic()
        if now > self._deadline:
            seconds = f"{self._limits.seconds:g} s"
            raise self._refused("took too long", f"the {self._work} did not end within {seconds}")
        lost = self._free - _free_bytes(self._folder)
        if lost > _MEASURED_BYTES or now - self._measured_at > _MEASURED_SECONDS:
            self._measure()

    def _measure(self) -> None:
        try:
            used = size_of(self._folder) + max(0, size_of(self._packages) - self._used_before)
        except TooDeep:
            raise self._refused(
                "failed", f"the {self._work} made folders that lie too deep in each other"
            ) from None
        self._free = _free_bytes(self._folder)
        self._measured_at = time.monotonic()
        if used > self._limits.disk_bytes:
            raise self.too_much()

    def too_much(self) -> Refused:
        """The refusal of what took more disk than it may."""
        return self._refused(
            "took too much disk",
            f"the {self._work} wrote more than {self._limits.disk_bytes} bytes, which is what a"
            f" {self._work} may use of the disk",
        )

    def _refused(self, what: str, message: str) -> Refused:
        return Refused(f"{self._work.capitalize()} {what}", message)

    def budget(self) -> Budget:
        """What may be copied to keep what was built."""
        return Budget(self._limits.disk_bytes)


def _free_bytes(folder: Path) -> int:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
