"""What a tree says of one of its applications: what it is written for, and what builds it.

It is read before anything of the tree runs. Faults are told by `Refused`, in words for its author.
"""

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from connectory.building.ranges import Range, parse_nvmrc, parse_range
from connectory.contract.scalars import ApplicationType

_MOST_BYTES: Final = 2**20
#: Lock files, in the order in which they count where there are several.
_LOCKS: Final = (
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("npm-shrinkwrap.json", "npm"),
    ("package-lock.json", "npm"),
)
#: Files that tell of what there is no builder for yet.
_OTHERS: Final = (
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Java"),
    ("pyproject.toml", "Python"),
    ("requirements.txt", "Python"),
    ("go.mod", "Go"),
    ("composer.json", "PHP"),
    ("Gemfile", "Ruby"),
    ("Cargo.toml", "Rust"),
)
_VERSIONS: Final = {
    "pom.xml": r"<(?:java\.version|maven\.compiler\.(?:source|release|target))>\s*([\w.]+)",
    "pyproject.toml": r"requires-python\s*=\s*[\"']([^\"'\n]+)",
    "go.mod": r"(?m)^go\s+([\d.]+)",
}
_LOCAL: Final = re.compile(r"(file:|link:|portal:)(.+)")
_BERRY: Final = re.compile(r"(?m)^__metadata:")
_YARN_SETTING: Final = re.compile(r"(?m)^(nodeLinker|yarnPath): *[\"']?([^\s\"'#]+)")
_INSTALL_SCRIPTS: Final = ("preinstall", "install", "postinstall", "prepare", "prepublish")
STATIC: Final = frozenset(
    {
        ApplicationType.ASSETS,
        ApplicationType.MERCHANT_CENTER_CUSTOM_APPLICATION,
        ApplicationType.MERCHANT_CENTER_CUSTOM_VIEW,
    }
)


class Refused(Exception):
    """An application cannot be built as it is: a title, and the reason for its author."""

    def __init__(self, title: str, message: str) -> None:
        super().__init__(message)
        self.title = title
        self.message = message


class Manifest(Struct, frozen=True, rename="camel"):
    """The part of package.json that a build reads."""

    name: Any = None
    version: Any = None
    scripts: dict[str, Any] = {}
    engines: Any = None
    package_manager: Any = None
    dependencies: dict[str, Any] = {}
    dev_dependencies: dict[str, Any] = {}
    optional_dependencies: dict[str, Any] = {}

    def script(self, name: str) -> str:
        """A script, empty where there is none."""
        line = self.scripts.get(name)
        return line.strip() if isinstance(line, str) else ""

    @property
    def all_dependencies(self) -> Mapping[str, Any]:
        """Those of every kind."""
        return {**self.optional_dependencies, **self.dev_dependencies, **self.dependencies}

    @property
    def needs_install(self) -> bool:
        """Whether there is anything to install."""
        has_scripts = any(self.script(name) for name in _INSTALL_SCRIPTS)
        return bool(self.all_dependencies) or has_scripts


_MANIFEST: Final = msgspec.json.Decoder(Manifest)


class Module(Struct, frozen=True, kw_only=True):
    """A module of the repository that an application refers to.

    Attributes:
        path: Its place, from the tree's root.
        manifest: Its package.json.
        is_linked: Whether a link is all that is made to it, so that nobody else installs what it
            needs itself: npm does so for `file:`, others for `link:`.
        lock: Name of its lock file for the application's manager; empty where there is none.
    """

    path: str
    manifest: Manifest
    is_linked: bool
    lock: str = ""


