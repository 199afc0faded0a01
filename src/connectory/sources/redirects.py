"""Where a host sends git on to, asked by ourselves: git does not follow redirects here.

One request for what git would ask first, to a pinned address, with the host's certificate checked.
"""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin

from connectory.sources.address import PORTS, Address

_QUESTION = "/info/refs?service=git-upload-pack"
_REDIRECTS = (301, 302, 303, 307, 308)


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one network address, in the name of a host."""

    def __init__(
        self, address: Address, pinned: str, seconds: float, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address.host, address.port, timeout=seconds)
        self._pinned = pinned
        self._tls = tls

    def connect(self) -> None:
        """Connect to the pinned address; the certificate must be the host's."""
        self.sock = socket.create_connection((self._pinned, self.port), self.timeout)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)


def redirection(
    address: Address,
    pinned: str,
    *,
    headers: Mapping[str, str],
    seconds: float,
    ca_file: Path | None,
) -> str | None:
    """The URL of the repository that an address is redirected to; None where it is not."""
    tls = None
    if address.scheme == "https":
        tls = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    connection = _PinnedConnection(address, pinned, seconds, tls)
    question = f"/{address.path}{_QUESTION}"
    try:
        connection.request("GET", question, headers={**headers, "User-Agent": "git/2"})
        answer = connection.getresponse()
        target = answer.getheader("Location")
        if answer.status not in _REDIRECTS or target is None:
            return None
    except (OSError, http.client.HTTPException, UnicodeError):
        return None
    finally:
        with contextlib.suppress(OSError):
            connection.close()
    port = "" if address.port == PORTS[address.scheme] else f":{address.port}"
    target = urljoin(f"{address.scheme}://{address.host}{port}{question}", target)
    return target.removesuffix(_QUESTION) if target.endswith(_QUESTION) else None
