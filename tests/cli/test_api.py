"""The HTTP client of the commands: logs in by itself, and says faults in one line."""

import socket
import threading
from collections.abc import Iterator

import pytest

from connectory.cli.api import Api, ApiFault
from tests.harness import Credentials, Installation, Server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Credentials]]:
    installation = Installation(tmp_path_factory.mktemp("api") / "data")
    installation.project("shop")
    credentials = installation.credentials("shop")
    with installation.serving() as server:
        yield server, credentials


@pytest.fixture
def api(served: tuple[Server, Credentials]) -> Api:
    server, credentials = served
    return Api(server.url + "/", credentials.client_id, credentials.client_secret)


def test_it_logs_in_by_itself_and_knows_its_project(api: Api):
    assert api.get("/connectors/drafts", {"limit": 2, "sort": ["name asc", "key"]})["limit"] == 2
    assert api.project_key == "shop"
    assert api.path("deployments", "key=a b/c") == "/shop/deployments/key=a%20b%2Fc"


def test_an_expired_token_is_replaced(api: Api):
    api._token = "expired"

    assert api.get("/connectors/drafts")["total"] == 0


def test_an_error_of_the_contract_is_one_line_with_its_code(api: Api):
    with pytest.raises(ApiFault) as fault:
        api.post("/connectors/drafts", {"name": 1})

    assert (fault.value.status, fault.value.code) == (400, "InvalidJsonInput")
    assert "does not contain valid JSON. (" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_wrong_credentials_are_told(served: tuple[Server, Credentials]):
    with pytest.raises(ApiFault) as fault:
        Api(served[0].url, "x" * 24, "no secret").get("/connectors/drafts")

    assert fault.value.status == 401


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(ApiFault, match=r"^http://127\.0\.0\.1:9 cannot be reached"):
        Api("http://127.0.0.1:9", "a", "b").get("/")


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_server_of_the_contract_is_told(answer: bytes):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(ApiFault):
            Api(f"http://127.0.0.1:{listener.getsockname()[1]}", "a", "b").get("/")
        thread.join()
