"""Where webhooks may be sent to: public addresses by HTTPS, unless the operator allows others.

A name is resolved when a webhook is made, so that its maker hears of it, and again before each
attempt, which then connects to the addresses that were looked at and to no others.
"""

import re
from dataclasses import dataclass
from typing import Final

from connectory.sources.address import parse_address
from connectory.sources.hosts import Resolve, is_public, resolve
from connectory.sources.model import AddressRefused

_LONGEST: Final = 2_048
_TARGET: Final = re.compile(r"/[\x21-\x7e]*|\?[\x21-\x7e]*|", re.ASCII)
_ALLOW: Final = "CONNECTORY_WEBHOOK_PRIVATE_ADDRESSES=on"


class WebhookAddressRefused(Exception):
    """A webhook cannot be sent there; the message is one sentence that a person can act on."""


@dataclass(frozen=True)
class Target:
    """Where a webhook is sent to.

    Attributes:
        secure: Whether by HTTPS.
        host: A name or an IPv4 address, in lower case.
        port: The port.
        path: Path and query, as they were given, with a slash in front.
    """

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        usual = 443 if self.secure else 80
        return self.host if self.port == usual else f"{self.host}:{self.port}"


def parse_target(url: str, *, private: bool) -> Target:
    """Read the address of a webhook; with `private`, http:// is taken as well.

    Raises:
        WebhookAddressRefused: it is none that is taken.
    """
    if len(url) > _LONGEST:
        raise WebhookAddressRefused(f"the address is longer than {_LONGEST} characters")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("https", "http"):
        raise WebhookAddressRefused("the address must be one of the form https://host/path")
    if scheme == "http" and not private:
        raise WebhookAddressRefused(
            f"the address must begin with https://; http:// is taken only where the operator sets"
            f" {_ALLOW}"
        )
    (authority,) = re.findall(r"\A[^/?#]*", rest)
    path = rest[len(authority) :]
    if "@" in authority:
        raise WebhookAddressRefused(
            "the address has a user or a password before its @, which are not sent: leave them"
            " out; deliveries are signed"
        )
    if "#" in path or not _TARGET.fullmatch(path):
        raise WebhookAddressRefused(
            "the path of the address has a character that it may not have: escape it"
        )
    try:
        address = parse_address(f"{scheme}://{authority}", schemes=("https", "http"))
    except AddressRefused as error:
        raise WebhookAddressRefused(error.reason) from None
    return Target(
        secure=scheme == "https",
        host=address.host,
        port=address.port,
        path=path if path.startswith("/") else f"/{path}",
    )


def pinned(target: Target, *, private: bool, resolve: Resolve = resolve) -> tuple[str, ...]:
    """The network addresses that a webhook is sent to; in any thread but the event loop's.

    Raises:
        WebhookAddressRefused: the host has none, or one of them is not public.
    """
    try:
        found = tuple(resolve(target.host, target.port))
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise WebhookAddressRefused(
            f"the host {target.host} has no address: look at its spelling, or try again later"
        )
    if not private and not all(map(is_public, found)):
        raise WebhookAddressRefused(
            f"the host {target.host} is at a private or local address, which webhooks reach only"
            f" where the operator sets {_ALLOW}"
        )
    return found
