"""The way to a repository: which address git gets, and which settings keep it on that way."""

import base64
import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from connectory.database.secrets import load_key_ring
from connectory.settings import GitMirrors, Settings
from connectory.sources import ssh
from connectory.sources.address import Address, covers, parse_address, parse_repository
from connectory.sources.cache import Cache
from connectory.sources.credentials import Credential, matching, opened
from connectory.sources.hosts import Hosts
from connectory.sources.model import AddressRefused, RepositoryNotReachable
from connectory.sources.redirects import redirection

#: For upload-pack, which git starts without our `-c` options; the operator trusts the mirror.
_MOST_REDIRECT_SECONDS = 20.0
_MIRROR_CONFIGURATION = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Which repository is meant, and who asks: what the cache tells apart.

    Attributes:
        folder: The folder of a mirror, or
        address: where it is on a host.
        is_mirror: Whether the operator put it in the place of another.
        credential: What opens it for the Project, if it has something that does.
    """

    folder: Path | None = None
    address: Address | None = None
    is_mirror: bool = False
    credential: Credential | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others: no other repository or credential has the same."""
        where = f"folder:{self.folder}" if self.folder is not None else str(self.address)
        return where, self.credential.id if self.credential is not None else ""


@dataclass(frozen=True, kw_only=True)
class Route:
    """How git reaches one repository.

    Attributes:
        url: What git gets: an address, or the folder of a mirror.
        protocol: The one that git may speak.
        configuration: Settings of git, which it gets by its environment.
        environment: More of git's environment.
        address: Where it is, unless it is a folder.
        pinned: The network addresses of its host; none where the operator trusts the name.
        headers: What an HTTP request needs to be let in.
    """

    url: str
    protocol: str
    configuration: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)
    address: Address | None = None
    pinned: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        self,
        settings: Settings,
        hosts: Hosts,
        cache: Cache,
        credentials_of: Callable[[str], Sequence[Credential]],
        *,
        folder: Path,
    ) -> None:
        self._mirrors = Mirrors(settings.git_mirrors)
        self._hosts = hosts
        self._cache = cache
        self._credentials_of = credentials_of
        self._ca_file = settings.git_ca_file
        self._known_hosts = settings.git_known_hosts
        self._key_ring = functools.cache(lambda: load_key_ring(settings))
        self._mirror_configuration = folder / "mirrors.gitconfig"
        _write_if_other(self._mirror_configuration, _MIRROR_CONFIGURATION)

    def find(self, url: str, project: str) -> Destination:
        """Which repository an address means, for a Project; nothing is reached for that.

        Raises:
            SourceError: the address is none that is taken, or the mirror does not have it.
        """
        address = parse_repository(url)
        https = address.over_https()
        target = self._mirrors.find(address)
        if target is None and https is not None:
            target = self._mirrors.find(https)
        if target is not None and target.startswith("file://"):
            return Destination(folder=_folder(target), is_mirror=True)
        credentials = self._credentials_of(project)
        if target is not None:
            address = parse_address(target, schemes=("https", "http", "ssh"))
        elif https is not None and matching(credentials, address) is None:
            # Without a key, what is public, or opened by a token, is had all the same.
            address = https
        return Destination(
            address=address,
            is_mirror=target is not None,
            credential=matching(credentials, address),
        )

    @contextlib.contextmanager
    def open(self, destination: Destination) -> Iterator[Route]:
        """The way to a repository; it is closed when the block ends.

        Raises:
            SourceError: the server does not go there, or the host has no address.
        """
        address = destination.address
        if address is None:
            environment = {"GIT_CONFIG_GLOBAL": str(self._mirror_configuration)}
            yield Route(url=str(destination.folder), protocol="file", environment=environment)
            return
        pinned = () if destination.is_mirror else self._hosts.pin(address)
        if address.scheme == "ssh":
            with self._by_ssh(address, pinned, destination.credential) as route:
                yield route
        else:
            yield self._by_http(address, pinned, destination.credential)

    def follow(self, route: Route, destination: Destination, *, seconds: float) -> Route | None:
        """The way that a host sends git on to, checked like any other; None where it does not.

        The destination's credential goes along where it opens the new address, too; no other does.

        Raises:
            SourceError: it sends it to where the server does not go.
        """
        if route.address is None or route.protocol == "ssh":
            return None
        url = redirection(
            route.address,
            route.pinned[0] if route.pinned else route.address.host,
            headers=route.headers,
            seconds=min(seconds, _MOST_REDIRECT_SECONDS),
            ca_file=self._ca_file,
        )
        if url is None:
            return None
        try:
            # A mirror's host, too, may name none but public ones.
            address = parse_address(url, schemes=("https",))
            pinned = self._hosts.pin(address)
        except AddressRefused as error:
            raise AddressRefused(
                f"the host sends the server on elsewhere: {error.reason}"
            ) from None
        held = [destination.credential] if destination.credential is not None else []
        return self._by_http(address, pinned, matching(held, address))

    def _by_http(
        self, address: Address, pinned: tuple[str, ...], credential: Credential | None
    ) -> Route:
        headers = {}
        if credential is not None:
            headers = _authorization(credential.username, opened(credential, self._key_ring))
        return Route(
            url=address.for_git,
            protocol=address.scheme,
            configuration=self._configuration(address, pinned, headers),
            address=address,
            pinned=pinned,
            headers=headers,
        )

    @contextlib.contextmanager
    def _by_ssh(
        self, address: Address, pinned: tuple[str, ...], credential: Credential | None
    ) -> Iterator[Route]:
        if credential is None:
            raise RepositoryNotReachable(
                f"to fetch from {address.host} by SSH the Project needs a key: the operator adds"
                " one with `connectory git-credential add`"
            )
        with self._cache.private_folder() as folder:
            environment = ssh.environment(
                address,
                opened(credential, self._key_ring),
                pinned=_for_ssh(pinned),
                known_hosts=self._known_hosts,
                folder=folder,
            )
            yield Route(
                url=address.for_git,
                protocol="ssh",
                environment=environment,
                address=address,
                pinned=pinned,
            )

    def _configuration(
        self, address: Address, pinned: Sequence[str], headers: Mapping[str, str]
    ) -> tuple[tuple[str, str], ...]:
        settings = []
        if self._ca_file is not None:
            settings.append(("http.sslCAInfo", str(self._ca_file.absolute())))
        if pinned:
            places = ",".join(f"[{each}]" if ":" in each else each for each in pinned)
            settings.append(("http.curloptResolve", f"{address.host}:{address.port}:{places}"))
        for name, value in headers.items():
            scope = f"{address.scheme}://{address.host}:{address.port}/"
            settings.append((f"http.{scope}.extraHeader", f"{name}: {value}"))
        return tuple(settings)


def _folder(target: str) -> Path:
    path = unquote(target.removeprefix("file://"))
    for each in (path, path.removesuffix(".git"), f"{path}.git"):
        if Path(each).is_dir():
            return Path(each)
    raise RepositoryNotReachable("the operator's mirror does not have this repository")


def _authorization(username: str, token: bytes) -> dict[str, str]:
    login = base64.b64encode(username.encode() + b":" + token).decode()
    return {"Authorization": f"Basic {login}"}


def _for_ssh(pinned: Sequence[str]) -> str | None:
    """The one address that ssh tries: of IPv4 where there is one, which is reached more often."""
    return min(pinned, key=lambda each: ":" in each, default=None)


def _write_if_other(file: Path, text: str) -> None:
    if not file.exists() or file.read_text() != text:
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(text)
        part.replace(file)
