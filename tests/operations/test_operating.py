"""Health, readiness, metrics, logs, shutdown, and what the server refuses to start with."""

import os
import socket
import time
from pathlib import Path

import httpx
import pytest

from connectory.catalogue import demo
from connectory.database.engine import Database
from tests.harness import COMMAND, Installation, connector, free_port, until_refused


@pytest.fixture
def plain(tmp_path: Path) -> Installation:
    """An installation on the embedded database."""
    data = tmp_path / "data"
    data.mkdir()
    return Installation(data)


def test_a_server_is_healthy_and_ready(installation: Installation) -> None:
    with installation.serving() as server:
        assert httpx.get(f"{server.url}/health").json()["status"] == "up"
        assert httpx.get(f"{server.url}/ready").json()["status"] == "ready"


def test_metrics_count_requests_by_route_method_and_status(installation: Installation) -> None:
    installation.project("shop")
    credentials = installation.credentials("shop")
    installation.import_lines([connector("one")])
    with installation.serving() as server, server.client(credentials) as api:
        for _ in range(3):
            assert api.get("/connectors/key=one").status_code == 200
        api.get("/connectors/key=none")
        api.get("/nowhere")
        text = httpx.get(f"{server.url}/metrics").text
    seconds = "connectory_http_request_duration_seconds"
    by_key = 'method="GET",route="/connectors/key={key}"'
    assert f'{seconds}_count{{{by_key},status="200"}} 3.0' in text
    assert f'{seconds}_count{{{by_key},status="404"}} 1.0' in text
    assert f'{seconds}_count{{method="GET",route="(none)",status="404"}} 1.0' in text
    assert f'{seconds}_bucket{{le="0.0005",{by_key},status="200"}}' in text
    assert "connectory_connectors 1.0" in text
    assert "connectory_connectors_scanned 0.0" in text
    assert "connectory_cache_hits_total 3.0" in text, "they were read when the server started"
    assert "connectory_cache_misses_total 0.0" in text
    assert "connectory_database_connections " in text


def test_methods_that_somebody_made_up_are_counted_as_one(plain: Installation) -> None:
    with plain.serving() as server:
        for number in range(20):
            assert httpx.request(f"MADE-UP-{number}", f"{server.url}/health").status_code == 405
        text = httpx.get(f"{server.url}/metrics").text
    assert "MADE-UP" not in text
    assert '_count{method="(other)",route="(none)",status="405"} 20.0' in text


