"""The demo's own connector: a repository in the data folder, published, ready to be deployed.

It needs Node and nothing else: no package, no network. A mirror leads to it, as an operator would
set one up for a repository of their own.
"""

import dataclasses
import json
import os
import subprocess
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import click
import msgspec

from connectory import specification
from connectory.catalogue.importing import import_connectors
from connectory.database.engine import Database
from connectory.settings import GitMirrors, Settings

KEY = "hello"
URL = "https://github.com/connectory-demo/hello.git"
TAG = "v1.1.0"

#: The same for ever, so that the commit is the same on every machine.
_AUTHOR = {
    "GIT_AUTHOR_NAME": "Connectory",
    "GIT_AUTHOR_EMAIL": "demo@connectory.example",
    "GIT_AUTHOR_DATE": "2026-11-25T12:00:00Z",
    "GIT_COMMITTER_NAME": "Connectory",
    "GIT_COMMITTER_EMAIL": "demo@connectory.example",
    "GIT_COMMITTER_DATE": "2026-11-25T12:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def with_demo_connector(settings: Settings) -> Settings:
    """The settings with the repository of the demo's connector, made where it is not there yet.

    Raises:
        ClickException: git is not there, or does not do it.
    """
    repository = (settings.data / "demo" / f"hello-{TAG}.git").absolute()
    if not repository.exists():
        try:
            _make(repository)
        except (OSError, subprocess.CalledProcessError) as error:
            raise click.ClickException(
                f"the demo's connector needs git, which failed: {error}"
            ) from None
    pairs = (*settings.git_mirrors.pairs, (URL, f"file://{repository}"))
    return dataclasses.replace(settings, git_mirrors=GitMirrors(pairs))


def publish_demo_connector(database: Database, *, actor: str, now: int) -> None:
    """Publish it; a second time changes nothing."""
    text = _files().joinpath("connect.yaml").read_bytes()
    declared = specification.read(text).specification
    if declared is None:
        raise AssertionError("the demo's connect.yaml is not valid")
    line = {
        "key": KEY,
        "name": "Hello",
        "description": "The demo's own connector: deploy it, call it, send it messages.",
        "integrationTypes": ["other"],
        "creator": {"email": "demo@connectory.example", "company": "Connectory"},
        "repository": {"url": URL, "tag": TAG},
        "configurations": msgspec.to_builtins(declared.configurations()),
        "supportedRegions": [],
    }
    faults: list[str] = []
    import_connectors(
        database,
        [json.dumps(line).encode()],
        actor=actor,
        now=now,
        fault=lambda found: faults.append(str(found)),
    )


def _files() -> Traversable:
    return resources.files("connectory.cli").joinpath("hello")


def _make(repository: Path) -> None:
    """Make the repository aside, and put it in its place in one step."""
    repository.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent) as folder:
        work = Path(folder, "hello")
        _copy(_files(), work)
        environment = _AUTHOR | {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder}
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--no-gpg-sign", "--message=A connector that says hello"),
            ("tag", TAG),
        ):
            subprocess.run(  # noqa: S603
                ["git", *arguments],  # noqa: S607 - whichever git is first on the path
                cwd=work,
                env=environment,
                check=True,
                capture_output=True,
            )
        work.rename(repository)


def _copy(source: Traversable, target: Path) -> None:
    if source.is_dir():
        target.mkdir()
        for each in source.iterdir():
            _copy(each, target / each.name)
    else:
        target.write_bytes(source.read_bytes())
