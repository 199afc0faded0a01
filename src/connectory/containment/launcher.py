"""The process that starts programs and sees that nothing of them is left: run by itself.

It is a program of its own, of the standard library alone, and single-threaded. So it can fork
safely beside a server with many threads and much memory, and it outlives a server that is killed
by just as long as it takes to end what the server had started: its socket's end tells it. On Linux
it adopts whatever loses its parent, and every program is told to die with it.

Requests are frames of JSON with the length before them (4 bytes, big-endian); `start` brings the
descriptors of stdout, stderr and, where there are any, stdin. Answers are frames as well:
`{"id", "pid"}` or `{"id", "error"}`, and once `{"id", "exit"}`.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any

from connectory.containment.becoming import become
from connectory.containment.processes import (
    children,
    environment,
    inner_number,
    name,
    send,
    stopped_tree,
)

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36


class Launcher:
    """Starts programs, tells how they end, and leaves nothing of them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pid = os.getpid()
        #: Those that run: outermost process → request.
        self._running: dict[int, int] = {}
        self._marks: dict[int, str] = {}
        self._groups: dict[int, list[str]] = {}
        #: Those that are to be asked to end as soon as there is somebody to ask.
        self._asked: set[int] = set()

    def serve(self) -> None:
        """Until the other end of the socket is closed."""
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select(0.02 if self._asked else None)]
                if woken in ready:
                    os.read(woken, 4096)
                    self._reap()
                if self._connection in ready and not self._request():
                    break
                self._ask()
        self._end_all()

    def _request(self) -> bool:
        try:
            head, descriptors, _, _ = socket.recv_fds(self._connection, 4, 3)
            if not head:
                return False
            for each in descriptors:
                os.set_inheritable(each, False)
            head += self._read(4 - len(head))
            request = json.loads(self._read(struct.unpack(">I", head)[0]))
        except OSError:
            return False
        number = request["id"]
        if "start" in request:
            self._start(number, request["start"], list(descriptors))
            return True
        for pid in [pid for pid, each in self._running.items() if each == number]:
            if request["signal"] == "terminate":
                self._asked.add(pid)
            else:
                self._kill(pid)
        return True

    def _read(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._connection.recv(length)
            if not part:
                raise ConnectionError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _answer(self, **answer: Any) -> None:
        body = json.dumps(answer).encode()
        # A server that has gone is seen at the next request.
        with contextlib.suppress(OSError):
            self._connection.sendall(struct.pack(">I", len(body)) + body)

    def _start(self, number: int, spec: dict[str, Any], descriptors: list[int]) -> None:
        told, tell = os.pipe()  # closed by the program's start, or told why there is none
        child = os.fork()
        if child == 0:
            try:
                signal.set_wakeup_fd(-1)
                become(spec, descriptors, self._pid)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the child ends here
                os.write(tell, f"{getattr(error, 'errno', 0) or 0} {error}".encode()[:4000])
            os._exit(127)
        os.close(tell)
        for each in descriptors:
            os.close(each)
        why = b""
        while part := os.read(told, 4096):
            why += part
        os.close(told)
        if why:
            os.waitpid(child, 0)
            self._sweep()
            code, _, message = why.decode(errors="replace").partition(" ")
            self._answer(id=number, error=[int(code), message])
            return
        self._running[child] = number
        self._groups[child] = [os.path.dirname(each) for each in spec["groups"]]  # noqa: PTH120
        if spec.get("mark"):
            self._marks[child] = spec["mark"]
        self._answer(id=number, pid=child)

    def _ask(self) -> None:
        """Send SIGTERM to the programs themselves; those that are not there yet are asked later."""
        for top in list(self._asked):
            program = self._program(top)
            if program:
                send(program, signal.SIGTERM)
                self._asked.discard(top)

    def _program(self, top: int) -> int:
        """The program of an outermost process; 0: it is not there yet.

        It is the first child of bubblewrap's first process within: pasta makes a namespace of
        processes too, so that the outer bubblewrap may be the first of one as well. Until it is the
        program it is bubblewrap, which forks for other purposes before.
        """
        if top in self._marks:
            return top
        at = top
        while below := children(at):
            if inner_number(at) == 1 and name(at) == "bwrap" and inner_number(below[0]) > 1:
                return next((each for each in below if name(each) != "bwrap"), 0)
            at = below[0]
        return 0

    def _kill(self, top: int) -> None:
        # All are stopped before the first is killed, so that none starts another meanwhile.
        doomed = stopped_tree(top) if _LINUX else [top]
        if top in self._marks:
            doomed += self._strays(top)
        for pid in reversed(doomed):
            send(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(top, signal.SIGKILL)
        _, status = os.waitpid(top, 0)
        self._ended(top, status, doomed)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._running:
                self._ended(pid, status)

    def _ended(self, top: int, status: int, doomed: Sequence[int] = ()) -> None:
        """Tell of an end, when nothing is left of what has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(top, signal.SIGKILL)
        strays = self._strays(top) if top in self._marks else []
        for pid in strays:
            send(pid, signal.SIGKILL)
        for pid in (*doomed, *strays):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        number = self._running.pop(top)
        self._marks.pop(top, None)
        self._asked.discard(top)
        self._sweep()
        for group in self._groups.pop(top):
            with contextlib.suppress(OSError):
                os.rmdir(group)  # noqa: PTH106 - pathlib costs 10 ms of a start
        self._answer(id=number, exit=os.waitstatus_to_exitcode(status))

    def _strays(self, top: int) -> list[int]:
        """Our adopted children that bear the mark of a program without namespaces."""
        mark = self._marks[top].encode()
        found = []
        for pid in children(self._pid):
            if pid not in self._running and mark in environment(pid):
                found += stopped_tree(pid)
        return found

    def _sweep(self) -> None:
        """End and wait for what was adopted and belongs to nothing that runs.

        Outside of namespaces' inside nothing lives on without its parent. Programs without
        namespaces may have left something in the background, which is theirs while they run.
        """
        for pid in children(self._pid):
            if pid in self._running or (self._marks and not inner_number(pid)):
                continue
            send(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _end_all(self) -> None:
        for top in list(self._running):
            self._kill(top)
        self._sweep()


def main() -> None:
    """Serve the socket that the first argument numbers."""
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    # The server ends it, not a Ctrl-C that is meant for the server.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Launcher(connection).serve()


if __name__ == "__main__":
    main()
