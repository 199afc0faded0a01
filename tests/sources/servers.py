"""A real git server by HTTPS on loopback: `git http-backend` behind a certificate of its own."""

import base64
import contextlib
import datetime as dt
import ipaddress
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "git.example.com"
OTHER = "other.example.com"


@dataclass
class GitServer:
    """A running server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        ca_file: The certificate that it is trusted by.
        requests: `METHOD path` of each request, and its Authorization header.
        answers: Paths that get an answer of their own: (status, headers).
        login: `user:password` that it wants; None for everybody.
    """

    port: int
    ca_file: Path
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    login: str | None = None

    def url(self, path: str, host: str = NAME) -> str:
        return f"https://{host}:{self.port}/{path}"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate for NAME and OTHER, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName(NAME), x509.DNSName(OTHER)]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca_file, key_file = folder / "ca.pem", folder / "key.pem"
    ca_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return ca_file, key_file


def _backend(
    root: Path, request: BaseHTTPRequestHandler, body: bytes
) -> tuple[int, dict[str, str], bytes]:
    path, _, query = request.path.partition("?")
    done = subprocess.run(
        ["git", "http-backend"],
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        },
        input=body,
        capture_output=True,
        check=True,
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return int(headers.pop("Status", "200 OK").split()[0]), headers, content


def _handler(server: GitServer, root: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            authorization = self.headers.get("Authorization")
            server.requests.append((f"{self.command} {self.path}", authorization))
            path = self.path.partition("?")[0]
            if path in server.answers:
                status, headers = server.answers[path]
                self._send(status, headers, b"")
                return
            if server.login is not None:
                wanted = f"Basic {base64.b64encode(server.login.encode()).decode()}"
                if authorization != wanted:
                    self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
                    return
            self._send(*_backend(root, self, body))

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def git_server(folder: Path, root: Path) -> Iterator[GitServer]:
    """Serve the repositories below `root`."""
    ca_file, key_file = certificate(folder)
    running = GitServer(0, ca_file)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _handler(running, root))
    listening.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    running.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def names(table: dict[str, list[str]]) -> Callable[[str, int], list[str]]:
    """A resolver that knows these hosts only, in the place of the machine's."""

    def resolve(host: str, port: int) -> list[str]:
        if host not in table:
            raise OSError("no such host")
        return table[host]

    return resolve


def is_loopback(address: str) -> bool:
    """In the place of `is_public`: what a test's servers are at, and nothing else."""
    return ipaddress.ip_address(address) == ipaddress.ip_address("127.0.0.1")
