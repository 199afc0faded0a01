"""The log by HTTP: pages, and server-sent events, from a node that serves."""

import asyncio
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest

from connectory import app
from connectory.app import interface
from connectory.contract.errors import ResourceNotFound
from connectory.database.engine import Database
from connectory.http import events as stream_events
from connectory.http.access import Grant
from connectory.identity.administration import Administration
from connectory.kernel.clock import system_clock
from connectory.logs.endpoints import Found, log_endpoints
from connectory.logs.service import Bounds, Logs
from connectory.settings import Settings
from tests.harness import COMMAND, Credentials, Installation, Server, free_port
from tests.logs.conftest import Program, entry, until

ID = "5ab3edcd-9d23-4934-8f48-256805253119"


@dataclass
class Served:
    """A node with the endpoints of the log, and one Deployment in the Project shop."""

    url: str
    logs: Logs
    credentials: Credentials
    #: Ids by what paths call them.
    deployments: dict[str, str] = field(default_factory=lambda: {ID: ID, "my-key": ID})
    stop: Callable[[], None] = lambda: None

    @property
    def http(self) -> httpx.Client:
        server = Server(None, self.url, None)  # type: ignore[arg-type]
        return server.client(self.credentials)


@pytest.fixture
def served(
    installation: Installation, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    settings = Settings(data=installation.data, drain_seconds=5)
    with database.write() as connection:
        administration = Administration(connection, actor="command:tests", now=system_clock())
        administration.create_project("shop", "europe-west1.gcp", production=False)
        made = administration.create_client("shop", "view_connectors_deployments")
    logs = Logs(database, system_clock, Bounds())
    port = free_port()
    credentials = Credentials(made.client_id, made.client_secret)
    served = Served(f"http://127.0.0.1:{port}", logs, credentials)

    async def find(path: Mapping[str, str], grant: Grant) -> Found:
        found = served.deployments.get(path.get("id", path.get("key", "")))
        if path["projectKey"] != grant.project_key or found is None:
            raise ResourceNotFound("The Resource was not found.")
        return Found(deployment_id=found, applications=("service",))

    monkeypatch.setattr(interface, "log_endpoints", lambda *_: log_endpoints(find, logs))
    node = app.compose(settings, database, system_clock)
    listening = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def serve() -> None:
        loop.run_until_complete(
            app.serve(node, host="127.0.0.1", port=port, listening=listening.set, stop=stop)
        )
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    served.stop = lambda: loop.call_soon_threadsafe(stop.set) and None
    assert listening.wait(30)
    with logs.writing():
        yield served
    if thread.is_alive():
        served.stop()
    thread.join(30)
    assert not thread.is_alive()


def write(served: Served, *messages: str) -> None:
    goal = served.logs.written + len(messages)
    for message in messages:
        served.logs.add(entry(message, deployment_id=ID, at=system_clock()))
    until(lambda: served.logs.written == goal)


def events(answer: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a stream; a comment is `{"": …}`."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line:
            if found:
                yield found
            found = {}
        else:
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")


def test_pages_are_those_of_the_contract(served: Served):
    write(served, "a", "b", "c")
    with served.http as http:
        answer = http.get(f"/shop/deployments/{ID}/logs", params={"limit": 2})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert [each["details"] for each in page["data"]] == [{"message": "a"}, {"message": "b"}]
        assert set(page["data"][0]) == {
            "type", "deploymentId", "applicationName", "severity", "timestamp", "details",
        }  # fmt: skip
        last = http.get(
            "/shop/deployments/key=my-key/logs", params={"limit": 2, "pageToken": page["next"]}
        ).json()
        assert [each["details"]["message"] for each in last["data"]] == ["c"]
        assert last["next"] == ""


def test_faults_are_those_of_the_contract(served: Served):
    with served.http as http:
        path = f"/shop/deployments/{ID}/logs"
        for parameters, code in (
            ({"pageToken": "x"}, "DeploymentLogInvalidPageToken"),
            ({"startDate": "x"}, "DeploymentLogInvalidDate"),
            ({"applicationName": "x"}, "DeploymentApplicationDoesNotExist"),
            ({"severity": "x"}, "InvalidQueryParam"),
            ({"limit": 0}, "InvalidQueryParam"),
        ):
            answer = http.get(path, params=parameters)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
        assert http.get("/shop/deployments/key=other/logs").status_code == 404
        assert http.get(f"/other/deployments/{ID}/logs").status_code == 404
        assert http.get("/shop/deployments/key=other/logs/follow").status_code == 404
        assert httpx.get(f"{served.url}{path}/follow").status_code == 401


def test_a_stream_has_the_newest_and_what_follows(served: Served):
    write(served, *map(str, range(20)))
    with (
        served.http as http,
        http.stream("GET", f"/shop/deployments/{ID}/logs/follow", params={"tail": 2}) as answer,
    ):
        assert answer.headers["content-type"] == "text/event-stream"
        assert "content-length" not in answer.headers
        assert answer.headers["x-correlation-id"]
        told = events(answer)
        assert next(told) == {"retry": "1000"}
        seen = [next(told), next(told)]
        served.logs.output(Program(deployment_id=ID), "stdout", b'{"level":"warn"}')
        seen.append(next(told))

    data = [json.loads(each["data"]) for each in seen]
    assert [each["details"] for each in data] == [
        {"message": "18"},
        {"message": "19"},
        {"level": "warn"},
    ]
    assert data[-1]["severity"] == "WARNING"
    assert {each["event"] for each in seen} == {"log"}

    with (
        served.http as http,
        http.stream(
            "GET",
            f"/shop/deployments/{ID}/logs/follow",
            headers={"Last-Event-ID": seen[0]["id"]},
        ) as answer,
    ):
        told = events(answer)
        next(told)
        assert [next(told), next(told)] == seen[1:]


def test_a_stream_can_be_asked_for_by_head(served: Served):
    with served.http as http:
        answer = http.head(f"/shop/deployments/{ID}/logs/follow")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert "content-length" not in answer.headers


def test_a_server_that_stops_ends_its_streams(served: Served):
    write(served, "a")
    with (
        served.http as http,
        http.stream("GET", f"/shop/deployments/{ID}/logs/follow") as answer,
    ):
        told = events(answer)
        next(told)
        next(told)
        began = time.monotonic()
        served.stop()
        assert list(told) == []
        assert time.monotonic() - began < 4


def test_a_client_that_goes_ends_its_stream(served: Served, monkeypatch: pytest.MonkeyPatch):
    ended = threading.Event()
    following = served.logs.follow

    async def noticed(*args: object, **kwargs: object):
        try:
            async for entries in following(*args, **kwargs):  # type: ignore[arg-type]
                yield entries
        finally:
            ended.set()

    monkeypatch.setattr(served.logs, "follow", noticed)
    with served.http as http:
        token = http.headers["authorization"]
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(
            f"GET /shop/deployments/{ID}/logs/follow HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {token}\r\n\r\n".encode()
        )
        assert b"text/event-stream" in raw.recv(65536)
        assert not ended.is_set()
    assert ended.wait(10)
    assert httpx.get(f"{served.url}/health").status_code == 200


def test_a_stream_beats_and_ends_with_its_token(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_events.run, "__kwdefaults__", {"heartbeat_seconds": 0.3})
    with (
        served.http as http,
        http.stream("GET", f"/shop/deployments/{ID}/logs/follow") as answer,
    ):
        told = events(answer)
        next(told)
        assert next(told) == {"": ""}
        token = http.headers["authorization"].removeprefix("Bearer ")
        revoked = httpx.post(
            f"{served.url}/oauth/token/revoke",
            data={"token": token, "token_type_hint": "access_token"},
            auth=(served.credentials.client_id, served.credentials.client_secret),
        )
        assert revoked.status_code == 200
        assert all(each == {"": ""} for each in told)


# The command


@pytest.fixture
def command(served: Served, installation: Installation) -> Installation:
    """The installation with the settings of `connectory logs`."""
    installation.settings |= {
        "CONNECTORY_API_URL": served.url,
        "CONNECTORY_CLIENT_ID": served.credentials.client_id,
        "CONNECTORY_CLIENT_SECRET": served.credentials.client_secret,
    }
    return installation


def test_the_command_shows_all_pages(served: Served, command: Installation):
    write(served, *map(str, range(150)))
    served.logs.output(Program(deployment_id=ID), "stdout", b'{"level":"error","a":"\\u001b[2J"}')
    served.logs.output(Program(deployment_id=ID), "stdout", b"\x1b[2Jend")
    until(lambda: served.logs.written == 152)

    lines = command.run("logs", "my-key").stdout.splitlines()

    assert [line.split(" ", 2)[2] for line in lines[:150]] == list(map(str, range(150)))
    assert all(line.split(" ")[1] == "service" for line in lines)
    assert lines[150].endswith(' ERROR {"level": "error", "a": "\\u001b[2J"}')
    assert lines[151].endswith(" \\x1b[2Jend")
    assert len(command.run("logs", ID, "--severity", "error").stdout.splitlines()) == 1
    found = command.run("logs", "my-key", "--text", "END", "--since", "1h", "--json").stdout
    assert json.loads(found)["details"] == {"message": "\x1b[2Jend"}


def test_the_command_says_faults_in_one_line(served: Served, command: Installation):
    for arguments, code, said in (
        (("other",), 1, "ResourceNotFound"),
        (("my-key", "--application", "x"), 1, "DeploymentApplicationDoesNotExist"),
        (("my-key", "--since", "soon"), 1, "DeploymentLogInvalidDate"),
        (("my-key", "--since", "1h", "--follow"), 2, "--follow"),
    ):
        done = command.run("logs", *arguments, expect=code)
        assert done.stderr.startswith("connectory: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
    del command.settings["CONNECTORY_CLIENT_SECRET"]
    assert "CONNECTORY_CLIENT_SECRET must be set" in command.run("logs", "a", expect=2).stderr


def test_the_command_follows(served: Served, command: Installation):
    write(served, "there")
    with subprocess.Popen(
        [COMMAND, "logs", "my-key", "--follow"],
        env=command.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().endswith(" there\n")
            served.logs.add(entry("comes", deployment_id=ID, at=system_clock()))
            assert process.stdout.readline().endswith(" comes\n")
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
