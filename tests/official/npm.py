"""Installing the official packages: once for each lock file, kept for the runs that follow."""

import fcntl
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
OLDEST_NODE = (18, 20)
CLI_VERSION: str = json.loads((HERE / "package.json").read_text())["dependencies"][
    "@commercetools/cli"
]

_NPM_OPTIONS = (
    *("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"),
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=4000"),  # else it waits a minute
)

#: What npm says where no registry is to be reached.
_UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH")


class NotInstallable(Exception):
    """The packages cannot be had on this machine; the message says why."""


def installed(node: str) -> Path:
    """The folder of the packages, installed if they are not: 20 s, and 200 MB.

    Raises:
        NotInstallable: Node is too old, or no registry is to be reached.
    """
    version = subprocess.run([node, "-v"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.strip().lstrip("v").split(".")[:2])) < OLDEST_NODE:
        raise NotInstallable(f"the official CLI wants Node 18.20, and this is {version.strip()}")
    folder = HERE / "node_modules"
    mark = folder / ".installed"  # written last, and gone when the folder goes
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with (HERE / ".npmrc").open() as lock:  # the workers of one run wait for the first
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != wanted:
            _install()
            mark.write_text(wanted)
    return folder


def _install() -> None:
    done = subprocess.run(
        ["npm", "ci", *_NPM_OPTIONS],
        cwd=HERE,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode and (found := _UNREACHABLE.search(done.stderr)):
        raise NotInstallable(f"npm cannot reach a registry ({found[0]})")
    assert done.returncode == 0, done.stderr


def environment() -> dict[str, str]:
    """This machine's environment, without what steers Node, the official CLI or our commands."""
    steering = re.compile(r"CONNECTORY_|CTP_|NODE_OPTIONS$|FORCE_COLOR$")
    return {name: value for name, value in os.environ.items() if not steering.match(name)}