class Project(Struct, frozen=True, kw_only=True):
    """An application of a tree.

    Attributes:
        folder: Its folder, on this machine.
        manifest: Its package.json; None where there is none, and its files are served as they are.
        node: The versions of Node that it asks for; None where it does not say.
        asked: Where and how it asks, for people.
        manager: `npm`, `yarn` or `pnpm`.
        lock: Name of its lock file; empty where there is none.
        lock_hash: SHA-256 of it.
        modules: Modules of the repository that it refers to by `file:` and the like; those that
            others need come first.
        build: Name of the script that builds it; empty where there is none.
        start: What Procfile says; empty: `npm start`.
        is_berry: Whether it is written for Yarn from 2 on.
        yarn_release: The file of its folder that is the Yarn it wants; empty where there is none.
        plug_and_play: Whether its packages are found by a `.pnp.cjs`, and lie in no `node_modules`.
    """

    folder: Path
    manifest: Manifest | None = None
    node: Range | None = None
    asked: str = ""
    manager: str = "npm"
    lock: str = ""
    lock_hash: str = ""
    modules: tuple[Module, ...] = ()
    build: str = ""
    start: str = ""
    is_berry: bool = False
    yarn_release: str = ""
    plug_and_play: bool = False

    @property
    def needs_install(self) -> bool:
        """Whether there is anything to install."""
        return self.manifest is not None and self.manifest.needs_install

    @property
    def starts_by_manager(self) -> bool:
        """Whether its start calls its Yarn or pnpm."""
        manifest = self.manifest or Manifest()
        scripts = [manifest.script(name) for name in ("prestart", "start", "poststart")]
        word = re.compile(rf"\b{self.manager}\b")
        return self.manager != "npm" and any(map(word.search, (self.start, *scripts)))


def read_project(tree: Path, application: str, kind: ApplicationType) -> Project:
    """What the tree says.

    Raises:
        Refused: it cannot be built.
    """
    folder = tree / application
    if application in ("", ".", "..") or "/" in application or not folder.is_dir():
        raise Refused(
            "Application folder missing",
            f"the repository has no folder {application}: each application lies in a folder of its"
            " name, at the root of the repository",
        )
    manifest = _manifest(folder, application)
    if manifest is None:
        return _without_manifest(folder, application, kind)
    node, asked = _node(folder, manifest)
    manager, lock = _lock(folder, manifest)
    build = next((name for name in ("gcp-build", "build") if manifest.script(name)), "")
    start = _procfile(folder)
    if kind not in STATIC and not start and not manifest.script("start"):
        if not (folder / "server.js").is_file():
            raise Refused(
                "Start command missing",
                f"{application}/package.json has no script `start`, and there is no Procfile with"
                " a line `web:`: nothing says how the application is started",
            )
        start = "node server.js"  # what `npm start` does without a script
    return Project(
        folder=folder,
        manifest=manifest,
        node=node,
        asked=asked,
        manager=manager,
        lock=lock,
        lock_hash=hashlib.sha256((folder / lock).read_bytes()).hexdigest() if lock else "",
        modules=_modules(tree, application, manifest, manager),
        build=build,
        start=start,
        **(_yarn(folder, lock) if manager == "yarn" else {}),
    )


def _yarn(folder: Path, lock: str) -> dict[str, Any]:
    """What `.yarnrc.yml` says, and the lock file where that is of Yarn from 2 on."""
    text = _text(folder / ".yarnrc.yml")
    locked = _text(folder / lock) if lock else None
    is_berry = text is not None if locked is None else _BERRY.search(locked) is not None
    said = dict(_YARN_SETTING.findall(text or ""))
    release = said.get("yarnPath", "")
    place = posixpath.normpath(release) if release else ""
    if place.startswith(("..", "/")) or not (folder / place).is_file():
        place = ""
    return {
        "is_berry": is_berry,
        "yarn_release": place if is_berry else "",
        "plug_and_play": is_berry and said.get("nodeLinker", "pnp") == "pnp",
    }


def _manifest(folder: Path, shown: str) -> Manifest | None:
    text = _text(folder / "package.json")
    if text is None:
        return None
    try:
        return _MANIFEST.decode(text.removeprefix("\ufeff"))
    except (msgspec.DecodeError, RecursionError) as why:
        raise Refused(
            "package.json cannot be read", f"{shown}/package.json cannot be read: {why}"
        ) from None


