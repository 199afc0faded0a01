"""The nginx configuration of the how-to, in front of a real server."""

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import lacking
from tests.docs.pages import DOCS, blocks
from tests.harness import Installation, Server, free_port

PAGE = DOCS / "how-to" / "tls-behind-a-proxy.md"
HOST = "connect.example.com"


@pytest.fixture(scope="module")
def nginx() -> str:
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None or shutil.which("openssl") is None:
        lacking("nginx", "nginx and openssl are not installed")
    return str(found)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    installation = Installation(tmp_path / "data")
    installation.data.mkdir()
    settings = {"CONNECTORY_TRUSTED_PROXIES": "127.0.0.1,::1", "CONNECTORY_ACCESS_LOG": "all"}
    with installation.serving(settings=settings) as running:
        yield running


@pytest.fixture
def proxy(server: Server, nginx: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client that reaches the server as https://connect.example.com, from another address."""
    port = free_port()
    [block] = [each.text for each in blocks(PAGE) if each.language == "nginx"]
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    text = block.replace("127.0.0.1:7070", server.url.removeprefix("http://"))
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    text = re.sub(r"ssl_certificate +\S+;", f"ssl_certificate {certificate};", text)
    text = re.sub(r"ssl_certificate_key +\S+;", f"ssl_certificate_key {key};", text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {tmp_path / kind};" for kind in kinds)
    configuration = tmp_path / "nginx.conf"
    # Its workers would else be nobody, who may not look into the folder of a test.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"{user} daemon off; pid {tmp_path / 'nginx.pid'}; error_log {tmp_path / 'nginx.log'};"
        f"events {{}} http {{ access_log off; {folders}\n{text} }}"
    )
    process = subprocess.Popen(
        [nginx, "-c", str(configuration), "-e", str(tmp_path / "nginx.log")],
        stderr=subprocess.DEVNULL,
    )
    trust = ssl.create_default_context(cafile=str(certificate))
    # 127.0.0.2 stands for a client elsewhere: it is not a trusted proxy.
    transport = httpx.HTTPTransport(verify=trust, local_address="127.0.0.2")
    base = f"https://127.0.0.1:{port}"
    extensions = {"sni_hostname": HOST}
    try:
        with httpx.Client(transport=transport, base_url=base, headers={"Host": HOST}) as client:
            client.event_hooks["request"] = [lambda each: each.extensions.update(extensions)]
            wait_for(client, process, tmp_path / "nginx.log")
            yield client
    finally:
        process.terminate()
        process.wait(10)


def make_certificate(certificate: Path, key: Path) -> None:
    subject = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", *kind, *subject, *files]
    subprocess.run(command, check=True, capture_output=True)


def wait_for(client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            client.get("/health")
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text() if log.exists() else "no log") from None
            time.sleep(0.05)
        else:
            return


def seen_client(server: Server, correlation_id: str) -> str:
    """The client's address in the log line of a request."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for line in server.lines():
            if line.get("correlationId") == correlation_id and "client" in line:
                return str(line["client"])
        time.sleep(0.02)
    raise AssertionError("the request is not in the log")


def test_the_server_knows_the_clients_address(server: Server, proxy: httpx.Client) -> None:
    answer = proxy.get("/health", headers={"X-Correlation-ID": "one"})
    assert answer.status_code == 200
    assert seen_client(server, "one") == "127.0.0.2"


def test_an_address_that_the_client_made_up_is_not_believed(
    server: Server, proxy: httpx.Client
) -> None:
    made_up = {"X-Forwarded-For": "203.0.113.9", "X-Correlation-ID": "two"}
    proxy.get("/health", headers=made_up)
    assert seen_client(server, "two") == "127.0.0.2"


def test_the_server_names_itself_as_the_client_reached_it(proxy: httpx.Client) -> None:
    page = proxy.get("/docs", headers={"Accept": "text/html"}).text
    assert f"https://{HOST}/connectors/search" in page


def test_metrics_are_not_for_the_world(proxy: httpx.Client) -> None:
    assert proxy.get("/metrics").status_code == 403


def test_a_path_reaches_the_server_as_it_was_written(proxy: httpx.Client) -> None:
    """An escaped slash is part of a key, which no key may have; unescaped there is no such path."""
    answer = proxy.get("/connectors/key=a%2Fb")
    assert answer.status_code == 401  # the endpoint was found, and wants a token
    assert proxy.get("/connectors/key=a/b").status_code == 404


def test_a_body_and_a_target_as_large_as_the_server_takes_pass(proxy: httpx.Client) -> None:
    assert proxy.get("/health?" + "a" * (15 * 1024)).status_code == 200
    answer = proxy.post(
        "/oauth/token",
        content=b"a" * (1024 * 1024 - 10),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.json()["errors"][0]["code"] == "invalid_request"
