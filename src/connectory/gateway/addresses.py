"""Where an application answers: its URL, and the address that is listened on for it.

Why it is so is in docs/decisions/0020-an-origin-for-each-application.md.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from connectory.gateway.model import Route

#: Where the machine has all of 127.0.0.0/8 (Linux does), each application gets an address of it,
#: because browsers keep cookies apart by host and not by port.
_OWN = "127.77."
_SHARED = "127.0.0.1"


class NoPortFree(Exception):
    """Every port of CONNECTORY_GATEWAY_PORTS belongs to an application."""


class Addresses:
    """The addresses of applications: host names of a domain, or else ports of loopback.

    Ports are kept in a file, so that they stay the same; several processes may use it.
    """

    def __init__(self, file: Path, *, url: str = "", ports: range = range(20_000, 30_000)) -> None:
        """`url`: of the domain under which every name leads here; empty: there is none."""
        self._file = file
        self._url = url.rstrip("/")
        self._ports = ports
        self._known: dict[str, int] = {}
        self._own = not url and _can_listen_on(f"{_OWN}0.1")

    def url_of(self, route: Route) -> str:
        """The address of an application, without a slash at its end.

        Raises:
            NoPortFree: it needs a port, and there is none.
        """
        if self._url:
            scheme, _, domain = self._url.partition("://")
            return f"{scheme}://{label_of(route)}.{domain}"
        host, port = self._loopback(self._port(route.slug))
        return f"http://{host}:{port}"

    def listened_on(self, route: Route) -> tuple[str, int] | None:
        """The address of loopback for one application; None where it has a host name.

        Raises:
            NoPortFree: there is none.
        """
        return None if self._url else self._loopback(self._port(route.slug))

    def forget(self, route: Route) -> None:
        """Its port may be given to another."""
        if not self._url:
            with self._locked() as kept:
                kept.pop(route.slug, None)
            self._known.pop(route.slug, None)

    def _loopback(self, port: int) -> tuple[str, int]:
        return (f"{_OWN}{port >> 8}.{port & 255}" if self._own else _SHARED), port

    def _port(self, slug: str) -> int:
        if slug not in self._known:
            with self._locked() as kept:
                if kept.get(slug, 0) not in self._ports:
                    kept[slug] = self._free(slug, set(kept.values()))
                self._known[slug] = kept[slug]
        return self._known[slug]

    def _free(self, slug: str, taken: set[int]) -> int:
        """The first port that nobody has, from a place that the slug decides."""
        start = int.from_bytes(hashlib.blake2b(slug.encode(), digest_size=4).digest())
        for step in range(len(self._ports)):
            port = self._ports[(start + step) % len(self._ports)]
            if port not in taken and _can_listen_on(*self._loopback(port)):
                return port
        raise NoPortFree(
            f"every port of {self._ports[0]}-{self._ports[-1]} belongs to an application; widen"
            " CONNECTORY_GATEWAY_PORTS"
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[dict[str, int]]:
        """What the file says, for whoever holds it alone; what is changed is written."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = _read(self._file)
            before = dict(kept)
            yield kept
            if kept != before:
                draft = self._file.with_suffix(".draft")
                draft.write_text(json.dumps(kept, indent=1, sort_keys=True), encoding="utf-8")
                os.replace(draft, self._file)  # noqa: PTH105 - in one step


def label_of(route: Route) -> str:
    """The first label of an application's host name."""
    return f"{route.prefix}-{route.slug}"


def _read(file: Path) -> dict[str, int]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {slug: port for slug, port in found.items() if isinstance(port, int)}


def _can_listen_on(host: str, port: int = 0) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return True
    return False
