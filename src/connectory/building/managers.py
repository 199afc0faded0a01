"""Which npm, Yarn or pnpm installs the packages of a tree, and how this machine comes by it.

npm is the machine's. Yarn and pnpm are asked for by `packageManager`, else by what their lock file
is written in. The machine's own is taken where it is such a version; else npm installs that version
from the registry, once for all builds. Nothing of a tree runs or is read then, so what is installed
can be shared (docs/decisions/0025-yarn-and-pnpm.md).
"""

import contextlib
import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from connectory.building.processes import Ended, run
from connectory.building.project import Project, Refused
from connectory.building.ranges import Range, parse_range, parse_version
from connectory.building.registry import Registry, npm_environment
from connectory.building.store import PART, Store, remove
from connectory.building.toolchains import Node, Toolchains, folders_of
from connectory.building.words import how_it_ended, why_not_installed
from connectory.containment.model import Bounds, Confinement, Containment, Mount, Network

_NAMED: Final = re.compile(r"(yarn|pnpm)@v?(\d+\.\d+\.\d+(?:-[\w.]+)?)(?:\+[\w.]+)?")
_LOCK_VERSION: Final = re.compile(
    r"(?m)^lockfileVersion: *['\"]?([\d.]+)|^__metadata:\s+version: *['\"]?(\d+)"
)
#: Where the programs of packages are, in the folder that these were installed in.
BINARIES: Final = "node_modules/.bin"
_INSTALL_SECONDS: Final = 300.0


class Line(Struct, frozen=True):
    """Versions that read the same lock files: which, and the one of them that we install."""

    kind: str
    #: What the lock file says of its format, its beginning; `1` is Yarn's first.
    locks: tuple[str, ...]
    range: str
    version: str


#: The last of a kind is taken where there is no lock file, but for Yarn without a `.yarnrc.yml`.
_LINES: Final = (
    Line("yarn", ("1",), "1", "1.22.22"),
    Line("yarn", ("4",), "2", "2.4.2"),
    Line("yarn", ("5", "6"), "3", "3.8.7"),
    Line("yarn", ("8",), ">=4", "4.18.1"),
    Line("pnpm", ("5",), "6 || 7", "7.33.7"),
    Line("pnpm", ("6",), "8", "8.15.9"),
    Line("pnpm", ("9",), ">=9", "10.34.8"),
)


class Manager(Struct, frozen=True, kw_only=True):
    """What installs packages.

    Attributes:
        kind: `npm`, `yarn` or `pnpm`.
        version: Its version.
        command: How it is called; empty where it has to be installed first, or is of the tree.
        path: Folders for PATH.
        tools: Folders that confined programs have to be shown.
        release: The file of the tree that is this Yarn, in the application's folder.
        installed: The folder that it was installed in, where it is not the machine's.
        asked: What asks for it, for people.
    """

    kind: str
    version: str
    command: Sequence[str]
    path: Sequence[str]
    tools: Sequence[Path]
    release: str = ""
    installed: Path | None = None
    asked: str = ""

    @property
    def is_berry(self) -> bool:
        """Whether it is a Yarn of the kind that there is since version 2."""
        return self.kind == "yarn" and not self.version.startswith(("0.", "1."))


def manager_for(project: Project, node: Node, toolchains: Toolchains) -> Manager:
    """What installs the packages of an application.

    Raises:
        Refused: this machine has no npm.
    """
    if node.npm is None:
        raise Refused(
            "Toolchain missing: npm",
            f"this machine has {node.name} and no npm: its operator must install npm",
        )
    npm = Manager(
        kind="npm",
        version=node.npm_version,
        command=(str(node.npm),),
        path=node.path,
        tools=node.tools,
    )
    kind = project.manager
    if kind == "npm":
        return npm
    version, fitting, asked = _wanted(project)
    if project.yarn_release:
        found = re.search(r"yarn-(\d+\.\d+\.\d+)", project.yarn_release)
        return replace(
            npm,
            kind=kind,
            version=found[1] if found else version,
            command=(),
            release=project.yarn_release,
            asked=f".yarnrc.yml asks for {project.yarn_release}",
        )
    own = toolchains.program(kind)
    has = parse_version(toolchains.version(own, node.path)) if own else None
    if own and has and fitting.holds(has) and not project.starts_by_manager:
        return replace(
            npm,
            kind=kind,
            version=".".join(map(str, has)),
            command=(str(own),),
            path=(*node.path, str(own.parent)),
            tools=tuple(dict.fromkeys((*node.tools, *folders_of((own,))))),
        )
    return replace(npm, kind=kind, version=version, command=(), asked=asked)


def _wanted(project: Project) -> tuple[str, Range, str]:
    """The version to install, those that do as well, and what asks for it."""
    kind = project.manager
    manifest = project.manifest
    named = _NAMED.fullmatch(str(manifest.package_manager)) if manifest else None
    if named and named[1] == kind:
        return named[2], parse_range(named[2]), f"packageManager asks for {kind}@{named[2]}"
    lines = [each for each in _LINES if each.kind == kind]
    line = next((each for each in lines if _lock_version(project).startswith(each.locks)), None)
    if line is None:
        # Of what is newer than all that we know, the newest is the nearest.
        line = lines[0] if kind == "yarn" and not project.is_berry else lines[-1]
    asked = f"{project.lock or 'package.json'} asks for {kind}"
    engines = manifest.engines if manifest and isinstance(manifest.engines, dict) else {}
    with contextlib.suppress(ValueError):
        held = parse_range(str(engines.get(kind, "*")))
        fitting = [each for each in lines if held.holds(parse_version(each.version) or (0, 0, 0))]
        if fitting and line not in fitting:
            line = fitting[-1]
            asked = f"engines.{kind} asks for {engines[kind]}"
    return line.version, parse_range(line.range), asked


