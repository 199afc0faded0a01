"""The lines that a program prints, read as they come; one that prints without end is held back."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

#: A longer line is handed on in pieces of this length.
LONGEST_LINE_BYTES = 64 * 2**10
#: What is handed on of one stream within a second; what is more is read slowly and dropped.
LINES_A_SECOND = 1_000
BYTES_A_SECOND = 2**20
#: How long a program that prints too much waits before it may go on.
HELD_SECONDS = 0.05

log = logging.getLogger("connectory.runtime")


class Lines(asyncio.Protocol):
    """Reads one stream of a program and hands its lines on.

    `done` is set when the stream has ended. A program is never held longer than `HELD_SECONDS` at
    a time, whatever it prints.
    """

    def __init__(self, take: Callable[[bytes], None], clock: Callable[[], float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._clock = clock
        self._transport: asyncio.ReadTransport | None = None
        self._rest = b""
        self._second = float("-inf")  #: When the second began that is counted.
        self._lines = self._bytes = self._dropped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on the lines that are whole; keep the beginning of the next."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._give(line.removesuffix(b"\r"))
        while len(rest) > LONGEST_LINE_BYTES:
            self._give_piece(rest[:LONGEST_LINE_BYTES])
            rest = rest[LONGEST_LINE_BYTES:]
        self._rest = rest
        if self._dropped and self._transport is not None:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(HELD_SECONDS, self._go_on)

    def eof_received(self) -> None:
        """Nothing more comes."""

    def connection_lost(self, _error: Exception | None) -> None:
        """Hand on the last line, which may lack its end."""
        if self._rest:
            self._give(self._rest)
        self._rest = b""
        self._tell_dropped()
        self._transport = None
        if not self.done.done():
            self.done.set_result(None)

    def close(self) -> None:
        """Read no more, though the stream may be open elsewhere."""
        if self._transport is not None:
            self._transport.close()

    def _go_on(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._clock() - self._second >= 1:
            self._tell_dropped()
        self._transport.resume_reading()

    def _give(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), LONGEST_LINE_BYTES):
            self._give_piece(line[start : start + LONGEST_LINE_BYTES])

    def _give_piece(self, line: bytes) -> None:
        now = self._clock()
        if now - self._second >= 1:
            self._tell_dropped()
            self._second, self._lines, self._bytes = now, 0, 0
        self._lines += 1
        self._bytes += len(line)
        if self._lines > LINES_A_SECOND or self._bytes > BYTES_A_SECOND:
            self._dropped += 1
        else:
            self._hand_on(line)

    def _tell_dropped(self) -> None:
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._hand_on(
                f"{count} lines were dropped here: the program prints more than"
                f" {LINES_A_SECOND} lines or {BYTES_A_SECOND} bytes a second".encode()
            )

    def _hand_on(self, line: bytes) -> None:
        try:
            self._take(line)
        except Exception:  # a log that fails must not end the program that wrote to it
            log.exception("a line of output could not be taken")
