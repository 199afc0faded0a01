"""Builds: from a plan to an artifact, once for all who ask for the same.

An artifact's address is a hash of everything that it is made of, so that whoever has the same plan
finds what was built before. Why it is safe to share: docs/decisions/0019-builds.md.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectory.building.kept import TooMuch, make_plain
from connectory.building.managers import Installing, Manager
from connectory.building.model import FOLDER, Artifact, BuildFailed, Plan, Ran, Script, Step
from connectory.building.project import Refused
from connectory.building.recipe import Recipe, Tell
from connectory.building.registry import Registry, read_registry
from connectory.building.scripts import Running, run_script
from connectory.building.store import Store
from connectory.building.toolchains import Toolchains
from connectory.building.workshop import Limits, Workshop
from connectory.containment.model import Containment, Network
from connectory.contract.staged import ReportEntryType
from connectory.settings import Settings

_FACTS: Final = "artifact.json"
_FILES: Final = "files"
_ID: Final = re.compile(r"[0-9a-f]{64}")
#: What was used in the last seconds is not swept: its user has perhaps not said so yet.
_SPARED_SECONDS: Final = 600.0


class Facts(Struct, frozen=True, kw_only=True):
    """What is written beside the files of an artifact."""

    command: tuple[str, ...]
    tools: tuple[str, ...]
    made_with: str


_FACTS_DECODER: Final = msgspec.json.Decoder(Facts)


class Builds:
    """The `Builder` of applications for Node, and of static files; it runs their scripts, too."""

    def __init__(
        self,
        folder: Path,
        containment: Containment,
        toolchains: Toolchains,
        registry: Callable[[], Registry],
        limits: Limits,
        *,
        most_bytes: int,
        script_seconds: float = 900.0,
        spared_seconds: float = _SPARED_SECONDS,
    ) -> None:
        """Keep artifacts in `folder`, at most about `most_bytes` of them.

        A script may take `script_seconds`, and else what a build may.
        """
        self._store = Store(folder)
        self._containment = containment
        self._toolchains = toolchains
        self._registry = registry
        self._limits = limits
        self._most_bytes = most_bytes
        self._script_limits = replace(limits, seconds=script_seconds)
        self._spared = spared_seconds

    @classmethod
    def of(
        cls, settings: Settings, containment: Containment, environment: Mapping[str, str]
    ) -> "Builds":
        """The builder that the settings describe; `environment` is the server's own."""
        return cls(
            (settings.data / FOLDER).absolute(),
            containment,
            Toolchains(environment.get("PATH", ""), settings.node_versions_folder),
            lambda: read_registry(settings.npm_config, environment),
            Limits(
                seconds=settings.build_seconds,
                memory_bytes=settings.build_memory_bytes,
                disk_bytes=settings.build_disk_bytes,
                network=Network(settings.build_network),
            ),
            most_bytes=settings.builds_bytes,
            script_seconds=settings.script_seconds,
        )

    def build(
        self,
        plan: Plan,
        *,
        told: Callable[[Step], None],
        output: Callable[[str, str], None],
        cancelled: Callable[[], bool],
    ) -> Artifact:
        """As `Builder` says."""

        def tell(
            title: str, message: str = "", kind: ReportEntryType = ReportEntryType.INFORMATION
        ) -> None:
            told(Step(application=plan.application, title=title, type=kind, message=message))

        try:
            recipe = Recipe(self._toolchains, plan, tell)
            address = recipe.address(shows_places=self._containment.shows_places)
            artifact = self.use(address)
            if artifact is None:
                artifact = self._make(
                    recipe, address, lambda line: output(plan.application, line), cancelled, tell
                )
            else:
                tell("Built before", self._made_with(address))
        except Refused as why:
            tell(why.title, why.message, ReportEntryType.ERROR)
            raise BuildFailed(why.message) from None
        except OSError as why:
            message = f"the server could not build it: {why}"
            tell("Build failed", message, ReportEntryType.ERROR)
            raise BuildFailed(message) from why
        return artifact

    def _made_with(self, artifact: str) -> str:
        folder = self._store.artifact(artifact)
        return _facts(folder).made_with if folder else ""

    def use(self, artifact: str) -> Artifact | None:
        """As `Builder` says."""
        folder = self._store.artifact(artifact) if _ID.fullmatch(artifact) else None
        if folder is None:
            return None
        facts = _facts(folder)
        return Artifact(
            id=artifact,
            folder=folder / _FILES,
            command=facts.command,
            tools=tuple(map(Path, facts.tools)),
        )

    def run_script(
        self, script: Script, *, output: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> Ran:
        """As `ScriptRunner` says."""
        running = Running(
            store=self._store,
            containment=self._containment,
            toolchains=self._toolchains,
            registry=self._registry(),
            limits=self._script_limits,
        )
        return run_script(running, script, output=output, cancelled=cancelled)

    def sweep(self, in_use: set[str]) -> None:
        """As `Builder` says; package caches count, and go, too."""
        self._store.sweep(in_use, self._most_bytes, self._spared)

    def _make(
        self,
        recipe: Recipe,
        address: str,
        output: Callable[[str], None],
        cancelled: Callable[[], bool],
        tell: Tell,
    ) -> Artifact:
        def waiting() -> None:
            if cancelled():
                raise Refused("Build cancelled", "the build was cancelled")

        plan = recipe.plan
        origin = hashlib.sha256((plan.origin or plan.source).encode()).hexdigest()
        with self._store.making(address, waiting) as part:
            if part is None:
                tell("Built before", self._made_with(address))
            else:
                registry = self._registry()
                with (
                    self._store.packages(origin, waiting) as packages,
                    self._manager(recipe, registry, output, waiting) as manager,
                ):
                    workshop = Workshop(
                        plan,
                        recipe.project,
                        part,
                        packages,
                        containment=self._containment,
                        registry=registry,
                        limits=self._limits,
                        output=output,
                        cancelled=cancelled,
                    )
                    try:
                        recipe.run(workshop, manager)
                        self._keep(recipe, workshop, address, part)
                    except TooMuch:
                        raise workshop.too_much() from None
                tell("Application built", f"{recipe.made_with}\nartifact {address}")
            artifact = self.use(address)
        assert artifact is not None  # noqa: S101 - it is made, and whoever sweeps needs the lock
        return artifact

    @contextlib.contextmanager
    def _manager(
        self,
        recipe: Recipe,
        registry: Registry,
        output: Callable[[str], None],
        watch: Callable[[], None],
    ) -> Iterator[Manager | None]:
        """What installs the packages, as it can be called; None where nothing is installed."""
        if recipe.manager is None or recipe.node is None:
            yield None
            return
        installing = Installing(
            store=self._store,
            containment=self._containment,
            registry=registry,
            network=self._limits.network,
            memory_bytes=self._limits.memory_bytes,
            output=output,
            watch=watch,
        )
        with installing.manager(recipe.manager, recipe.node) as manager:
            yield manager

    def _keep(self, recipe: Recipe, workshop: Workshop, address: str, part: Path) -> None:
        kept = part / "kept"
        kept.mkdir(mode=0o755)
        files = kept / _FILES
        recipe.result(workshop).rename(files)
        make_plain(files, workshop.budget(), served=recipe.is_static)
        command = recipe.command
        facts = Facts(
            command=command,
            tools=tuple(map(str, recipe.node.tools)) if recipe.node and command else (),
            made_with=recipe.made_with,
        )
        (kept / _FACTS).write_bytes(msgspec.json.encode(facts))
        self._store.keep(address, kept)


def _facts(folder: Path) -> Facts:
    return _FACTS_DECODER.decode((folder / _FACTS).read_bytes())
