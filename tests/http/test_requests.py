"""What holds for every request: limits, negotiation, correlation, errors, time-outs, CORS."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness import Installation, Server

READ_SECONDS = 2
LIMITS = {
    "CONNECTORY_MAX_TARGET_BYTES": "2000",
    "CONNECTORY_MAX_HEADER_BYTES": "4000",
    "CONNECTORY_MAX_BODY_BYTES": "3000",
    "CONNECTORY_READ_TIMEOUT": str(READ_SECONDS),
    "CONNECTORY_WRITE_TIMEOUT": "1",
    "CONNECTORY_CORS_ORIGINS": "https://shop.example",
    "CONNECTORY_ACCESS_LOG": "all",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("requests") / "data"
    data.mkdir()
    with Installation(data, settings=LIMITS).serving() as running:
        yield running


def check_error(answer: httpx.Response, status: int, code: str) -> None:
    """The one error body."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-correlation-id"]
    body = answer.json()
    assert body["statusCode"] == status
    assert body["message"] == body["errors"][0]["message"]
    assert body["errors"][0]["code"] == code


@contextlib.contextmanager
def connected(server: Server, seconds: float = 10.0) -> Iterator[socket.socket]:
    """A connection of its own, whose operations fail when they take longer."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        yield connection


def received_until_the_end(connection: socket.socket) -> bytes:
    """What the server sends until it ends the connection."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def raw(server: Server, data: bytes) -> bytes:
    """What the server sends back on a connection of its own, until it ends it."""
    with connected(server) as connection:
        connection.sendall(data)
        return received_until_the_end(connection)


def test_an_unknown_path_is_a_404(server: Server) -> None:
    check_error(httpx.get(f"{server.url}/nowhere"), 404, "ResourceNotFound")
    check_error(httpx.get(f"{server.url}/"), 404, "ResourceNotFound")
    check_error(httpx.get(f"{server.url}/connectors/"), 404, "ResourceNotFound")
    check_error(httpx.get(f"{server.url}/a%2Fb"), 404, "ResourceNotFound")


def test_another_method_is_a_405_that_says_which_are_allowed(server: Server) -> None:
    answer = httpx.delete(f"{server.url}/connectors/search")
    check_error(answer, 405, "MethodNotAllowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert httpx.put(f"{server.url}/oauth/token").headers["allow"] == "POST"


def test_what_cannot_be_produced_is_a_406(server: Server) -> None:
    check_error(
        httpx.get(f"{server.url}/health", headers={"Accept": "application/xml"}),
        406,
        "NotAcceptable",
    )
    for accepted in ("*/*", "application/*", "text/html, application/json;q=0.1"):
        assert httpx.get(f"{server.url}/health", headers={"Accept": accepted}).status_code == 200


def test_a_body_beyond_the_limit_is_a_413_with_and_without_its_length(server: Server) -> None:
    url = f"{server.url}/oauth/token"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    check_error(httpx.post(url, content=b"x" * 3001, headers=form), 413, "PayloadTooLarge")
    chunks = (b"x" * 1000 for _ in range(5))
    check_error(httpx.post(url, content=chunks, headers=form), 413, "PayloadTooLarge")


def test_a_target_beyond_the_limit_is_a_414(server: Server) -> None:
    check_error(httpx.get(f"{server.url}/health?{'x' * 2000}"), 414, "UriTooLong")


def test_headers_beyond_the_limit_are_a_431(server: Server) -> None:
    check_error(
        httpx.get(f"{server.url}/health", headers={"X-Long": "x" * 4000}),
        431,
        "RequestHeadersTooLarge",
    )
    many = [("X-Same", "y" * 100) for _ in range(50)]
    check_error(httpx.get(f"{server.url}/health", headers=many), 431, "RequestHeadersTooLarge")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded; charset=latin-1"},
        {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"},
    ],
)
def test_a_body_of_another_type_is_a_415(server: Server, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{server.url}/oauth/token", content=b"{}", headers=headers)
    check_error(answer, 415, "UnsupportedMediaType")


def test_a_body_that_does_not_arrive_is_a_408(server: Server) -> None:
    head = (
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\ngrant"
    )
    answer = raw(server, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"RequestTimeout"' in answer


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing at all"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", id="no second request"),
    ],
)
def test_a_connection_on_which_nothing_comes_is_ended(server: Server, sent: bytes) -> None:
    began = time.monotonic()  # the server's time begins when it accepts the connection
    with connected(server, seconds=READ_SECONDS + 10) as connection:
        connection.sendall(sent)
        received = received_until_the_end(connection)
        assert time.monotonic() - began >= READ_SECONDS - 0.1
    assert received.startswith(b"HTTP/1.1 200 ") == sent.endswith(b"\r\n\r\n")


