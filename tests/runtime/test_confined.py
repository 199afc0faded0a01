"""Programs in every way to confine that holds here: those with a hard-coded port, side by side."""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

import pytest

from connectory.containment.model import Bounds, Confinement, Network
from connectory.containment.probe import usable_ways
from connectory.runtime.health import is_open
from connectory.runtime.instance import Ports
from connectory.runtime.model import StartFailed, State
from connectory.runtime.processes import Processes
from tests.runtime.plain import program
from tests.runtime.test_processes import answer

HARD_CODED = """
const http = require("http");
const fs = require("fs");
console.log("listening");
http.createServer((request, response) => {
  let writable = true;
  try { fs.writeFileSync("/workspace/new", "x"); } catch { writable = false; }
  const { GREETING: greeting, PORT: port } = process.env;
  response.end(JSON.stringify({ greeting, port, writable }));
}).listen(8080);
"""


@pytest.fixture(params=["namespaces", "namespaces-shared-network", "bare"])
def way(request, tmp_path):
    """One way to confine."""
    data = tmp_path / "data"
    data.mkdir()
    chosen = None
    for each in usable_ways(data):
        if each.name == request.param and chosen is None:
            chosen = each
        else:
            each.close()
    if chosen is None:
        pytest.skip(f"{request.param} does not hold here")
    yield chosen
    chosen.close()


def test_two_programs_on_port_8080_run_side_by_side_and_sleep_and_wake(way, tmp_path, node):
    lines: list[bytes] = []

    async def main():
        runtime = Processes(
            way,
            output=lambda _program, _stream, line: lines.append(line),
            crash_loops=lambda *_: None,
            idle_seconds=0.3,
            grace_seconds=2.0,
        )
        try:
            for name in ("one", "two"):
                one = program(
                    tmp_path / name, node, HARD_CODED, application_id=name,
                    environment={"GREETING": name},
                )  # fmt: skip
                await runtime.run(one, seconds=20)
                await runtime.switch(name, 1)
            for name in ("one", "two"):
                address = await runtime.address(name)
                told = await answer(address)
                assert (told["greeting"], told["port"]) == (name, "8080")
                assert not told["writable"]
                runtime.released(name, address)
            async with asyncio.timeout(10):
                while runtime.state("one") is not State.SLEEPING:  # noqa: ASYNC110 - as callers see
                    await asyncio.sleep(0.02)
            began = time.monotonic()
            address = await runtime.address("one")
            assert (await answer(address))["greeting"] == "one"
            runtime.released("one", address)
            print(f"woken by {way.name} in {time.monotonic() - began:.3f} s")
        finally:
            await runtime.close(2.0)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert lines.count(b"listening") >= 3


def test_a_program_that_does_not_listen_is_not_taken_for_healthy(way, tmp_path, node):
    async def main():
        runtime = Processes(
            way, output=lambda *_: None, crash_loops=lambda *_: None, grace_seconds=2.0
        )
        try:
            silent = program(tmp_path / "app", node, "setInterval(() => {}, 1000)")
            with pytest.raises(StartFailed, match="nothing listens on port 8080"):
                await runtime.run(silent, seconds=1)
            ended = program(tmp_path / "b", node, "console.log('last words'); process.exit(9)")
            with pytest.raises(StartFailed, match="exit code 9") as failed:
                await runtime.run(ended, seconds=10)
            assert "last words" in str(failed.value)
        finally:
            await runtime.close(2.0)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_who_listens_on_port_8080_of_this_machine_makes_no_program_healthy(way):
    silent = Confinement(
        command=("/bin/sleep", "30"),
        environment={},
        mounts=(),
        folder="/tmp",
        network=Network.PUBLIC,
        port=Ports().take(),
        bounds=Bounds(),
    )

    async def seen(pid: int) -> bool:
        """Asked without a pause from the first moment on, while the sandbox is being made."""
        until = time.monotonic() + 0.12
        while time.monotonic() < until:
            if await is_open(pid, silent.port):
                return True
        return False

    with socket.socket() as other, Path(os.devnull).open("wb") as nowhere:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # then somebody listens there already
            other.bind(("127.0.0.1", 8080))
            other.listen()
        for _ in range(12):
            contained = way.start(silent, stdout=nowhere, stderr=nowhere)
            try:
                assert not asyncio.run(seen(contained.pid))
            finally:
                contained.kill()
