"""Server-sent events: answers without an end.

They are as https://html.spec.whatwg.org/multipage/server-sent-events.html has them.

A handler returns an `EventStream`; the application runs it (`run`) until the events end, the
client goes, the client's token ends, or the server stops. A client that was cut off asks again,
with the id of the last event that it has seen (`last_event_id`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from connectory.contract.errors import ApiError, ApiErrors
from connectory.http.answers import Response

MEDIA_TYPE = "text/event-stream"
#: A stream says something at least this often; so that proxies keep it, and ends are noticed.
HEARTBEAT_SECONDS = 15.0
#: How often the present state of something is read, to tell what has changed.
WATCH_SECONDS = 0.3
#: How long a client that was cut off waits before it asks again.
_RETRY_MILLISECONDS = 1_000
_HEARTBEAT = b":\n\n"

T = TypeVar("T")

Send = Callable[[dict[str, Any]], Awaitable[None]]
Events = Callable[[], AsyncIterator[bytes]]


class EventStream(Response):
    """An answer whose body is made while it is sent.

    `events` makes an iterator of encoded events; an empty one sends nothing, and lets the stream
    be looked after.
    """

    __slots__ = ("events",)

    def __init__(self, events: Events) -> None:
        super().__init__(200, b"", content_type=MEDIA_TYPE.encode())
        self.headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep events back
        ]
        self.events = events


def event(name: str, data: Any, id_: str = "") -> bytes:
    """An event whose data is JSON; name and id have no line ends."""
    identity = f"id: {id_}\n" if id_ else ""
    return f"event: {name}\n{identity}data: ".encode() + msgspec.json.encode(data) + b"\n\n"


def last_event_id(headers: Mapping[bytes, bytes]) -> str:
    """The id of the last event that the client has seen; "" where it says none."""
    return headers.get(b"last-event-id", b"").decode("utf-8", "replace").strip()


async def watching(
    read: Callable[[], Awaitable[T]],
    told: Callable[[T | None, T], list[bytes]],
    seconds: float = WATCH_SECONDS,
) -> AsyncIterator[bytes]:
    """What changes in something, as events.

    `read` gives its present state, again and again; `told` makes events of the state before (None
    at first) and the one now. The stream ends when `read` raises an error of the contract: it was
    deleted, or is nobody's business any more.
    """
    before: T | None = None
    while True:
        try:
            now = await read()
        except (ApiError, ApiErrors):
            return
        yield b"".join(told(before, now))
        before = now
        await asyncio.sleep(seconds)


async def run(
    stream: EventStream,
    receive: Callable[[], Awaitable[Any]],
    send: Send,
    *,
    stopping: asyncio.Event,
    allowed: Callable[[], Awaitable[object]],
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> None:
    """Send the body of an answer whose head was sent.

    `allowed` is asked with every heartbeat; when it raises an error of the contract, the stream
    ends.
    """
    events = stream.events()
    heart = _Heart(send, allowed, heartbeat_seconds)
    gone = asyncio.create_task(_until_gone(receive))
    stopped = asyncio.create_task(stopping.wait())
    chunk: asyncio.Task[bytes | None] | None = None
    try:
        await _send(send, b"retry: %d\n\n" % _RETRY_MILLISECONDS)
        while True:
            chunk = chunk or asyncio.create_task(_following(events))
            done, _ = await asyncio.wait(
                {chunk, gone, stopped}, timeout=heart.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if gone in done:
                return
            if stopped in done or not await heart.beats():
                break
            if chunk in done:
                text, chunk = chunk.result(), None
                if text is None:
                    break
                await _send(send, text)
        await send({"type": "http.response.body", "body": b""})
    finally:
        await _cancel(gone, stopped, chunk)
        if isinstance(events, AsyncGenerator):
            await events.aclose()


class _Heart:
    """Beats at times; asks whether the stream may go on."""

    def __init__(
        self, send: Send, allowed: Callable[[], Awaitable[object]], seconds: float
    ) -> None:
        self._send = send
        self._allowed = allowed
        self._every = seconds
        self._at = time.monotonic() + seconds

    @property
    def seconds(self) -> float:
        """The time to the next beat."""
        return max(0.0, self._at - time.monotonic())

    async def beats(self) -> bool:
        """Beat, if it is time; whether the stream may go on."""
        if self.seconds:
            return True
        self._at = time.monotonic() + self._every
        try:
            await self._allowed()
        except (ApiError, ApiErrors):
            return False
        await _send(self._send, _HEARTBEAT)
        return True


async def _following(events: AsyncIterator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _until_gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, text: bytes) -> None:
    if text:
        await send({"type": "http.response.body", "body": text, "more_body": True})


async def _cancel(*tasks: "asyncio.Task[Any] | None") -> None:
    for task in tasks:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