def _without_manifest(folder: Path, application: str, kind: ApplicationType) -> Project:
    for name, language in _OTHERS:
        text = _text(folder / name)
        if text is None:
            continue
        pattern = _VERSIONS.get(name)
        found = re.search(pattern, text) if pattern else None
        version = f" {found[1]}" if found else ""
        raise Refused(
            f"No builder for {language}",
            f"{application}/{name} is of {language}{version}: there is no builder for {language}"
            " yet",
        )
    if kind in STATIC and (folder / "public").is_dir():
        return Project(folder=folder)
    raise Refused(
        "No builder for this application",
        f"{application} has no package.json: there is nothing that says how it is built",
    )


def _node(folder: Path, manifest: Manifest) -> tuple[Range | None, str]:
    engines = manifest.engines if isinstance(manifest.engines, dict) else {}
    asked = engines.get("node")
    if isinstance(asked, str) and asked.strip():
        try:
            return parse_range(asked), f"engines.node {asked.strip()}"
        except ValueError:
            return None, f"engines.node {asked.strip()}, which cannot be read"
    nvmrc = _text(folder / ".nvmrc")
    if nvmrc and nvmrc.strip():
        line = nvmrc.strip().splitlines()[0].strip()[:100]
        try:
            return parse_nvmrc(nvmrc), f".nvmrc {line}"
        except ValueError:
            return None, f".nvmrc {line}, which cannot be read"
    return None, ""


def _lock(folder: Path, manifest: Manifest) -> tuple[str, str]:
    named = str(manifest.package_manager or "").partition("@")[0]
    found = [(lock, manager) for lock, manager in _LOCKS if (folder / lock).is_file()]
    for lock, manager in found:
        if manager == named:
            return manager, lock
    if found:
        lock, manager = found[0]
        return manager, lock
    return (named if named in ("yarn", "pnpm") else "npm"), ""


def _procfile(folder: Path) -> str:
    found = re.search(r"(?m)^web\s*:[ \t]*(\S.*)$", _text(folder / "Procfile") or "")
    line = found[1].strip() if found else ""
    return "" if line == "npm start" else line


def _modules(tree: Path, application: str, manifest: Manifest, manager: str) -> tuple[Module, ...]:
    """The modules of the tree that an application refers to, and those that they refer to."""
    found: dict[str, Module] = {}
    pending = [(application, manifest)]
    while pending:
        here, manifest = pending.pop()
        for name, kind, path in _local(manifest):
            place = posixpath.normpath(posixpath.join(here, path))
            place = place.rpartition("tmp/lib/")[2]  # where the official build has the repository
            if place == application or place.startswith(f"{application}/"):
                continue
            if place.startswith(("..", "/")) or place == "." or not (tree / place).exists():
                raise Refused(
                    "Shared module missing",
                    f"{here}/package.json has {name} at {path}, and the repository has no such"
                    " module",
                )
            is_new = place not in found
            module = _module(tree, place, is_linked=manager == "npm" or kind != "file:")
            found.pop(place, None)  # whoever is needed by several comes last here, and first then
            found[place] = module
            if is_new:
                pending.append((place, module.manifest))
    return tuple(reversed(found.values()))


def _module(tree: Path, place: str, *, is_linked: bool) -> Module:
    folder = tree / place
    if not folder.is_dir():
        return Module(path=place, manifest=Manifest(), is_linked=False)
    manifest = _manifest(folder, place) or Manifest()
    return Module(
        path=place, manifest=manifest, is_linked=is_linked, lock=_lock(folder, manifest)[1]
    )


def _local(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Name, `file:` or another kind, and path of each dependency that is a place."""
    for name, spec in manifest.all_dependencies.items():
        if not isinstance(spec, str):
            continue
        found = _LOCAL.fullmatch(spec)
        if found:
            yield name, found[1], found[2]
        elif spec.startswith(("./", "../")):
            yield name, "file:", spec


def _text(path: Path) -> str | None:
    """The text of a file of the tree, its beginning where it is large; None without one."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
