"""Whose word is taken for the client's address and for the scheme and host it used."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is in one of the trusted networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in trusted)


def client_address(scope: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """The address of the client: the last one in X-Forwarded-For that no trusted proxy has.

    Without a trusted proxy in front, it is the address of the connection, whatever headers say.
    """
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if not trusted or not is_trusted(address, trusted):
        return address
    forwarded = _values(scope["headers"], b"x-forwarded-for")
    for hop in reversed(forwarded):
        address = hop
        if not is_trusted(hop, trusted):
            break
    return address


def request_origin(
    scope: Mapping[str, Any],
    headers: Mapping[bytes, bytes],
    trusted: Sequence[Network],
    public_url: str,
) -> str:
    """`scheme://host` as the client used it, for addresses that an answer shows.

    The setting wins; then, from a trusted proxy, X-Forwarded-Proto and X-Forwarded-Host; then what
    the connection itself tells.
    """
    if public_url:
        return public_url
    scheme, host = str(scope.get("scheme", "http")), headers.get(b"host", b"").decode("latin-1")
    client = scope.get("client")
    if trusted and client and is_trusted(str(client[0]), trusted):
        schemes = _values(scope["headers"], b"x-forwarded-proto")
        hosts = _values(scope["headers"], b"x-forwarded-host")
        if schemes and schemes[-1] in ("http", "https"):
            scheme = schemes[-1]
        host = hosts[-1] if hosts else host
    return f"{scheme}://{host}"


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    joined = b",".join(value for key, value in headers if key == name)
    return [part.strip() for part in joined.decode("latin-1").split(",") if part.strip()]
