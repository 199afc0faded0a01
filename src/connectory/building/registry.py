"""What builds get of the machine's npm configuration: where packages come from, and no secrets."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

#: Lines of an npmrc that hold credentials, or run programs of this machine.
_SECRET: Final = re.compile(
    r"(^|:)_?(auth|authtoken|password|username|email|key|keyfile|cert|certfile|otp|git|tokenhelper)"
    r"\s*(\[\])?\s*=",
    re.IGNORECASE,
)
_USER_IN_ADDRESS: Final = re.compile(r"(https?://)[^/\s@]*@")
_HANDED_ON: Final = re.compile(
    r"NODE_EXTRA_CA_CERTS|npm_config_(registry|cafile|strict_ssl|maxsockets|fetch_\w+|nodedir)"
    r"|(https?|no)_proxy",
    re.IGNORECASE,
)
_FILE: Final = re.compile(r"(?im)^\s*cafile\s*=\s*\"?([^\"\n]+?)\"?\s*$")
_DEFAULTS: Final = ("/etc/npmrc", "~/.npmrc")


class Registry(Struct, frozen=True, kw_only=True):
    """npm's configuration for builds.

    Attributes:
        npmrc: The text of the file that is npm's user configuration.
        environment: Variables of npm and of Node.
        files: Files that these name, to be shown at their places.
    """

    npmrc: str = ""
    environment: Mapping[str, str] = {}
    files: Sequence[Path] = ()


def read_registry(npm_config: Path | None, environment: Mapping[str, str]) -> Registry:
    """Read the file that the operator names, whole; without one the machine's, without secrets.

    `environment` is the server's: what it says of registries, proxies and certificates is
    handed on.
    """
    if npm_config is not None:
        text = npm_config.read_text(errors="replace")
    else:
        found = (Path(name).expanduser() for name in _DEFAULTS)
        text = "\n".join(
            without_secrets(path.read_text(errors="replace")) for path in found if path.is_file()
        )
    handed = {name: value for name, value in environment.items() if _HANDED_ON.fullmatch(name)}
    if npm_config is None:
        handed = {name: _USER_IN_ADDRESS.sub(r"\1", value) for name, value in handed.items()}
    named = _FILE.findall(text) + [
        value for name, value in handed.items() if name.lower().endswith(("cafile", "ca_certs"))
    ]
    files = dict.fromkeys(Path(each) for each in named if Path(each).is_file())
    return Registry(npmrc=text, environment=handed, files=tuple(files))


def without_secrets(npmrc: str) -> str:
    """An npmrc without the lines that hold credentials, and without users in addresses."""
    kept = (line for line in npmrc.splitlines() if not _SECRET.search(line))
    return "".join(_USER_IN_ADDRESS.sub(r"\1", line) + "\n" for line in kept)
