"""The way to a repository: which address git gets, and which settings keep it on that way."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from connectory.settings import GitMirrors
from connectory.sources.address import Address, covers, parse_address, parse_repository
from connectory.sources.hosts import Hosts
from connectory.sources.model import AddressRefused, RepositoryNotReachable

#: For upload-pack, which git starts without our `-c` options; the operator trusts the mirror.
_MIRROR_CONFIGURATION = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n"


@dataclass(frozen=True, kw_only=True)
class Route:
    """How one repository is reached.

    Attributes:
        url: What git gets: an address, or the folder of a mirror.
        protocol: The one that git may speak.
        identity: What tells this repository from others, for the cache.
        credential: Which credential opens it, for the cache; empty for none.
        configuration: Settings of git, which it gets by its environment.
        environment: More of git's environment.
        address: Where it is, unless it is a folder.
    """

    url: str
    protocol: str
    identity: str
    credential: str = ""
    configuration: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    address: Address | None = None

    @property
    def for_git(self) -> dict[str, str]:
        """The environment that git gets for this route."""
        environment = {"GIT_ALLOW_PROTOCOL": self.protocol, **self.environment}
        if self.configuration:
            environment["GIT_CONFIG_COUNT"] = str(len(self.configuration))
        for number, (key, value) in enumerate(self.configuration):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment


class Mirrors:
    """The operator's replacements of addresses; the longest prefix counts."""

    def __init__(self, mirrors: GitMirrors) -> None:
        pairs = [(_prefix(prefix), target) for prefix, target in mirrors.pairs]
        self._pairs = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)

    def find(self, address: Address) -> str | None:
        """What an address is replaced by: a file:// URL or an address."""
        spelled = str(address)
        for prefix, target in self._pairs:
            if covers(prefix, spelled):
                rest = spelled[len(prefix.rstrip("/")) :]
                return target.rstrip("/") + rest
        return None


def _prefix(prefix: str) -> str:
    try:
        return str(parse_address(prefix))
    except AddressRefused as error:
        raise AddressRefused(f"CONNECTORY_GIT_MIRRORS: {prefix}: {error.reason}") from None


class Routes:
    """Finds the way to repositories."""

    def __init__(
        self, mirrors: Mirrors, hosts: Hosts, *, folder: Path, ca_file: Path | None
    ) -> None:
        self._mirrors = mirrors
        self._hosts = hosts
        self._tls: tuple[tuple[str, str], ...]
        self._tls = (("http.sslCAInfo", str(ca_file)),) if ca_file is not None else ()
        self._mirror_configuration = folder / "mirrors.gitconfig"
        _write_if_other(self._mirror_configuration, _MIRROR_CONFIGURATION)

    @contextlib.contextmanager
    def open(self, url: str, project: str) -> Iterator[Route]:
        """The way to a repository, for a Project; it is closed when the block ends.

        Raises:
            SourceError: there is none.
        """
        del project
        address = parse_repository(url)
        https = address.over_https()
        target = self._mirrors.find(address)
        if target is None and https is not None:
            target = self._mirrors.find(https)
        if target is not None and target.startswith("file://"):
            yield self._to_folder(target)
        elif target is not None:
            yield self._to_host(parse_address(target, schemes=("https", "http", "ssh")), None)
        else:
            yield self._to_host(address, self._hosts.pin(address))

    def _to_folder(self, target: str) -> Route:
        path = unquote(target.removeprefix("file://"))
        candidates = (path, path.removesuffix(".git"))
        found = next((each for each in candidates if Path(each).is_dir()), None)
        if found is None:
            raise RepositoryNotReachable("the operator's mirror does not have this repository")
        return Route(
            url=found,
            protocol="file",
            identity=found,
            environment={"GIT_CONFIG_GLOBAL": str(self._mirror_configuration)},
        )

    def _to_host(self, address: Address, pinned: tuple[str, ...] | None) -> Route:
        configuration = self._tls
        if pinned is not None and address.scheme == "https":
            places = ",".join(f"[{each}]" if ":" in each else each for each in pinned)
            pin = f"{address.host}:{address.port}:{places}"
            configuration += (("http.curloptResolve", pin),)
        return Route(
            url=address.for_git,
            protocol=address.scheme,
            identity=str(address),
            configuration=configuration,
            address=address,
        )


def _write_if_other(file: Path, text: str) -> None:
    if not file.exists() or file.read_text() != text:
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(text)
        part.replace(file)