def test_metrics_count_what_the_cache_lacked(plain: Installation) -> None:
    plain.project("shop")
    credentials = plain.credentials("shop")
    plain.import_lines([connector("one")])
    settings = {"CONNECTORY_CACHE_BYTES": "0"}
    with plain.serving(settings=settings) as server, server.client(credentials) as api:
        for _ in range(3):
            assert api.get("/connectors/key=one").status_code == 200
        text = httpx.get(f"{server.url}/metrics").text
    assert "connectory_cache_hits_total 0.0" in text
    assert "connectory_cache_misses_total 3.0" in text


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_a_server_whose_schema_is_another_is_not_ready(
    installation: Installation, database: Database, revision: str
) -> None:
    with installation.serving() as server:
        with database.write() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
        answer = httpx.get(f"{server.url}/ready")
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "ServiceUnavailable"
        assert answer.json()["message"].startswith(
            f"The migrations are not current: the database is at schema {revision}, "
        )
        assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_stopping_server_finishes_what_it_accepted(plain: Installation) -> None:
    with plain.serving() as server:
        host, port = server.url.removeprefix("http://").split(":")
        form = b"grant_type=client_credentials&client_id=x&client_secret=y"
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(
                b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n"
                b"Content-Length: %d\r\n\r\n" % len(form)
            )
            assert connection.recv(1_024).startswith(b"HTTP/1.1 100 "), "it waits for the body"
            server.process.terminate()
            until_refused(host, int(port))
            connection.sendall(form)
            answer = connection.recv(65_536)
        assert server.process.wait(30) == 0
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_draining_server_says_that_it_is_not_ready(plain: Installation) -> None:
    with plain.serving(settings={"CONNECTORY_SHUTDOWN_DELAY": "4"}) as server:
        server.process.terminate()
        deadline = time.monotonic() + 3
        while (answer := httpx.get(f"{server.url}/ready")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert answer.status_code == 503
        assert answer.json()["message"] == "The server is shutting down"
        assert answer.headers["retry-after"] == "1"
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert server.process.wait(30) == 0


def test_an_idle_server_stops_without_waiting_for_anybody(plain: Installation) -> None:
    wait_for_others = 20.0  # CONNECTORY_DRAIN_SECONDS
    with plain.serving() as server, httpx.Client(base_url=server.url) as idle:
        idle.get("/health")
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < wait_for_others / 2


def test_log_lines_are_json_off_a_terminal(plain: Installation) -> None:
    with plain.serving() as server:
        server.stop()
        lines = server.lines()
    assert next(line["message"] for line in lines) == f"serving {server.url}"
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["--demo", "--host", "0.0.0.0"], "takes loopback only", 2),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1", 1),
        (["--port", "0"], "'--port'", 2),
        (["--frob"], "--frob", 2),
    ],
)
def test_wrong_use_is_told_in_one_line(
    plain: Installation, arguments: list[str], said: str, status: int
) -> None:
    done = plain.run("serve", *arguments, expect=status)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use_is_told_in_one_line(plain: Installation) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = plain.run("serve", "--port", str(port), expect=1)
    assert "Address already in use; choose another with --host and --port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CONNECTORY_TOKEN_SECONDS", "soon", "must be a whole number of at least 1"),
        ("CONNECTORY_TOKN_SECONDS", "5", "is not a setting"),
        ("CONNECTORY_TRUSTED_PROXIES", "10.0.0.1/8", "must be IP addresses or networks"),
        ("CONNECTORY_ACCESS_LOG", "yes", "must be one of all, writes and off"),
        ("CONNECTORY_PUBLIC_URL", "connect.example", "must be an address that starts with"),
        ("CONNECTORY_DATABASE_URL", "mysql://x/y", "is not a database Connectory knows"),
        ("CONNECTORY_DATABASE_URL", "nonsense", "the database URL cannot be read"),
        ("CONNECTORY_DATABASE_URL", "postgresql://127.0.0.1:1/x", "refused"),
    ],
)
def test_a_bad_setting_is_told_in_one_line(
    plain: Installation, variable: str, value: str, said: str
) -> None:
    plain.settings[variable] = value
    done = plain.run("project", "list", expect=1)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_argument_that_is_no_text_is_told_in_one_line(plain: Installation) -> None:
    done = plain.run("client", "revoke", os.fsdecode(b"\xff"), expect=2)
    assert done.stderr == "connectory: '\\udcff' is no text in UTF-8\n"


def test_settings_are_listed_with_meaning_and_without_a_password(plain: Installation) -> None:
    plain.database_url = "postgresql://user:hush@host/name"
    listed = plain.run("settings").stdout
    assert "CONNECTORY_TOKEN_SECONDS = 172800" in listed
    assert "hush" not in listed
    assert {"variable", "value", "default", "meaning"} == plain.run_json("settings")[0].keys()


def test_the_public_address_is_shown_wherever_the_server_names_itself(plain: Installation) -> None:
    address = "https://connect.example.com"
    with plain.serving(settings={"CONNECTORY_PUBLIC_URL": f"{address}/"}) as server:
        page = httpx.get(f"{server.url}/docs", headers={"Host": "elsewhere"}).text
        assert f'"{address}/connectors/search' in page.replace("&quot;", '"')
        assert "elsewhere" not in page
        assert server.url not in page
        assert f"serving {address}" in {line["message"] for line in server.lines()}


def test_the_demo_is_there_and_searchable(plain: Installation) -> None:
    with plain.serving("--demo") as server:
        token = httpx.post(
            f"{server.url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(demo.CLIENT_ID, demo.CLIENT_SECRET),
        ).json()["access_token"]
        found = httpx.get(
            f"{server.url}/connectors/search",
            params={"text": "payment", "limit": 500},
            headers={"Authorization": f"Bearer {token}"},
        ).json()
        everything = httpx.get(
            f"{server.url}/connectors/search", headers={"Authorization": f"Bearer {token}"}
        ).json()
    assert found["total"] >= 10
    assert everything["total"] >= 60
    assert len(demo.CLIENT_ID) == 24
    assert len(demo.CLIENT_SECRET) == 32


def test_the_demo_client_is_not_served_to_others(plain: Installation) -> None:
    with plain.serving("--demo"):
        pass
    done = plain.run("serve", "--host", "0.0.0.0", "--port", str(free_port()), expect=1)
    assert f"connectory client revoke {demo.CLIENT_ID}" in done.stderr


def test_the_module_is_the_command(plain: Installation) -> None:
    assert COMMAND.endswith("connectory")
    assert plain.run("--version").stdout.startswith("connectory, version ")
    assert "Commands:" in plain.run("--help").stdout
    assert plain.run("frob", expect=2).stderr.startswith("connectory: No such command 'frob'")
