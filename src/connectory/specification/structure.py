"""What lies beside connect.yaml: the folder of each application, and what it is built from.

What the official platform refuses when it builds is an Error; what it takes, and what then goes
wrong or may differ from one build to the next, is a Warning
(docs/decisions/0012-what-is-judged-beyond-the-official-validator.md).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from connectory.contract.scalars import ApplicationType
from connectory.specification.faults import Fault
from connectory.specification.model import Application, Specification
from connectory.specification.nearest import nearest
from connectory.specification.reading import FILE_NAME, MAX_BYTES, Reading, read, unreadable
from connectory.specification.rules import fault
from connectory.specification.tree import FileTooLarge, OutsideTree, Tree

#: A longer `pyproject.toml` is not looked into: the time that a hostile one takes grows with the
#: square of its keys.
_PARSED_TOML_BYTES: Final = 8 * 2**10
#: Files that have every version of a Node application.
_NODE_LOCKS: Final = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
)
_PYTHON_LOCKS: Final = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
#: What Node starts where `package.json` names nothing.
_NODE_ENTRIES: Final = ("server.js", "index.js")
#: Files by which the buildpacks of the official platform know what to build.
_OTHER_TECHNOLOGIES: Final = (
    "Pipfile",
    "Procfile",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "go.mod",
    "main.py",
    "pom.xml",
)
_SERVED: Final = (ApplicationType.SERVICE, ApplicationType.EVENT, ApplicationType.JOB)
_BUILDS: Final = ("build", "gcp-build")
#: `npm run NAME` and its like. Anything that leads elsewhere is left alone.
_RUN: Final = re.compile(r"(?:npm|yarn|pnpm) run(?:-script)? ([A-Za-z0-9:_.-]+)(?= |$)")
_ELSEWHERE: Final = re.compile(r"(?:^| )(?:cd |--prefix|--workspaces?\b|--cwd|-w |-C )")


def read_folder(root: Path) -> Reading:
    """Read the connect.yaml of a folder; where there is none, that is the fault."""
    tree = Tree(root)
    try:
        source = tree.read(FILE_NAME, max_bytes=MAX_BYTES)
    except FileTooLarge as error:
        return unreadable("size", f"`{FILE_NAME}` has {error}")
    except OutsideTree:
        told = f"`{FILE_NAME}` is a symbolic link that leads out of the folder"
        return unreadable("specification-unreadable", told, "put the file itself there")
    except OSError as error:
        told = f"`{FILE_NAME}` cannot be read: {error.strerror}"
        return unreadable("specification-unreadable", told)
    if source is None:
        told = f"there is no `{FILE_NAME}`"
        return unreadable("specification-missing", told, _renaming(tree.names() or []))
    return read(source)


def check_structure(root: Path, specification: Specification) -> list[Fault]:
    """The faults of what lies beside a valid connect.yaml.

    Args:
        root: The folder of connect.yaml; links that lead out of it are not followed.
        specification: What the file says.

    Raises:
        OSError: a folder or file cannot be read.
    """
    tree = Tree(root)
    return [
        told for application in specification.applications for told in _Folder(tree, application)
    ]


def _renaming(names: list[str]) -> str:
    for name in names:
        if name.lower() in ("connect.yml", FILE_NAME):
            return f"rename `{name}` to `{FILE_NAME}`: no other name is looked for"
    return ""


class _Folder:
    """The folder of an application, and what is wrong with it."""

    def __init__(self, tree: Tree, application: Application) -> None:
        self.tree = tree
        self.application = application

    def __iter__(self) -> Iterator[Fault]:
        """Every fault."""
        name = self.application.name
        try:
            names = self.tree.names(name)
            if names is None or not self.tree.is_exact(name):
                yield self._fault("folder-missing", f"there is no folder `{name}`", self._like())
            elif not names:
                yield self._fault("folder-empty", "its folder is empty", "add what it is made of")
            else:
                yield from self._contents(names)
        except OutsideTree as error:
            told = f"`{error}` leads out of the connector by a symbolic link"
            yield self._fault("folder-outside", told, "put the files themselves there")

    def _contents(self, names: list[str]) -> Iterator[Fault]:
        if self._has("package.json"):
            yield from self._node()
        elif self._has("pyproject.toml", "requirements.txt"):
            yield from self._python()
        elif self.application.type in _SERVED and not self._is_known(names):
            told = "nothing in its folder tells how to build it"
            hint = "add a `package.json`, or a `pyproject.toml` or `requirements.txt`"
            yield self._fault("technology", told, hint)
        elif self.application.type not in (*_SERVED, ApplicationType.ASSETS):
            told = "an application of the Merchant Center is built by Node"
            yield self._fault("technology", told, "add a `package.json`")

    def _node(self) -> Iterator[Fault]:
        try:
            scripts, main = _package(self.tree.read(self.application.name, "package.json"))
        except (ValueError, FileTooLarge) as error:
            told = f"its `package.json` is not valid: {error}"
            yield self._fault("package-json", told, "mend the file")
            return
        if self.application.type in _SERVED:
            yield from self._start(scripts, main)
        elif not any(each in scripts for each in _BUILDS):
            told = "its `package.json` has no script `build`"
            hint = "without it the files of its folder are served as they are"
            yield self._fault("build-script", told, hint)
        yield from self._scripts(scripts)
        if not self._has(*_NODE_LOCKS):
            hint = "commit the `package-lock.json`, `yarn.lock` or `pnpm-lock.yaml`"
            yield self._fault("lock-file", "its folder has no lock file", hint)

    def _start(self, scripts: Mapping[str, str], main: str) -> Iterator[Fault]:
        if scripts.get("start") or self._has("Procfile"):
            return
        told = "its `package.json` has no script `start`"
        implied = main or next((each for each in _NODE_ENTRIES if self._has(each)), "")
        if implied:
            hint = f"Node starts `{implied}`; say so by a script `start`"
            yield self._fault("start-implied", told, hint)
            return
        similar = nearest("start", scripts)
        hint = f"did you mean `{similar}`?" if similar else "add it: the platform runs `npm start`"
        yield self._fault("start-script", told, hint)

    def _scripts(self, scripts: Mapping[str, str]) -> Iterator[Fault]:
        for key, command in (
            ("postDeploy", self.application.post_deploy or ""),
            ("preUndeploy", self.application.pre_undeploy or ""),
        ):
            if _ELSEWHERE.search(command):
                continue
            for name in dict.fromkeys(_RUN.findall(command)):
                if name not in scripts:
                    told = f"`{key}` runs the script `{name}`, which its `package.json` has not"
                    similar = nearest(name, scripts)
                    hint = f"did you mean `{similar}`?" if similar else "add it"
                    yield self._fault("script-missing", told, hint)

    def _python(self) -> Iterator[Fault]:
        name = self.application.name
        try:
            project = self.tree.read(name, "pyproject.toml") or b""
            if len(project) <= _PARSED_TOML_BYTES:
                tomllib.loads(project.decode())
            requirements = self.tree.read(name, "requirements.txt") or b""
        except (ValueError, RecursionError, FileTooLarge) as error:
            told = f"its `pyproject.toml` or `requirements.txt` cannot be read: {_first(error)}"
            yield self._fault("python-project", told, "mend the file")
            return
        if not self._has(*_PYTHON_LOCKS) and not _is_pinned(requirements):
            told = "the versions of what it needs are not locked"
            hint = "pin every line of `requirements.txt` with `==`, or commit a `uv.lock`"
            yield self._fault("lock-file", told, hint)

    def _has(self, *names: str) -> bool:
        return any(self.tree.has(self.application.name, name) for name in names)

    def _is_known(self, names: list[str]) -> bool:
        suffixes = (".js", ".mjs", ".cjs", ".csproj")
        return self._has(*_OTHER_TECHNOLOGIES) or any(each.endswith(suffixes) for each in names)

    def _like(self) -> str:
        similar = nearest(self.application.name, self.tree.folders())
        if similar:
            return f"did you mean the folder `{similar}`? The names must be the same, in case too"
        return "the folder of an application has exactly its name"

    def _fault(self, rule: str, message: str, hint: str) -> Fault:
        application = self.application
        told = f"application `{application.name}`: {message}"
        return fault(rule, application.at, application.position, told, hint)


def _package(source: bytes | None) -> tuple[Mapping[str, str], str]:
    """The `scripts` and the `main` of a package.json.

    Raises:
        ValueError: it is not JSON, or they are not of their types.
    """
    if source is None:
        raise ValueError("it is no file")
    try:
        package: Any = msgspec.json.decode(source.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no JSON: {error}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(package, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - a fault of the file, not of ours
    scripts = package.get("scripts", {})
    if not isinstance(scripts, dict) or not all(isinstance(e, str) for e in scripts.values()):
        raise ValueError("its `scripts` are not an object of texts")
    main = package.get("main", "")
    return scripts, main if isinstance(main, str) else ""


def _is_pinned(requirements: bytes) -> bool:
    """Whether every line of a requirements.txt has one version."""
    lines = [line.strip() for line in requirements.decode("utf-8", "replace").splitlines()]
    needs = [line for line in lines if line and not line.startswith(("#", "--"))]
    return bool(needs) and all("==" in line or " @ " in line for line in needs)


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]
