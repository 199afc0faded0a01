"""One request to a receiver: to which machine it goes, and what of an answer is believed."""

import asyncio
import ssl
from pathlib import Path

import pytest

from connectory.webhooks.addresses import Target, parse_target
from connectory.webhooks.posting import Answer, post
from tests.sources.servers import NAME, certificate

ENDED = "the receiver ended the connection without an answer"


def posted(
    answer: bytes,
    *,
    url: str = "http://acme.example/hook",
    hangs: bool = False,
    serving: ssl.SSLContext | None = None,
    trusting: ssl.SSLContext | None = None,
    seconds: float = 5.0,
) -> tuple[Answer, list[bytes]]:
    """Post to a receiver that gives an answer, whatever it is; and the heads that it got."""
    heads: list[bytes] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            if hangs:
                await reader.read()  # until the other side has had enough
        finally:
            writer.close()

    async def made() -> Answer:
        server = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=serving)
        async with server:
            port = server.sockets[0].getsockname()[1]
            asked = parse_target(url, private=True)
            target = Target(asked.secure, asked.host, port, asked.path)
            async with asyncio.timeout(seconds):
                return await post(target, ["127.0.0.1"], b"{}", {"webhook-id": "1"}, trusting)

    return asyncio.run(made()), heads


def test_it_goes_to_the_address_that_was_looked_at_in_the_name_of_the_host() -> None:
    answer, (head,) = posted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert answer == Answer(200, "ok")
    assert head.startswith(b"POST /hook HTTP/1.1\r\nHost: acme.example:")
    assert b"\r\nwebhook-id: 1\r\n" in head


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Answer(204, "")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         Answer(200, "ok")),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9_000,
         Answer(500, "x" * 2_048)),
        (b"HTTP/1.0 200 OK\r\n\r\n\x00\xff", Answer(200, "\ufffd\ufffd")),
        (b"", Answer(0, ENDED)),
        (b"HTTP/1.1 200 OK\r\nX: ",
         Answer(0, ENDED)),
        (b"SSH-2.0-OpenSSH_9.9\r\n", Answer(0, "the receiver's answer is not one of HTTP/1.1")),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
         Answer(0, "the receiver's answer is not one of HTTP/1.1")),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
         Answer(0, "the head of the receiver's answer has no end")),
    ],
)  # fmt: skip
def test_of_an_answer_so_much_is_read_and_no_more(answer: bytes, expected: Answer) -> None:
    assert posted(answer)[0] == expected


def test_a_status_counts_also_where_the_rest_does_not_come() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert posted(head + b"o", hangs=True, seconds=0.1)[0] == Answer(200, "o")
    with pytest.raises(TimeoutError):
        posted(head[:-2], hangs=True, seconds=0.1)


def test_the_certificate_must_be_the_hosts(tmp_path: Path) -> None:
    ca_file, key_file = certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(ca_file, key_file)
    trusting = ssl.create_default_context(cafile=str(ca_file))
    ok = b"HTTP/1.1 204 No Content\r\n\r\n"
    well, _ = posted(ok, url=f"https://{NAME}/", serving=serving, trusting=trusting)
    assert well == Answer(204, "")
    other, heads = posted(ok, url="https://acme.example/", serving=serving, trusting=trusting)
    assert other.status == 0
    assert other.text.startswith("the receiver's certificate does not hold: Hostname mismatch")
    nobodys = ssl.create_default_context()
    untrusted, _ = posted(ok, url=f"https://{NAME}/", serving=serving, trusting=nobodys)
    assert "does not hold: self-signed certificate" in untrusted.text
    assert heads == []
