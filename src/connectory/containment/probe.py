"""Which way to confine holds here: found by running a program in each, best first.

That a command is installed says little: kernels, containers and security modules forbid
namespaces in many ways. So nothing counts but a program that ran.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from connectory.containment import cgroups
from connectory.containment.bare import Bare
from connectory.containment.launching import Launcher
from connectory.containment.model import Confinement, Containment, Network
from connectory.containment.namespaces import Namespaces, Tools

_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
_SECONDS = 5.0


def find_containment(data_folder: Path) -> Containment:
    """The best way that holds on this machine. It takes up to half a second.

    `data_folder` is the server's, which exists: names of control groups and users come of it, and
    what ended servers of it left is removed.
    """
    return next(usable_ways(data_folder))


def usable_ways(data_folder: Path) -> Iterator[Containment]:
    """Every way that holds on this machine, the best first; `bare` always does.

    Whoever takes one closes it.
    """
    groups = cgroups.found(data_folder)
    refused = ""
    for tools in _tools():
        if isinstance(tools, str):
            refused = refused or tools
            continue
        way = Namespaces(data_folder, tools, groups, Launcher(), refused)
        why = _refusal(way)
        if why:
            refused = f"{refused} {why}".strip()
            way.close()
        else:
            yield way
    yield Bare(groups, Launcher(), refused)


def _tools() -> Iterator[Tools | str]:
    """The tools of each way in namespaces, the best first; or what is lacking, in words."""
    if sys.platform != "linux":
        yield "Namespaces are of Linux."
        return
    bwrap, prlimit, pasta, ip = (_which(each) for each in ("bwrap", "prlimit", "pasta", "ip"))
    if not bwrap or not prlimit:
        yield "Install bubblewrap (for bwrap) and util-linux (for prlimit)."
        return
    alone = Tools(bwrap=bwrap, version=_version(bwrap), prlimit=prlimit)
    if pasta and ip:
        yield replace(alone, pasta=pasta, ip=ip)
    else:
        yield "Install passt (for pasta) and iproute2 (for ip)."
    yield alone


def _which(name: str) -> str:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    return shutil.which(name, path=path) or ""


def _version(bwrap: str) -> tuple[int, ...]:
    answer = subprocess.run([bwrap, "--version"], capture_output=True, check=False)  # noqa: S603
    numbers = re.findall(r"\d+", answer.stdout.decode(errors="replace"))
    return tuple(int(each) for each in numbers[:2])


def _refusal(way: Namespaces) -> str:
    """Why a way does not hold here, in its own words; empty where it does."""
    tried = Confinement(
        command=["/bin/sh", "-c", "exit 0"],
        environment={},
        mounts=[],
        folder="/",
        network=Network.PUBLIC,
    )
    with tempfile.TemporaryFile() as told:
        try:
            program = way.start(tried, stdout=subprocess.DEVNULL, stderr=told)
            try:
                code = program.wait(_SECONDS)
            except TimeoutError:
                program.kill()
                return f"{way.name}: a program did not end within {_SECONDS:g} seconds."
        except OSError as error:
            return f"{way.name}: {error}."
        if code == 0:
            return ""
        told.seek(0)
        return f"{way.name}: {_words(told.read().splitlines()) or f'exit code {code}'}."


def _words(lines: Sequence[bytes]) -> str:
    """What a tool said, without what it says of not being able to say it elsewhere."""
    texts = (line.decode(errors="replace").strip() for line in lines)
    return "; ".join(text for text in texts if text and "to syslog" not in text)
