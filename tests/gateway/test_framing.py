"""Where a request ends is never a matter of opinion: what could be read in two ways is refused."""

import asyncio
import json

import h11
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from connectory.gateway.requests import Client, Request
from tests.gateway.conftest import HOST

HEAD = f"POST /echo HTTP/1.1\r\nHost: {HOST}\r\n"

REFUSED = {
    "length and chunks": "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": "Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": "Content-Length: +3\r\n\r\nabc",
    "a length of nothing": "Content-Length: \r\n\r\n",
    "a coding that hides chunks": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a folded header": "X-A: b\r\n c\r\n\r\n",
    "a blank before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a blank before the name": " X-A: b\r\n\r\n",
    "a bare line feed": "X-A: b\nX-C: d\r\n\r\n",
    "a bare carriage return": "X-A: b\rX-C: d\r\n\r\n",
    "a null": "X-A: b\0c\r\n\r\n",
    "two hosts": f"Host: {HOST}\r\n\r\n",
    "a chunk of a negative size": "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    "a chunk of a size with a prefix": "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk of a size with a blank": "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    "a chunk without its end": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n",
    "a chunk that is too large": f"Transfer-Encoding: chunked\r\n\r\n{'F' * 17}\r\nabc\r\n",
    "chunks with bare line feeds": "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
}


@pytest.mark.parametrize("rest", REFUSED.values(), ids=REFUSED.keys())
def test_a_request_that_could_be_read_in_two_ways_is_refused(play, rest):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.send(f"{HEAD}{rest}GET /sized HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        answer = await caller.answer()
        assert answer.status == 400
        assert answer.headers["connection"] == "close"
        assert json.loads(answer.body)["errors"][0]["code"] == "InvalidRequest"
        assert await caller.ended() == b""

    play(act)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET /sized HTTP/1.1\r\n\r\n", 400),
        ("GET sized HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /sized\r\n\r\n", 400),
        ("GET /sized HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        ("get /sized HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (HEAD + f"X-A: {'b' * 40_000}\r\n\r\n", 431),
        (f"GET /{'a' * 40_000} HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        ("\x16\x03\x01\x02\x00", 400),
    ],
)
def test_what_is_no_request_is_answered_and_ends_the_connection(play, text, status):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.send(text)
        assert (await caller.answer()).status == status
        assert await caller.ended() == b""

    play(act)


def test_requests_before_one_that_is_refused_are_answered(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.send(f"GET /sized HTTP/1.1\r\nHost: {HOST}\r\n\r\nnonsense\r\n\r\n")
        assert (await caller.answer()).body == b"hello"
        assert (await caller.answer()).status == 400
        assert await caller.ended() == b""

    play(act)


def test_an_address_in_the_first_line_counts_and_not_the_host_header(play):
    async def act(scene):
        await scene.application()
        caller = await scene.caller()
        await caller.send(f"GET http://{HOST}/echo?a HTTP/1.1\r\nHost: other\r\n\r\n")
        seen = json.loads((await caller.answer()).body)
        assert (seen["url"], seen["headers"]["host"]) == ("/echo?a", HOST)

    play(act)


def test_a_head_that_does_not_come_is_not_waited_for(play):
    async def act(scene):
        slow, idle = await scene.caller(), await scene.caller()
        await slow.send("GET / HT")
        assert (await slow.answer()).status == 408
        assert await slow.ended() == await idle.ended() == b""

    play(act, head_seconds=0.2, idle_seconds=0.4)


TOKENS = st.text("abcXYZ019-_!", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(TOKENS, VALUES), max_size=8),
    st.one_of(st.none(), st.lists(st.binary(min_size=1, max_size=40), max_size=5)),
    st.booleans(),
)
def test_a_strict_parser_reads_what_the_application_gets_as_it_was_meant(headers, pieces, chunked):
    """Whatever the headers, the request that goes on has one reading: h11's."""
    request = Request(b"PUT", b"/a?b", "1.1", 0.0)
    body = b"".join(pieces or ())
    sent = [(name.encode(), value.encode()) for name, value in headers if framed(name)]
    sent.append((b"Host", b"a"))
    if chunked:
        sent.append((b"Transfer-Encoding", b"chunked"))
    else:
        sent.append((b"Content-Length", b"%d" % len(body)))
    request.read(sent, Client("10.0.0.1", ()), lambda _sent: b"c-1")
    assert request.fault is None
    text = request.head()
    for piece in pieces or ():
        request.add(piece)
        text += request.take()
    request.complete = True
    text += request.take() + request.take()
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(text)
    head, *events = iter(reader.next_event, h11.NEED_DATA)
    assert (head.method, head.target) == (b"PUT", b"/a?b")
    assert isinstance(events[-1], h11.EndOfMessage)
    assert b"".join(event.data for event in events[:-1]) == body
    assert reader.trailing_data == (b"", False)


def framed(name: str) -> bool:
    """Whether a header is none that this test sends itself, or that are not passed on."""
    return name.lower() not in {"host", "te", "expect", "upgrade", "connection"}


@settings(max_examples=40)
@given(st.data())
def test_it_does_not_matter_how_a_request_is_cut_into_packets(data):
    """The same bytes in any pieces are the same requests."""
    text = (
        b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x\r\nabc\r\n4\r\ndefg\r\n0\r\nT: x\r\n\r\n"
        b"GET /2?q HTTP/1.1\r\nHost: a\r\n\r\n"
        b"PUT /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        b"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 2\r\n\r\nhi"
        b"GET /5 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    seen = uvloop.run(_read(pieces))
    assert seen == [
        (b"/1", b"abcdefg"),
        (b"/2?q", b""),
        (b"/3", b"hello"),
        (b"/4", b"hi"),
        (b"/5", b""),
    ]


async def _read(pieces):
    """The requests that a connection makes of pieces, their bodies with them."""
    from connectory.gateway.connection import Connection  # noqa: PLC0415

    class Nowhere(asyncio.Transport):
        """A transport whose other end takes everything."""

        def is_closing(self):
            return False

        def write(self, data):
            pass

        def pause_reading(self):
            pass

        def resume_reading(self):
            pass

    class Quiet:
        """As much of a gateway as reading needs: it knows no application."""

        trusted_proxies = ()
        head_bytes, closing = 10_000, False

        def __init__(self):
            self.connections = set()

        clock = staticmethod(lambda: 0.0)
        choose = staticmethod(lambda _sent: b"c-1")

    connection = Connection(Quiet())
    connection.connection_made(Nowhere())
    found = []
    connection._advance = lambda: found.extend(_drained(connection._waiting))
    for piece in pieces:
        connection.data_received(piece)
    return [(request.target, b"".join(request.pending)) for request in found]


def _drained(waiting):
    while waiting:
        yield waiting.popleft()
