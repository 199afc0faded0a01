"""Which hosts are reached: by name the operator's list says, by address only public ones.

Names are resolved here, once, and every address is looked at; git and ssh then connect to these
addresses and to no others, so that a name cannot mean one thing when it is checked and another when
it is used.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence

from connectory.sources.address import PORTS, Address
from connectory.sources.model import AddressRefused, HostNotReachable

#: Gives the addresses of a host, for a port.
Resolve = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")
#: Special networks that `is_global` of some Python does not know, or takes for global.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # Azure's own services, as seen from its machines
            "192.0.0.0/24",
            "192.88.99.0/24",
            "2001::/23",  # Teredo, ORCHID and their kin
            "2001:db8::/32",
            "3fff::/20",
        ),
    )
)


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, by the machine's resolver.

    Raises:
        OSError: it has none, or the resolver does not answer.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet.

    Loopback, private, shared (CGNAT), link-local, multicast, reserved and documentation networks
    are not, nor are IPv6 spellings of such IPv4 addresses (mapped, 6to4, NAT64).
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is None and address not in _IPV6_UNICAST:
            return False
        address = inner or address
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address is a spelling of."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address.ipv4_mapped


class Hosts:
    """The hosts that the operator lets repositories be on."""

    def __init__(
        self,
        allowed: Sequence[str],
        *,
        resolve: Resolve = resolve,
        is_permitted: Callable[[str], bool] = is_public,
    ) -> None:
        self._allowed = frozenset(each.lower() for each in allowed)
        self._resolve = resolve
        self._is_permitted = is_permitted

    def pin(self, address: Address) -> tuple[str, ...]:
        """The addresses that a host is reached at.

        Raises:
            AddressRefused: the host is not on the list, or one of its addresses is not public.
            HostNotReachable: it has no address.
        """
        self._check_name(address)
        try:
            found = tuple(self._resolve(address.host, address.port))
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise HostNotReachable(
                f"the host {address.host} has no address: look at its spelling, or try again later"
            )
        if not all(map(self._is_permitted, found)):
            raise AddressRefused(
                f"the host {address.host} is at a private or local address, which the server"
                " reaches only where its operator sets CONNECTORY_GIT_MIRRORS"
            )
        return found

    def _check_name(self, address: Address) -> None:
        usual = address.port == PORTS[address.scheme]
        names = {f"{address.host}:{address.port}"} | ({address.host, "*"} if usual else set())
        if names.isdisjoint(self._allowed):
            place = address.host if usual else f"{address.host}:{address.port}"
            raise AddressRefused(
                f"the server does not fetch from {place}; its operator can allow it with"
                " CONNECTORY_GIT_HOSTS"
            )
