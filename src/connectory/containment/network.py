"""A network of its own: pasta's arguments, and the routes that keep what is private out of reach.

pasta gives a program a network namespace and carries its connections out, as the kernel would for
an ordinary program of this machine. So whatever this machine reaches, the program would: what it
must not is made unreachable by routes within, before the program's capabilities are dropped.
"""

import ipaddress
import struct
from collections.abc import Sequence
from pathlib import Path

from connectory.containment.model import APPLICATION_PORT, Network

#: Of a block for documentation, that leads nowhere (RFC 5737). pasta carries what is asked of it
#: to this machine's resolver, which may be at any address, loopback among them.
RESOLVER = "198.51.100.53"
#: Of the same block: pasta answers for every address, and routes need one to lead to.
_GATEWAY = "198.51.100.1"
_INTERFACE = "net0"
_SMALLEST = 30  # the longest prefix of a network with an address beside one's own

#: RFC 6890 and its successors: what is not of the public internet.
PRIVATE = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)


def arguments(network: Network, port: int | None) -> list[str]:
    """The arguments of pasta, but the command.

    `--no-map-gw`: without it the gateway's address leads to this machine's loopback.
    """
    given = ["-f", "-q", "--no-map-gw", "-I", _INTERFACE, "-u", "none", "-T", "none", "-U", "none"]
    given += ["-t", f"127.0.0.1/{port}:{APPLICATION_PORT}" if port else "none"]
    if network is not Network.NONE:
        given += ["--config-net", "--dns-forward", RESOLVER]
    if network is not Network.OPEN:
        # What is public is reached by IPv4. IPv6 has more ways into private networks (link-local,
        # translated and mapped addresses) than routes can name.
        given += ["--ipv4-only"]
    return given + _without_default_route()


def _without_default_route() -> list[str]:
    """What pasta must be told where this machine has no way out, which it asks for even then."""
    connected = [(name, network) for name, network, gateway in _routes() if not gateway]
    if any(not network.prefixlen for _, network, _ in _routes()):
        return []
    for name, network in connected:
        if network.prefixlen <= _SMALLEST:
            # Any address but this machine's, which is seldom the last.
            return ["-i", name, "-g", str(network.broadcast_address - 1)]
    return []


def routes(network: Network) -> str:
    """What `ip -batch` is to be told within; empty where the routes are right as pasta made them.

    Raises:
        OSError: this machine's own routes cannot be read.
    """
    if network is not Network.PUBLIC:
        return ""
    lines = [
        "route flush table main",
        f"route add default via {_GATEWAY} dev {_INTERFACE} onlink",
        *(f"route add unreachable {each}" for each in [*PRIVATE, *_neighbours()]),
    ]
    return "".join(f"{line}\n" for line in lines)


def _neighbours() -> Sequence[str]:
    """This machine's own addresses, its gateways and the networks it is in, unless public ones."""
    found: set[ipaddress.IPv4Network] = set()
    for _, network, gateway in _routes():
        if gateway:
            found.add(ipaddress.IPv4Network(gateway))
        if network.prefixlen and not network.is_global:
            found.add(network)
    found |= {ipaddress.IPv4Network(each) for each in _own_addresses()}
    private = [ipaddress.IPv4Network(each) for each in PRIVATE]
    beyond = [each for each in found if not any(each.subnet_of(other) for other in private)]
    return [str(each) for each in ipaddress.collapse_addresses(beyond)]


def _routes() -> Sequence[tuple[str, ipaddress.IPv4Network, str]]:
    """Of each of this machine's routes its interface, its network and its gateway, or nothing."""
    found = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        name, target, gateway, _, _, _, _, mask, *_ = line.split()
        network = ipaddress.IPv4Network(f"{_address(target)}/{_address(mask)}")
        found.append((name, network, _address(gateway) if int(gateway, 16) else ""))
    return found


def _own_addresses() -> Sequence[str]:
    """From the kernel's table, which has each on the line before `/32 host LOCAL`."""
    before = ""
    found = []
    for line in Path("/proc/net/fib_trie").read_text().splitlines():
        if line.strip() == "/32 host LOCAL" and not before.startswith("127."):
            found.append(before)
        before = line.rpartition("-- ")[2].strip()
    return found


def _address(little_endian: str) -> str:
    return str(ipaddress.IPv4Address(struct.pack("<I", int(little_endian, 16))))
