"""A request is passed on as it came and its answer as it came, while they come."""

import asyncio
import hashlib
import json
import os
import time
from ipaddress import ip_network

import pytest

from connectory.runtime.model import State
from tests.gateway.conftest import HOST, SLUG, route

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def test_the_application_sees_its_own_paths_and_the_callers_headers(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(
            "/echo?a=%2F&b", "Authorization: Bearer x", "cookie: a=b", "X-Own: 1", "X-Own: 2"
        )
        seen = json.loads(answer.body)
        assert (answer.status, seen["method"], seen["url"]) == (200, "GET", "/echo?a=%2F&b")
        assert seen["headers"]["authorization"] == "Bearer x"
        assert seen["headers"]["cookie"] == "a=b"
        assert seen["headers"]["host"] == HOST
        assert seen["headers"]["x-own"] == "1, 2"

    play(act)


def test_forwarded_headers_tell_the_truth_whatever_callers_say(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(
            "/echo",
            *("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"),
            *("Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Forwarded-Port: 1"),
        )
        seen = json.loads(answer.body)["headers"]
        assert seen["x-forwarded-for"] == "127.0.0.1"
        assert (seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("http", HOST)
        assert not {"forwarded", "x-real-ip", "x-forwarded-port"} & set(seen)

    play(act)


def test_a_trusted_proxy_is_believed(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(
            "/echo",
            *("X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-Proto: https"),
            "X-Forwarded-Host: shop.example",
        )
        seen = json.loads(answer.body)["headers"]
        assert seen["x-forwarded-for"] == "6.6.6.6, 1.2.3.4, 127.0.0.1"
        assert seen["x-forwarded-proto"] == "https"
        assert seen["x-forwarded-host"] == "shop.example"
        await scene.until(lambda: scene.told)
        assert scene.told[0].remote_ip == "1.2.3.4"
        assert scene.told[0].url == f"https://{HOST}/echo"

    play(act, trusted_proxies=(ip_network("127.0.0.0/8"),))


def test_headers_of_the_connection_go_no_further_either_way(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(
            "/echo", "Connection: keep-alive, X-Secret", "X-Secret: 1", "TE: trailers",
            "Proxy-Connection: x", "Keep-Alive: timeout=1",
        )  # fmt: skip
        seen = json.loads(answer.body)["headers"]
        assert not {"x-secret", "te", "proxy-connection", "keep-alive"} & set(seen)
        answer = await caller.ask("/hop", "X-Correlation-ID: mine-1")
        assert answer.headers["x-kept"] == "1"
        assert answer.headers["set-cookie"] == "a=b"
        assert answer.headers["x-correlation-id"] == "mine-1"
        assert not {"keep-alive", "proxy-connection"} & set(answer.headers)

    play(act)


def test_a_correlation_id_is_taken_over_where_it_is_sane_else_made(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        taken = await caller.ask("/echo", "X-Correlation-ID: shop-1")
        assert taken.headers["x-correlation-id"] == "shop-1"
        assert json.loads(taken.body)["headers"]["x-correlation-id"] == "shop-1"
        made = await caller.ask("/echo", "X-Correlation-ID: a b")
        assert made.headers["x-correlation-id"] not in ("", "a b")

    play(act)


def test_connections_are_kept_on_both_sides(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        sockets = {json.loads((await caller.ask("/echo")).body)["socket"] for _ in range(5)}
        assert len(sockets) == 1

    play(act)


def test_pipelined_requests_are_answered_in_their_order(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        lines = [f"GET /echo?{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n" for number in range(40)]
        await caller.send("".join(lines))
        for number in range(40):
            assert json.loads((await caller.answer()).body)["url"] == f"/echo?{number}"

    play(act)


@pytest.mark.parametrize("target", ["/none", "/unchanged"])
def test_answers_without_a_body_leave_the_connection_in_order(play, target):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(target)
        assert "transfer-encoding" not in answer.headers
        assert (await caller.ask("/sized")).body == b"hello"
        head = await caller.ask("/sized", method="HEAD")
        assert head.headers["content-length"] == "5"
        assert (await caller.ask("/sized")).body == b"hello"

    play(act)


def test_bodies_stream_both_ways(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request("/mirror", "Transfer-Encoding: chunked", method="POST")
        assert (await caller.head()).status == 200
        for word in (b"one", b"two", b"three"):
            await caller.send(b"%x;extension=1\r\n%b\r\n" % (len(word), word))
            assert await caller.chunk() == word
        await caller.send(b"0\r\nX-Trailer: 1\r\n\r\n")
        assert await caller.chunk() == b""
        await scene.until(lambda: scene.told)
        assert (scene.told[0].request_bytes, scene.told[0].response_bytes) == (11, 11)

    play(act)


def test_server_sent_events_come_one_by_one_and_end_with_the_caller(play):
    async def act(scene):
        await scene.application()
        caller, other = await scene.caller(), await scene.caller()
        await caller.request("/events")
        assert (await caller.head()).headers["content-type"] == "text/event-stream"
        for number in range(3):
            assert await caller.chunk() == b"data: %d\n\n" % number
        assert (await other.ask("/closed")).body == b"false"
        caller.close()
        await scene.until(lambda: scene.told and scene.told[-1].url.endswith("/events"))
        await asyncio.sleep(0.05)
        assert (await other.ask("/closed")).body == b"true"

    play(act)


def test_a_websocket_is_a_tunnel(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request(
            "/socket", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}"
        )
        await caller.send(b"early")
        answer = await caller.head()
        assert answer.status == 101
        assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "Upgrade")
        assert await caller.reader.readexactly(10) == b"helloearly"
        for size in (3, 300_000):
            await caller.send(b"\x81" * size)
            assert await caller.reader.readexactly(size) == b"\x81" * size
        caller.writer.write_eof()
        assert await caller.ended() == b"goodbye"
        await scene.until(lambda: scene.told)
        assert scene.told[0].status == 101

    play(act)


def test_an_upgrade_that_is_refused_leaves_a_connection_for_requests(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request(
            "/refused", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}"
        )
        await caller.request("/sized")
        refused = await caller.answer()
        assert (refused.status, refused.body) == (403, b"no")
        assert (await caller.answer()).body == b"hello"

    play(act)


def test_an_offer_of_http2_is_left_alone(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(
            "/echo", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA",
            method="POST", body=b"abc",
        )  # fmt: skip
        seen = json.loads(answer.body)
        assert seen["size"] == 3
        assert not {"upgrade", "http2-settings"} & set(seen["headers"])
        assert (await caller.ask("/sized")).body == b"hello"

    play(act)


def test_expect_100_continue_is_the_applications_to_answer(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request("/echo", "Expect: 100-continue", "Content-Length: 3", method="POST")
        assert (await caller.head()).status == 100
        await caller.send(b"abc")
        assert json.loads((await caller.answer()).body)["size"] == 3
        await caller.request("/hints")
        assert (await caller.head()).headers["link"] == "</a.css>; rel=preload"
        assert (await caller.answer()).body == b"ok"

    play(act)


def test_an_answer_without_a_length_ends_where_the_application_ends_it(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        assert (await caller.ask("/no-length")).body == b"until the end"
        assert (await caller.ask("/sized")).body == b"hello"

    play(act)


def test_http_1_0_is_spoken_with_those_who_speak_it(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.send(f"GET /mirror HTTP/1.0\r\nHost: {HOST}\r\n\r\n")
        answer = await caller.head()
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"] == "close"
        assert await caller.ended() == b""

    play(act)


def test_100_megabytes_pass_both_ways_with_flat_memory(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.ask("/sized")
        before = resident()
        piece = os.urandom(2**20)
        digest = hashlib.sha256()
        size = 100 * len(piece)
        await caller.request("/echo", f"Content-Length: {size}", method="POST")
        for _ in range(100):
            digest.update(piece)
            await caller.send(piece)
        seen = json.loads((await caller.answer()).body)
        assert (seen["size"], seen["digest"]) == (size, digest.hexdigest())
        await caller.request("/big")
        left = int((await caller.head()).headers["content-length"])
        assert left > 100_000_000
        while left:
            left -= len(await caller.reader.read(2**20))
        assert peak() - before < 40 * 2**20

    reset_peak()
    play(act)


def test_a_slow_caller_holds_back_the_application(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        before = resident()
        await caller.request("/big")
        await caller.reader.readexactly(1)
        await asyncio.sleep(0.5)
        assert resident() - before < 20 * 2**20
        caller.close()

    play(act)


def test_one_who_leaves_in_the_midst_of_a_body_is_noted_and_leaves_nothing(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request("/echo", "Content-Length: 1000", method="POST")
        await caller.send(b"half")
        await asyncio.sleep(0.2)
        caller.close()
        await scene.until(lambda: scene.told)
        assert (scene.told[0].status, scene.told[0].request_bytes) == (499, 4)

    play(act)


def test_an_answer_that_comes_before_the_body_is_whole_arrives(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request("/refuse-body", "Content-Length: 100000", method="POST")
        await caller.send(b"x" * 1000)
        answer = await caller.answer()
        assert (answer.status, answer.body) == (413, b"too much")
        assert await caller.ended() == b""

    play(act)


@pytest.mark.parametrize("target", ["/dies-midway", "/dies-in-chunks"])
def test_an_answer_that_breaks_off_shows(play, target):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.request(target)
        assert (await caller.head()).status == 200
        rest = await caller.ended()
        assert rest.count(b"half") == 1
        assert not rest.endswith(b"0\r\n\r\n")

    play(act)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/dies", "ended the connection without an answer"),
        ("/nonsense", "not valid HTTP"),
        ("/both", "not valid HTTP"),
        ("/switches", "nobody asked"),
    ],
)
def test_what_is_no_answer_is_a_502_that_says_why(play, target, why):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask(target, "X-Correlation-ID: c-1")
        told = json.loads(answer.body)
        assert (answer.status, told["statusCode"]) == (502, 502)
        assert why in told["message"]
        assert told["errors"][0]["correlationId"] == "c-1"
        if target == "/dies":
            await scene.until(lambda: scene.runtime.state("a-1") is not State.HEALTHY)
        assert (await caller.ask("/sized")).body == b"hello"

    play(act)


def test_a_stale_connection_is_replaced_and_the_request_sent_again(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        for method in ("GET", "PUT") * 4:
            await caller.ask("/end-soon")
            await asyncio.sleep(0.005)  # now the application ends it
            body = b"abc" if method == "PUT" else b""
            answer = await caller.ask("/echo", method=method, body=body)
            assert json.loads(answer.body)["size"] == len(body)

    play(act)


def test_a_request_that_takes_too_long_is_a_504_and_waiting_for_the_start_counts(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        answer = await caller.ask("/slow")
        assert answer.status == 504
        assert "within 0.6 seconds" in json.loads(answer.body)["message"]
        await scene.runtime.remove("a-1")
        await scene.application("setInterval(() => {}, 1000)")
        assert (await caller.ask("/sized")).status == 504

    play(act, request_seconds=0.6)


def test_an_application_that_does_not_start_is_a_502_without_its_output(play):
    async def act(scene):
        await scene.application("console.log('password'); process.exit(4)")
        caller = await scene.caller()
        answer = await caller.ask("/sized")
        told = json.loads(answer.body)
        assert answer.status == 502
        assert "exit code 4" in told["message"]
        assert b"password" not in answer.body

    play(act)


def test_requests_wait_for_an_application_that_sleeps(play):
    async def act(scene):
        await scene.application()
        callers = [await scene.caller() for _ in range(20)]
        answers = await asyncio.gather(
            *(each.ask("/echo", method="POST", body=b"x" * 100_000) for each in callers)
        )
        assert {json.loads(each.body)["size"] for each in answers} == {100_000}
        assert len(scene.plain.started) == 1

    play(act)


def test_a_request_waits_where_its_application_has_just_died(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        first = json.loads((await caller.ask("/echo")).body)["pid"]
        os.kill(first, 9)
        answer = await caller.ask("/echo")
        assert (answer.status, json.loads(answer.body)["pid"] != first) == (200, True)

    play(act)


def test_one_application_has_no_more_requests_than_it_may_and_others_are_none_the_worse(play):
    async def act(scene):
        await scene.application()
        busy, other = await scene.caller(), await scene.caller()
        await busy.request("/slow")
        await scene.until(lambda: scene.runtime._instances)
        answer = await other.ask("/sized")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        scene.gateway.set_route(route(application_id="a-2", slug="b" * 24, static=scene.folder))
        await other.send(f"GET / HTTP/1.1\r\nHost: service-{'b' * 24}.localhost\r\n\r\n")
        assert (await other.answer()).status == 404
        busy.close()
        await scene.until(lambda: not scene.runtime._instances)
        assert (await other.ask("/sized")).body == b"hello"

    play(act, requests_of_one=1)


def test_an_application_that_is_not_ready_here_yet_is_to_be_called_again(play):
    async def act(scene):
        scene.gateway.set_route(route())
        caller = await scene.caller()
        answer = await caller.ask("/sized")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "not ready here yet" in json.loads(answer.body)["message"]
        await scene.application()
        assert (await caller.ask("/sized")).body == b"hello"

    play(act)


def test_nobody_answers_for_an_application_that_is_not_there(play):
    async def act(scene):
        caller = await scene.caller()
        answer = await caller.ask("/sized")
        assert answer.status == 404
        await scene.application()
        assert (await caller.ask("/sized")).body == b"hello"
        scene.gateway.drop_route("a-1")
        assert (await caller.ask("/sized")).status == 404

    play(act)


def test_what_was_answered_is_told(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.ask("/sized?q", "User-Agent: shop/1", "X-Correlation-ID: c-1")
        await scene.until(lambda: scene.told)
        (told,) = scene.told
        assert told.route == route()
        assert (told.method, told.status, told.user_agent) == ("GET", 200, "shop/1")
        assert told.url == f"http://service-{SLUG}.apps.example.com/sized?q"
        assert (told.request_bytes, told.response_bytes) == (0, 5)
        assert (told.correlation_id, told.remote_ip) == ("c-1", "127.0.0.1")
        assert 0 < told.seconds < 30

    play(act)


def test_requests_under_way_are_answered_when_the_gateway_closes(play):
    async def act(scene):
        await scene.application()
        caller, idle = await scene.caller(), await scene.caller()
        await caller.request("/mirror", "Content-Length: 2", method="POST")
        await caller.send(b"a")
        await caller.head()
        closing = asyncio.create_task(scene.gateway.close(5))
        began = time.monotonic()
        assert await idle.ended() == b""
        await asyncio.sleep(0.1)
        await caller.send(b"b")
        assert b"b" in await caller.ended()
        await closing
        assert time.monotonic() - began < 3

    play(act)


def _status() -> dict[str, int]:
    with open("/proc/self/status") as file:  # noqa: PTH123
        fields = dict(line.split(":", 1) for line in file)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")}


def resident() -> int:
    return _status()["VmRSS"]


def peak() -> int:
    return _status()["VmHWM"]


def reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
            file.write("5")
    except OSError as why:
        pytest.skip(f"the peak of memory cannot be told here: {why}")
