"""Addresses of repositories and names of tags: pure, and linear in their length.

Taken are `https://host[:port]/path`, `ssh://[user@]host[:port]/path` and `user@host:path`, with or
without `.git` at the end: what the official client takes and git understands
(docs/decisions/0013-git-repositories.md).
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from connectory.sources.model import AddressRefused, TagRefused

PORTS = {"https": 443, "http": 80, "ssh": 22}

_LONGEST_URL = 2048
_LONGEST_TAG = 255
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_IPV4 = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9._~@:/%+,()=-]+", re.ASCII)
_FORMS = "https://host/path.git, ssh://git@host/path.git and git@host:path.git"


@dataclass(frozen=True)
class Address:
    """Where a repository is.

    Attributes:
        scheme: https or ssh; http only for mirrors.
        user: The user of ssh, else empty.
        host: A name or an IPv4 address, in lower case.
        port: The port, the usual one of the scheme where none was given.
        path: Without the leading slash, and without a trailing one.
        relative: Whether it was spelled `user@host:path`, where a server may start from the
            user's own folder.
    """

    scheme: str
    user: str
    host: str
    port: int
    path: str
    relative: bool = False

    def __str__(self) -> str:
        """The canonical spelling, which prefixes of mirrors and credentials are compared with."""
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.host}{port}/{self.path}"

    @property
    def for_git(self) -> str:
        """The spelling that git gets."""
        return f"{self.user}@{self.host}:{self.path}" if self.relative else str(self)

    def over_https(self) -> "Address | None":
        """Where the public hosts have the same repository without a key; None if it is here."""
        if self.scheme != "ssh" or self.port != PORTS["ssh"]:
            return None
        return Address("https", "", self.host, PORTS["https"], self.path)


def parse_address(url: str, *, schemes: tuple[str, ...] = ("https", "ssh")) -> Address:
    """Read the address of a repository, or the prefix of some.

    Raises:
        AddressRefused: it is none of the forms that are taken.
    """
    if len(url) > _LONGEST_URL:
        raise AddressRefused(f"the address is longer than {_LONGEST_URL} characters")
    scheme, separator, rest = url.partition("://")
    if separator:
        scheme = scheme.lower()
        if scheme not in schemes:
            raise AddressRefused(f"the address must be one of {_FORMS}")
        authority, _, path = rest.partition("/")
        return _address(scheme, authority, path, relative=False)
    authority, separator, path = url.partition(":")
    if not separator or "@" not in authority or "ssh" not in schemes:
        raise AddressRefused(f"the address must be one of {_FORMS}")
    return _address("ssh", authority, path, relative=not path.startswith("/"))


def _address(scheme: str, authority: str, path: str, *, relative: bool) -> Address:
    user, at, place = authority.rpartition("@")
    if scheme != "ssh" and at:
        raise AddressRefused(
            "the address has a user or a password before its @, and everybody who sees the"
            " Connector would see it: leave it out, and let the operator add a git credential"
        )
    if at and not _USER.fullmatch(user):
        raise AddressRefused("what stands before the @ is not the name of a user, such as git")
    host, colon, port = place.partition(":")
    _check_host(host)
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16):
        raise AddressRefused("the port of the address is not a number from 1 to 65535")
    path = path.removeprefix("/") if relative else path.lstrip("/")
    path = path.rstrip("/")
    _check_path(path)
    return Address(
        scheme,
        (user or "git") if scheme == "ssh" else "",
        host.lower(),
        int(port) if colon else PORTS[scheme],
        path,
        relative,
    )


def _check_host(host: str) -> None:
    if len(host) > 253 or not _HOST.fullmatch(host):  # noqa: PLR2004 - as the DNS has it
        raise AddressRefused("the address has no host, or one that cannot be the name of a host")
    last = host.rpartition(".")[2]
    if last[0].isdigit() and not _IPV4.fullmatch(host):
        # 0x7f.1 and 2130706433 are spellings of 127.0.0.1 to some programs.
        raise AddressRefused("the host of the address is neither a name nor an IPv4 address")


def _check_path(path: str) -> None:
    if not path:
        return
    if not _PATH.fullmatch(path):
        raise AddressRefused(
            "the path of the address has a character that it may not have; letters, digits and"
            " ._~@:/%+,()=- are taken"
        )
    if path.startswith("-"):
        raise AddressRefused("the path of the address must not start with -")
    for segment in unquote(path, errors="replace").split("/"):
        if segment in ("", ".", ".."):
            raise AddressRefused(
                "the path of the address has an empty part, or one that is . or .."
            )
        if not segment.isprintable() or "\\" in segment:
            raise AddressRefused("the path of the address has an escape that it may not have")


def parse_repository(url: str) -> Address:
    """Read the address of one repository.

    Raises:
        AddressRefused: it is none of the forms that are taken.
    """
    address = parse_address(url)
    if not address.path:
        raise AddressRefused(f"the address names no repository; it must be one of {_FORMS}")
    return address


def covers(prefix: str, address: str) -> bool:
    """Whether an address starts with a prefix, and the prefix ends where a part of it does.

    `https://host/acme` covers `https://host/acme/x.git` and `https://host/acme.git`, and not
    `https://host/acme-two/x.git`.
    """
    bare = prefix.rstrip("/")
    return address in (bare, f"{bare}.git") or address.startswith(f"{bare}/")


def check_tag(tag: str) -> None:
    """Make sure that a tag can be the name of one, by the rules of git-check-ref-format(1).

    A name that starts with - is legal for git, which creates none by its own commands; it is
    refused, because such names are made to be read as options.

    Raises:
        TagRefused: it cannot be.
    """
    problem = _problem_of_tag(tag)
    if problem:
        raise TagRefused(f"the tag {problem}, which no tag of git may")


def _problem_of_tag(tag: str) -> str | None:
    bad = next((each for each in tag if not _may_be_in_tag(each)), None)
    problems = (
        (not tag, "is empty"),
        (len(tag.encode(errors="replace")) > _LONGEST_TAG, f"is longer than {_LONGEST_TAG} bytes"),
        (tag.startswith("-"), "starts with -"),
        (bad is not None, f"contains {bad!a}"),
        (".." in tag, "contains .."),
        ("@{" in tag, "contains @{"),
        (tag.endswith("."), "ends with ."),
        (
            any(
                not part or part.startswith(".") or part.endswith(".lock")
                for part in tag.split("/")
            ),
            "has a part between slashes that is empty, starts with . or ends with .lock",
        ),
    )
    return next((problem for is_so, problem in problems if is_so), None)


def _may_be_in_tag(character: str) -> bool:
    return character > " " and character not in "~^:?*[\\" and character.isprintable()
