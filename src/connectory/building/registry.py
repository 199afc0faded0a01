"""What builds get of the machine's npm configuration: where packages come from, and no secrets."""

import os
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
_REGISTRY: Final = re.compile(r"(?im)^\s*registry\s*=\s*\"?([^\"\s]+)")
#: Where programs of the system are, in every sandbox.
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
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


def npm_environment(path: Sequence[str], home: str, npmrc: str, packages: str) -> dict[str, str]:
    """The environment of npm in a build: folders for PATH, and places as the build sees them."""
    return {
        "PATH": os.pathsep.join(dict.fromkeys((*path, *SYSTEM_PATH.split(":")))),
        "HOME": home,
        "LANG": "C.UTF-8",
        "npm_config_userconfig": npmrc,
        "npm_config_cache": f"{packages}/npm",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_progress": "false",
        "npm_config_update_notifier": "false",
        "npm_config_logs_max": "0",
    }


def yarn_environment(registry: Registry) -> dict[str, str]:
    """What Yarn from 2 on is told: it reads neither npm's configuration nor proxies."""
    settings = {name.lower(): value for name, value in registry.environment.items()}
    named = _REGISTRY.findall(registry.npmrc)
    address = settings.get("npm_config_registry") or (named[-1] if named else "")
    found = {}
    if address:
        found["YARN_NPM_REGISTRY_SERVER"] = address
        if address.startswith("http:"):
            found["YARN_UNSAFE_HTTP_WHITELIST"] = re.split(r"[/:]", address[7:])[0]
    for name in ("http_proxy", "https_proxy"):
        if name in settings:
            found[f"YARN_{name.upper()}"] = settings[name]
    return found