def test_a_head_that_comes_drop_by_drop_does_not_hold_a_connection_longer(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        assert is_ended_while_sending(connection, b"x", seconds=READ_SECONDS + 10)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone can tell")
def test_a_client_that_takes_nothing_of_its_answers_is_left(server: Server) -> None:
    asking = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with connected(server) as connection:
        # It never reads. Once the buffers between it and the server are full, the server waits.
        assert is_ended_while_sending(connection, asking, seconds=30)
    assert httpx.get(f"{server.url}/health").status_code == 200


def is_ended_while_sending(connection: socket.socket, data: bytes, *, seconds: float) -> bool:
    """Whether the server ends a connection on which something is sent ever again."""
    deadline = time.monotonic() + seconds
    connection.settimeout(0.2)
    while time.monotonic() < deadline:
        try:
            connection.sendall(data)
        except TimeoutError:  # the server does not read just now
            continue
        except ConnectionError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"\0\0\0\0",
    ],
)
def test_what_is_not_http_brings_nothing_down(server: Server, data: bytes) -> None:
    assert b" 200 " not in raw(server, data)
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_correlation_id_is_taken_over_when_it_is_sane(server: Server) -> None:
    sent = "commercetools-cli-0123456789abcdef"
    answer = httpx.get(f"{server.url}/health", headers={"X-Correlation-ID": sent})
    assert answer.headers["x-correlation-id"] == sent
    for insane in ("", "x" * 257, "two words", 'a"b'):
        answer = httpx.get(f"{server.url}/health", headers={"X-Correlation-ID": insane})
        assert answer.headers["x-correlation-id"] not in ("", insane)


def test_a_correlation_id_is_in_the_log_line_and_no_query_is(server: Server) -> None:
    httpx.get(f"{server.url}/health?secret=hush", headers={"X-Correlation-ID": "find-me-1"})
    deadline = time.monotonic() + 20  # it is written when the answer has been sent
    while not (lines := [e for e in server.lines() if e.get("correlationId") == "find-me-1"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (line,) = lines
    assert line["message"] == "GET /health 200"
    assert line["status"] == 200
    assert line["milliseconds"] >= 0
    assert "hush" not in server.log.read_text()


def test_cors_lets_in_the_pages_of_the_setting_only(server: Server) -> None:
    url = f"{server.url}/health"
    let_in = httpx.get(url, headers={"Origin": "https://shop.example"})
    assert let_in.headers["access-control-allow-origin"] == "https://shop.example"
    kept_out = httpx.get(url, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in kept_out.headers
    asked = httpx.options(
        f"{server.url}/connectors/search",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert asked.status_code == 200
    assert asked.headers["x-correlation-id"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]


def test_cors_is_off_by_default(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with Installation(tmp_path / "data").serving() as plain:
        answer = httpx.get(f"{plain.url}/health", headers={"Origin": "https://shop.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_every_error_of_an_oauth_endpoint_has_the_oauth_fields(server: Server) -> None:
    url = f"{server.url}/oauth/token"
    answer = httpx.post(url, content=b"{}", headers={"Content-Type": "application/json"})
    check_error(answer, 415, "UnsupportedMediaType")
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["error_description"] == answer.json()["message"]
    assert "error" not in httpx.get(f"{server.url}/nowhere").json()


def test_an_error_answer_is_not_to_be_kept(server: Server) -> None:
    answer = httpx.get(f"{server.url}/connectors/search")
    check_error(answer, 401, "invalid_token")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["www-authenticate"] == 'Bearer realm="connectory", error="invalid_token"'