def _lock_version(project: Project) -> str:
    if not project.lock:
        return "none"
    text = (project.folder / project.lock).read_text(errors="replace")
    found = _LOCK_VERSION.search(text)
    if found:
        return str(found[1] or found[2])
    return "1" if project.manager == "yarn" else "none"


class Installing(Struct, frozen=True, kw_only=True):
    """What is needed to install a Yarn or a pnpm."""

    store: Store
    containment: Containment
    registry: Registry
    network: Network
    memory_bytes: int
    output: Callable[[str], None]
    #: Called several times a second; may raise to end it.
    watch: Callable[[], None]

    @contextlib.contextmanager
    def manager(self, manager: Manager, node: Node) -> Iterator[Manager]:
        """The manager as it can be called, until the block ends.

        Raises:
            Refused: it could not be installed.
        """
        if manager.command or manager.release:
            yield manager
            return
        package = f"{_package(manager)}@{manager.version}"
        key = hashlib.sha256(f"manager {package}\n{self.registry.npmrc}".encode()).hexdigest()
        with self.store.packages(key, self.watch) as made:
            tool = made / manager.kind
            if not tool.exists():
                self._install(manager, node, package, tool)
            binaries = tool / BINARIES
            yield replace(
                manager,
                command=(str(binaries / manager.kind),),
                path=(*manager.path, str(binaries)),
                tools=(*manager.tools, tool),
                installed=tool,
            )

    def _install(self, manager: Manager, node: Node, package: str, tool: Path) -> None:
        part = Path(tempfile.mkdtemp(prefix=PART, dir=tool.parent))
        try:
            home, made = part / "home", part / "made"
            for each in (home, made):
                each.mkdir()
            (home / ".npmrc").write_text(self.registry.npmrc)
            ended = self._ran(node, package, part)
            if ended.code:
                why = why_not_installed(ended, "")
                raise Refused(
                    f"Toolchain missing: {manager.kind}",
                    f"{manager.asked}, and {package} could not be installed on this machine"
                    f"{f': {why}' if why else ''}\n{how_it_ended(ended)}",
                )
            try:
                made.rename(tool)
            except OSError:
                if not tool.exists():  # or another build was faster
                    raise
        finally:
            remove(part)

    def _ran(self, node: Node, package: str, part: Path) -> Ended:
        home = str(part / "home")
        settings = npm_environment(node.path, home, f"{part}/home/.npmrc", f"{part}/home/packages")
        tools = (*node.tools, *self.registry.files)
        confinement = Confinement(
            command=_install_command(node, package),
            environment={**self.registry.environment, **settings},
            mounts=(
                Mount(source=part, target=str(part), writable=True),
                *(Mount(source=each, target=str(each)) for each in tools),
            ),
            folder=str(part / "made"),
            network=self.network,
            bounds=Bounds(memory_bytes=self.memory_bytes, disk_bytes=2**30),
        )
        deadline = time.monotonic() + _INSTALL_SECONDS

        def watch() -> None:
            self.watch()
            if time.monotonic() > deadline:
                raise Refused(
                    "Toolchain missing",
                    f"{package} was not installed within {_INSTALL_SECONDS:g} s",
                )

        try:
            return run(self.containment, confinement, output=self.output, watch=watch)
        except OSError as why:
            raise Refused("Build failed", f"the sandbox could not be started: {why}") from None


def _package(manager: Manager) -> str:
    return "@yarnpkg/cli-dist" if manager.is_berry else manager.kind


def _install_command(node: Node, package: str) -> tuple[str, ...]:
    """How npm installs a package alone into the folder that it is called in."""
    quiet = ("--no-save", "--no-package-lock", "--ignore-scripts", "--prefix", ".")
    return (str(node.npm), "install", *quiet, package)


def settings_of(
    manager: Manager, *, plug_and_play: bool, workspace: str, packages: str
) -> Mapping[str, str]:
    """Settings of pnpm, and of Yarn from 2 on: where they keep what the next build is fast by."""
    if manager.kind == "pnpm":
        settings = {"store_dir": f"{packages}/pnpm", "package_import_method": "copy"}
        # Since 11 it does not listen to npm's.
        heads = ("npm_config_", "pnpm_config_")
        return {f"{head}{name}": value for head in heads for name, value in settings.items()}
    if not manager.is_berry:
        return {}
    return {
        "YARN_GLOBAL_FOLDER": f"{packages}/berry",
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "YARN_ENABLE_TELEMETRY": "false",
        # With Plug'n'Play, packages are run from the cache: it has to be kept with the application.
        "YARN_CACHE_FOLDER": f"{workspace}/.yarn/cache" if plug_and_play else f"{packages}/yarn",
        "YARN_ENABLE_MIRROR": "true" if plug_and_play else "false",
    }
