"""`connectory doctor`: what holds on this machine, what does not, and how to get it."""

import os
import shutil
import subprocess
import sys

import click
from msgspec import Struct

from connectory.cli.installation import as_json, show, with_settings
from connectory.containment.model import Containment
from connectory.containment.probe import find_containment
from connectory.settings import Settings

#: Programs that are run: what for, and whether nothing can be deployed without.
_TOOLS = {
    "git": ("fetches repositories", True),
    "node": ("builds and runs applications", True),
    "npm": ("installs their dependencies", True),
    "yarn": ("the same for a yarn.lock; without it, npm installs it for builds", False),
    "pnpm": ("the same for a pnpm-lock.yaml; without it, npm installs it for builds", False),
}
_SECONDS = 10.0


class _Finding(Struct, frozen=True):
    """One line: `how` tells how to get what does not hold."""

    what: str
    holds: bool
    needed: bool
    how: str = ""


@click.command()
@as_json
@with_settings
def doctor(settings: Settings, as_json: bool) -> None:
    """Show what holds on this machine, what does not, and how to get it.

    Programs are run to find out; nothing is changed. Exit code 1 where Connectors of others cannot
    be run without danger to what is yours, or where nothing can be deployed at all.
    """
    containment = find_containment(settings.data)
    try:
        name, safe = containment.name, containment.holds.safe
        findings = [*_confining(containment), *map(_tool, _TOOLS)]
    finally:
        containment.close()
    if as_json:
        show({"containment": name, "safe": safe, "findings": findings})
    else:
        _print(name, findings, safe=safe)
    if not safe or any(each.needed and not each.holds for each in findings):
        sys.exit(1)


def _confining(containment: Containment) -> list[_Finding]:
    """What it gives; `safe` says whether enough of it."""
    return [_Finding(*each[:2], False, each[2]) for each in containment.holds.findings]


def _tool(name: str) -> _Finding:
    does, needed = _TOOLS[name]
    path = shutil.which(name)
    version = _version(path) if path else ""
    how = "" if version else f"Install {name}: it {does}."
    if not version and not needed:
        how = f"Install {name}: {does}."
    return _Finding(f"{name} {version}".strip(), bool(version), needed, how)


def _version(path: str) -> str:
    """What a program says of its version; empty where it cannot be run."""
    try:
        answer = subprocess.run(  # noqa: S603 - found in the PATH of whoever asks
            [path, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
            # Those of corepack would fetch themselves first.
            env={**os.environ, "COREPACK_ENABLE_NETWORK": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    lines = answer.stdout.decode(errors="replace").split("\n", 1)
    return lines[0].strip().removeprefix("git version ").removeprefix("v")


def _print(name: str, findings: list[_Finding], *, safe: bool) -> None:
    for each in findings:
        click.echo(f"{'yes' if each.holds else 'no ':3}  {each.what}")
        if each.how:
            click.echo(f"     {each.how}")
    click.echo()
    click.echo(f"Programs are confined by: {name}")
    if safe:
        click.echo("Connectors of others can be run here.")
    else:
        click.echo("Connectors of others cannot be run here without danger to what is yours.")
