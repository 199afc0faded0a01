"""Programs are started, watched, replaced, put to sleep and woken; nothing is left of them."""

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path

import pytest
import uvloop

from connectory.runtime.model import HealthCheck, StartFailed, State
from connectory.runtime.processes import STANDINGS, Processes
from connectory.runtime.supervision import backoff
from tests.runtime.plain import SERVER, Plain, program


class Stage:
    """A runtime, what its programs printed, and what was told of them."""

    def __init__(self, tmp_path, node, **options) -> None:
        self.plain = Plain()
        self.lines: list[tuple[str, bytes]] = []
        self.told: list[str] = []
        self.naps: list[float] = []
        self.folder, self.node, self.numbers = tmp_path, node, 0
        self.runtime = Processes(
            self.plain,
            output=lambda _program, stream, line: self.lines.append((stream, line)),
            crash_loops=lambda _program, message: self.told.append(message),
            sleep=self._nap,
            **{"grace_seconds": 1.0, **options},
        )

    async def _nap(self, seconds: float) -> None:
        """Backoffs and intervals pass a hundred times as fast."""
        self.naps.append(seconds)
        await asyncio.sleep(seconds / 100)

    def program(self, source=SERVER, **fields):
        self.numbers += 1
        return program(self.folder / f"program-{self.numbers}", self.node, source, **fields)

    async def call(self, application_id="a-1"):
        address = await self.runtime.address(application_id)
        try:
            return await answer(address)
        finally:
            self.runtime.released(application_id, address)

    async def until(self, condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come to pass"
            await asyncio.sleep(0.01)


async def answer(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    text = await reader.read()
    writer.close()
    return json.loads(text.partition(b"\r\n\r\n")[2])


def descriptors() -> int:
    """How many files and sockets this process has open; 0 where the system does not say."""
    return len(list(Path("/proc/self/fd").glob("*")))


def alive(group: int) -> list[str]:
    """The processes of a group that have not ended, though nobody may have asked how."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(path.read_text().rpartition(")")[2].split())
    return [state for state, _, its_group, *_ in found if int(its_group) == group and state != "Z"]


@pytest.fixture
def play(tmp_path, node):
    """Run a scene on a stage; afterwards no process is left, nor a descriptor."""

    def run(scene, *, loop=asyncio.new_event_loop, **options):
        async def main():
            stage = Stage(tmp_path, node, **options)
            try:
                await scene(stage)
            finally:
                await stage.runtime.close(1.0)
            assert stage.plain.running == 0
            await asyncio.sleep(0)

        before = descriptors()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(main(), 60))
        assert descriptors() <= before

    return run


def test_a_release_answers_once_it_was_switched_to(play):
    async def scene(stage):
        await stage.runtime.run(stage.program(), seconds=20)
        with pytest.raises(KeyError):
            await stage.runtime.address("a-1")
        await stage.runtime.switch("a-1", 1)
        assert (await stage.call())["greeting"] == "hello"
        assert stage.runtime.state("a-1") is State.HEALTHY

    play(scene)


def test_a_release_that_is_run_and_switched_to_again_takes_its_own_place(play):
    async def scene(stage):
        for _ in range(2):
            await stage.runtime.run(stage.program(), seconds=20)
            await stage.runtime.switch("a-1", 1)
        assert (await stage.call())["greeting"] == "hello"
        await stage.until(lambda: stage.plain.running == 1)

    play(scene)


def test_what_is_under_way_at_a_switch_may_take_as_long_as_its_program_says(play):
    async def scene(stage):
        patient = {"application_id": "a-1", "drain_seconds": 60.0}
        runtime, addresses = stage.runtime, {}
        for release in (1, 2):
            for fields in (patient, {"application_id": "a-2"}):
                name = fields["application_id"]
                await runtime.run(stage.program(release=release, **fields), seconds=20)
                await runtime.switch(name, release)
                if release == 1:
                    addresses[name] = await runtime.address(name)
        # The other one's time is over: it is stopped with its call.
        await stage.until(lambda: stage.plain.running == 3)
        assert (await answer(addresses["a-1"]))["greeting"] == "hello"
        for name, address in addresses.items():
            runtime.released(name, address)
        await stage.until(lambda: stage.plain.running == 2)

    play(scene, drain_seconds=0.1)


def test_a_program_gets_its_environment_and_the_reserved_names(play):
    async def scene(stage):
        await stage.runtime.run(
            stage.program(environment={"GREETING": "g", "PORT": "9", "K_SERVICE": "mine"}),
            seconds=20,
        )
        (confinement,) = stage.plain.confinements
        given = confinement.environment
        assert (given["GREETING"], given["PORT"], given["K_SERVICE"]) == ("g", "8080", "service")
        assert given["K_REVISION"] == "service-00001"
        assert [(each.target, each.writable) for each in confinement.mounts] == [
            ("/workspace", False)
        ]

    play(scene)


def test_a_release_replaces_the_one_before_when_its_calls_have_ended(play):
    async def scene(stage):
        await stage.runtime.run(stage.program(), seconds=20)
        await stage.runtime.switch("a-1", 1)
        held = await stage.runtime.address("a-1")
        await stage.runtime.run(
            stage.program(release=2, environment={"GREETING": "new"}), seconds=20
        )
        assert (await stage.call())["greeting"] == "hello"
        await stage.runtime.switch("a-1", 2)
        assert (await stage.call())["greeting"] == "new"
        assert (await answer(held))["greeting"] == "hello"
        assert stage.plain.running == 2
        stage.runtime.released("a-1", held)
        await stage.until(lambda: stage.plain.running == 1)
        assert (await stage.call())["greeting"] == "new"

    play(scene)


def test_a_release_that_fails_leaves_the_old_one_serving(play):
    async def scene(stage):
        await stage.runtime.run(stage.program(), seconds=20)
        await stage.runtime.switch("a-1", 1)
        broken = stage.program(
            "console.error('no database'); console.log('bye'); process.exit(3)", release=2
        )
        with pytest.raises(StartFailed) as failed:
            await stage.runtime.run(broken, seconds=20)
        assert "exit code 3" in str(failed.value)
        assert "no database" in str(failed.value)
        assert "no database" not in failed.value.reason
        assert stage.plain.running == 1
        with pytest.raises(KeyError):
            await stage.runtime.switch("a-1", 2)
        assert (await stage.call())["greeting"] == "hello"

    play(scene)


def test_a_program_that_never_listens_fails_in_time(play):
    async def scene(stage):
        began = time.monotonic()
        with pytest.raises(StartFailed, match=r"not healthy within 0.5 s: nothing listens"):
            await stage.runtime.run(stage.program("setInterval(() => {}, 1000)"), seconds=0.5)
        assert time.monotonic() - began < 5
        assert stage.plain.running == 0

    play(scene)


def test_a_run_that_is_cancelled_leaves_nothing(play):
    async def scene(stage):
        running = asyncio.create_task(
            stage.runtime.run(stage.program("setInterval(() => {}, 1000)"), seconds=30)
        )
        await stage.until(lambda: stage.plain.running == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await stage.until(lambda: stage.plain.running == 0)

    play(scene)


def test_a_program_that_ignores_sigterm_is_killed_with_its_children(play):
    source = (
        """
    process.on("SIGTERM", () => {});
    require("child_process").spawn("sleep", ["1000"]);
    """
        + SERVER
    )

    async def scene(stage):
        await stage.runtime.run(stage.program(source), seconds=20)
        (process,) = stage.plain.started
        assert len(alive(process.pid)) == 2
        await stage.runtime.remove("a-1")
        assert not alive(process.pid)

    play(scene, grace_seconds=0.3)


def test_one_that_dies_is_started_again_and_its_callers_wait(play):
    async def scene(stage):
        await stage.runtime.run(stage.program(), seconds=20)
        await stage.runtime.switch("a-1", 1)
        first = (await stage.call())["pid"]
        os.kill(first, 9)
        await stage.until(lambda: stage.runtime.state("a-1") is not State.HEALTHY)
        assert (await stage.call())["pid"] != first
        assert stage.naps[0] == 1.0

    play(scene)


def test_backoff_doubles_from_a_second_to_a_minute():
    assert [backoff(deaths) for deaths in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_crash_loop_is_told_once_and_so_is_its_end(play):
    source = (
        """
    const fs = require("fs");
    if (!fs.existsSync("well")) { console.log("no luck"); process.exit(1); }
    """
        + SERVER
    )

    async def scene(stage):
        broken = stage.program(source, warm=True)
        await stage.runtime.restore(broken)
        await stage.until(lambda: stage.told, 20)
        assert "exit code 1" in stage.told[0]
        with pytest.raises(StartFailed, match="again and again"):
            await stage.runtime.address("a-1")
        (broken.artifact.folder / "well").touch()
        await stage.until(lambda: len(stage.told) == 2, 20)
        assert stage.told[1] == ""
        assert (await stage.call())["greeting"] == "hello"
        assert stage.naps[:5] == [1, 2, 4, 8, 16]

    play(scene, settled_seconds=0.2)


def test_an_idle_program_sleeps_and_all_callers_wake_it_once(play):
    async def scene(stage):
        await stage.runtime.restore(stage.program())
        assert stage.runtime.state("a-1") is State.SLEEPING
        assert not stage.plain.started
        answers = await asyncio.gather(*(stage.call() for _ in range(50)))
        assert len({each["pid"] for each in answers}) == len(stage.plain.started) == 1
        await stage.until(lambda: stage.plain.running == 0)
        assert stage.runtime.state("a-1") is State.SLEEPING
        assert (await stage.call())["greeting"] == "hello"
        assert len(stage.plain.started) == 2

    play(scene, idle_seconds=0.3)


def test_a_release_that_another_node_switched_to_takes_an_older_ones_place(play):
    async def scene(stage):
        one, two = ({"GREETING": name} for name in ("one", "two"))
        await stage.runtime.restore(stage.program(release=1, environment=one))
        assert stage.runtime.serving("a-1") == 1
        held = await stage.runtime.address("a-1")
        await stage.runtime.restore(stage.program(release=2, environment=two))
        assert stage.runtime.serving("a-1") == 2
        assert stage.runtime.state("a-1") is State.SLEEPING
        assert (await answer(held))["greeting"] == "one"  # its calls end where they began
        stage.runtime.released("a-1", held)
        await stage.until(lambda: stage.plain.running == 0)
        assert (await stage.call())["greeting"] == "two"
        await stage.runtime.restore(stage.program(release=1, environment=one))
        assert stage.runtime.serving("a-1") == 2
        await stage.runtime.remove("a-1")
        assert stage.runtime.serving("a-1") is None

    play(scene)


def test_neither_calls_nor_warmth_let_a_program_sleep(play):
    async def scene(stage):
        await stage.runtime.restore(stage.program())
        await stage.runtime.restore(stage.program(application_id="a-2", warm=True))
        held = await stage.runtime.address("a-1")
        await asyncio.sleep(0.5)
        assert (await answer(held))["greeting"] == "hello"
        assert stage.plain.running == 2

    play(scene, idle_seconds=0.1)


def test_calls_are_not_lost_while_programs_fall_asleep(play):
    async def scene(stage):
        await stage.runtime.restore(stage.program())
        for pause in range(12):
            assert (await stage.call())["greeting"] == "hello"
            await asyncio.sleep(pause * 0.01)

    play(scene, idle_seconds=0.05)


def test_health_is_what_the_health_check_says(play):
    source = """
    const http = require("http");
    let asked = 0;
    http.createServer((request, response) => {
      asked += request.url === "/healthz" ? 1 : 0;
      response.statusCode = asked < 3 || asked > 4 ? 503 : 204;
      response.end();
    }).listen(process.env.LISTEN, "127.0.0.1");
    """
    check = HealthCheck(path="healthz", interval_seconds=5, timeout_seconds=2)

    async def scene(stage):
        await stage.runtime.run(stage.program(source, health_check=check), seconds=20)
        await stage.until(lambda: len(stage.plain.started) == 2)
        assert stage.naps[:5] == [5, 5, 5, 5, 1]

    play(scene)


#: Listens when it is told to.
PATIENT = (
    """
const fs = require("fs");
const waiting = setInterval(() => {
  if (fs.existsSync("go")) { clearInterval(waiting); serve(); }
}, 5);
function serve() {"""
    + SERVER
    + "}"
)


def test_after_a_restart_a_few_start_at_a_time_and_first_those_that_are_called(play):
    async def scene(stage):
        names = [f"a-{number}" for number in range(1, 8)]
        programs = {name: stage.program(PATIENT, application_id=name, warm=True) for name in names}

        def started():
            folders = [each.mounts[0].source for each in stage.plain.confinements]
            return [name for name in names if programs[name].artifact.folder in folders]

        def go(name):
            (programs[name].artifact.folder / "go").touch()

        for each in programs.values():
            await stage.runtime.restore(each)
        go("a-7")
        assert (await stage.call("a-7"))["greeting"] == "hello"
        assert started() == ["a-1", "a-2", "a-7"]
        await stage.runtime.remove("a-4")
        go("a-1")
        await stage.until(lambda: "a-3" in started())
        assert started() == ["a-1", "a-2", "a-3", "a-7"]
        for name in names:
            go(name)
        left = [name for name in names if name != "a-4"]
        await stage.until(lambda: all(stage.runtime.state(name) is State.HEALTHY for name in left))
        assert started() == left

    play(scene, starts=2)


def test_after_a_restart_one_that_hangs_does_not_keep_the_others_waiting(play):
    async def scene(stage):
        hangs = stage.program("setInterval(() => {}, 1000)", warm=True)
        await stage.runtime.restore(hangs)
        await stage.runtime.restore(stage.program(application_id="a-2", warm=True))
        await stage.until(lambda: stage.runtime.state("a-2") is State.HEALTHY)
        assert stage.runtime.state("a-1") is State.STARTING

    play(scene, starts=1, turn_seconds=0.2)


def test_what_waits_for_its_start_is_not_started_by_the_end(play):
    async def scene(stage):
        for number in range(1, 4):
            program = stage.program(PATIENT, application_id=f"a-{number}", warm=True)
            await stage.runtime.restore(program)
        await stage.until(lambda: stage.plain.started)
        await stage.runtime.close(1.0)
        assert len(stage.plain.started) == 1

    play(scene, starts=1)


def test_it_is_counted_what_applications_do(play):
    def counted(stage):
        return {standing: stage.runtime.count(standing) for standing in STANDINGS}

    async def scene(stage):
        await stage.runtime.restore(stage.program())
        await stage.runtime.restore(stage.program(application_id="a-2"))
        # It never listens, so that it is started for as long as it may take.
        silent = stage.program("setInterval(() => {}, 1000)", application_id="a-3", warm=True)
        await stage.runtime.restore(silent)
        assert (await stage.call())["greeting"] == "hello"
        assert counted(stage) == {"running": 1, "asleep": 1, "starting": 1, "restarting": 0}
        dead = stage.program("process.exit(1)", application_id="a-3", release=2)
        await stage.runtime.remove("a-3")
        await stage.runtime.restore(dead)
        with pytest.raises(StartFailed):
            await stage.runtime.address("a-3")
        assert counted(stage) == {"running": 1, "asleep": 1, "starting": 0, "restarting": 1}

    play(scene)


def test_a_broken_application_holds_up_no_other(play):
    async def scene(stage):
        stuck = [
            stage.program("setInterval(() => {}, 1000)", application_id=f"stuck-{number}")
            for number in range(10)
        ]
        starts = [asyncio.create_task(stage.runtime.run(each, seconds=30)) for each in stuck]
        await asyncio.sleep(0.1)
        await stage.runtime.run(stage.program(), seconds=10)
        for each in stuck:
            await stage.runtime.remove(each.application_id)
        ended = await asyncio.gather(*starts, return_exceptions=True)
        assert {type(each) for each in ended} == {StartFailed}

    play(scene)


def test_no_descriptor_is_closed_twice_since_another_thread_may_have_it_by_then(play, monkeypatch):
    """uvloop closes a pipe's descriptor, and after it the file that it was given."""
    files = []

    async def scene(stage):
        loop = asyncio.get_running_loop()
        connect = loop.connect_read_pipe

        async def recording(protocol, file):
            files.append(file)
            return await connect(protocol, file)

        monkeypatch.setattr(loop, "connect_read_pipe", recording)
        await stage.runtime.run(stage.program(), seconds=10)

    uvloop.run(asyncio.sleep(0))  # its first one opens two for as long as the process lives
    play(scene, loop=uvloop.new_event_loop)
    assert [file.closefd for file in files] == [False, False]
    play(scene)
    assert [file.closefd for file in files[2:]] == [True, True]


@pytest.mark.parametrize("refused_at", [1, 2])
def test_one_that_cannot_be_listened_to_is_ended_and_started_again(play, monkeypatch, refused_at):
    async def scene(stage):
        loop = asyncio.get_running_loop()
        connect, asked = loop.connect_read_pipe, []

        async def refusing(*given):
            asked.append(given)
            if len(asked) == refused_at:
                raise RuntimeError("File descriptor 7 is used by transport")
            return await connect(*given)

        monkeypatch.setattr(loop, "connect_read_pipe", refusing)
        with pytest.raises(StartFailed, match="File descriptor 7 is used"):
            await stage.runtime.run(stage.program(), seconds=10)
        assert stage.plain.running == 0
        await stage.runtime.run(stage.program(), seconds=10)

    play(scene)


def test_what_programs_print_is_handed_on_by_line_and_the_last_may_lack_its_end(play):
    source = """
    process.stdout.write("one\\ntwo\\r\\n\\nthree");
    process.stderr.write("a".repeat(70000));
    """

    async def scene(stage):
        with contextlib.suppress(StartFailed):
            await stage.runtime.run(stage.program(source), seconds=20)
        printed = [line for stream, line in stage.lines if stream == "stdout"]
        assert printed == [b"one", b"two", b"", b"three"]
        errors = [len(line) for stream, line in stage.lines if stream == "stderr"]
        assert errors == [65_536, 70_000 - 65_536]

    play(scene)


def test_a_program_that_prints_without_end_is_held_back_and_told_so(play):
    flood = (
        SERVER
        + """
    setInterval(() => { for (let i = 0; i < 1000; i++) console.log("x".repeat(100)); }, 0);
    """
    )

    async def scene(stage):
        await stage.runtime.restore(stage.program(flood))
        await stage.call()
        began, lines = time.monotonic(), len(stage.lines)
        await asyncio.sleep(1.5)
        taken = len(stage.lines) - lines
        assert taken < 1_100 * (time.monotonic() - began + 1)
        assert any(b"lines were dropped here" in line for _, line in stage.lines)
        assert (await stage.call())["greeting"] == "hello"

    play(scene)


def test_sleeping_programs_cost_next_to_nothing(play):
    async def scene(stage):
        one = stage.program()
        began = time.monotonic()
        for number in range(300):
            fields = {"application_id": f"s-{number}"}
            await stage.runtime.restore(type(one)(**{**_fields(one), **fields}))
        assert time.monotonic() - began < 0.5
        assert len(asyncio.all_tasks()) < 5
        assert not stage.plain.started

    play(scene)


def _fields(one):
    return {name: getattr(one, name) for name in one.__struct_fields__}
