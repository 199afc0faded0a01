"""What every way to confine does, and what only the strict ones do. Hostile programs try it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs

from connectory.containment import cgroups
from connectory.containment.model import Mount
from tests.containment.conftest import (
    SMALL,
    Place,
    answer,
    free_port,
    groups_of,
    processes_with,
)

SERVER = """
process.on('SIGTERM', () => process.exit(7));
require('http').createServer((request, response) => response.end(process.env.NAME)).listen(8080);
"""


def only_confined(place: Place) -> None:
    if not place.confines:
        assert not place.containment.holds.safe
        pytest.skip("bare confines nothing, and says so")


# What it sees.


def test_it_sees_its_own_files_and_none_of_the_server_or_of_others(place: Place):
    only_confined(place)
    own = place.folder / "own"
    own.mkdir()
    (own / "file").write_text("mine")
    (own / "file").chmod(0o600)
    script = """
import os, sys
print(open("/workspace/file").read(), os.getcwd())
for path in sys.argv[1:]:
    try:
        print(path, open(path).read() if not os.path.isdir(path) else os.listdir(path))
    except OSError as error:
        print("no", type(error).__name__)
"""
    forbidden = [
        *(str(place.data), str(place.data / "connectory.sqlite3")),
        *("/etc/shadow", "/etc/ssh", "/home", "/root", "/var/lib", "/run", str(place.folder)),
    ]
    mounts = [Mount(source=own, target="/workspace")]
    said = place.python(script, *forbidden, mounts=mounts, folder="/workspace").well()
    assert said.splitlines() == ["mine /workspace", *["no FileNotFoundError"] * len(forbidden)]


def test_it_writes_where_it_may_and_nowhere_else(place: Place):
    only_confined(place)
    for name in ("readable", "writable"):
        (place.folder / name).mkdir()
    script = """
import os
for path in ("/readable/x", "/writable/x", "/x", "/usr/x", "/dev/x", "/etc/x", "/opt/x", "/tmp/x"):
    try:
        open(path, "w").write("written")
        print(path)
    except OSError:
        pass
os.mkdir("/writable/folder")
"""
    mounts = [
        Mount(source=place.folder / "readable", target="/readable"),
        Mount(source=place.folder / "writable", target="/writable", writable=True),
    ]
    assert place.python(script, mounts=mounts).well().split() == ["/writable/x", "/tmp/x"]
    written = place.folder / "writable" / "x"
    assert written.read_text() == "written"
    assert written.stat().st_uid == os.geteuid()
    written.unlink()
    (place.folder / "writable" / "folder").rmdir()


def test_one_that_is_shown_no_places_is_told_this_machines_paths(place: Place):
    if place.confines:
        pytest.skip("it is shown places")
    (place.folder / "app").mkdir()
    script = "import os, sys; print(os.getcwd(), os.environ['A'], os.environ['B'], sys.argv[1:])"
    said = place.python(
        script,
        "/workspace/x",
        "--at=/tmp/lib",
        "/workspaces",
        environment={"A": "/workspace/bin:/usr/bin:/tmp/lib", "B": "https://example.com/workspace"},
        mounts=[
            Mount(source=place.folder / "app", target="/workspace"),
            Mount(source=place.folder, target="/tmp/lib"),
        ],
        folder="/workspace",
    ).well()
    at = place.folder
    expected = f"{at}/app {at}/app/bin:/usr/bin:{at} https://example.com/workspace "
    assert said.strip() == expected + str([f"{at}/app/x", f"--at={at}", "/workspaces"])


def test_its_environment_is_what_was_given(place: Place, monkeypatch):
    monkeypatch.setenv("CONNECTORY_DATABASE_URL", "postgresql://secret")
    given = {"A": "1", "EMPTY": "", "LINES": "one\ntwo", "EQUALS": "a=b", "UNICODE": "ä"}
    script = "import os, json; print(json.dumps(dict(os.environ)))"
    told = json.loads(place.python(script, environment=given).well())
    for added in ("PWD", "LC_CTYPE", "CONNECTORY_INSTANCE"):  # bubblewrap, Python itself, bare
        told.pop(added, None)
    assert told == given


def test_no_value_of_its_environment_is_in_the_list_of_processes(place: Place):
    started = place.python(
        "import time; print('up', flush=True); time.sleep(60)",
        environment={"PASSWORD": "correct-horse-battery"},
    )
    started.said("up")
    assert processes_with("import time; print('up'")
    assert not processes_with("correct-horse-battery")


def test_it_inherits_nothing_open(place: Place):
    script = """
import os
for number in range(3, 1024):
    try:
        print(number, os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
"""
    opened = os.open("/", os.O_RDONLY)
    os.set_inheritable(opened, True)
    try:
        assert place.python(script).well() == ""
    finally:
        os.close(opened)


def test_it_has_no_privileges_and_gains_none(place: Place):
    script = "print(open('/proc/self/status').read())"
    status = dict(
        line.split(":\t", 1) for line in place.python(script).well().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    if place.confines:
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
        mine = Path("/proc/self/status").read_text()
        inside = "0" if "NoNewPrivs:\t1" in mine and place.own_network else "1000"
        assert set(status["Uid"].split()) == {inside}


def test_it_sees_no_processes_but_its_own(place: Place):
    only_confined(place)
    script = "import os; print(len([n for n in os.listdir('/proc') if n.isdigit()]))"
    assert int(place.python(script).well()) <= 3


# Port 8080.


def test_port_8080_belongs_to_each(place: Place):
    ports = [free_port(), free_port()]
    for name, port in zip("ab", ports, strict=True):
        environment = {"NAME": name, "PATH": "/usr/bin:/bin"}
        place.node(SERVER, port=port, environment=environment)
    assert [answer(port) for port in ports] == ["a", "b"]


# How it ends.


def test_its_exit_code_is_told(place: Place):
    assert place.python("raise SystemExit(3)").ended()[0] == 3
    assert place.python("import os; os.kill(os.getpid(), 9)").ended()[0] == -9


def test_it_is_running_until_it_ends(place: Place):
    started = place.python("import time; time.sleep(0.2)")
    assert started.contained.poll() is None
    with pytest.raises(TimeoutError):
        started.contained.wait(0.01)
    assert started.contained.wait(10) == 0
    assert started.contained.poll() == 0


def test_what_cannot_be_started_says_why(place: Place):
    try:
        started = place.start(["no-such-program"], environment={"PATH": "/usr/bin"})
    except OSError as error:
        assert "no-such-program" in str(error)  # noqa: PT017 - one of two ways to say it
    else:
        assert started.ended()[0] > 0
        assert "no-such-program" in started.stderr.read_text()


def test_asked_to_end_it_hears_of_it_itself(place: Place):
    port = free_port()
    started = place.node(SERVER, port=port, environment={"NAME": "a", "PATH": "/usr/bin:/bin"})
    answer(port)
    started.contained.terminate()
    assert started.ended()[0] == 7


@pytest.mark.parametrize(
    "delay", [0, *(pytest.param(each / 200, marks=pytest.mark.long) for each in range(1, 25))]
)
def test_asked_before_it_has_begun_it_ends_too(place: Place, delay: float):
    started = place.python("import time; time.sleep(60)")
    time.sleep(delay)
    started.contained.terminate()
    assert started.ended()[0] == -15


def test_one_that_ignores_signals_is_killed_with_all_that_it_started(place: Place):
    script = """
import os, signal, sys, time
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
print("up", flush=True)
time.sleep(1000)
"""
    token = f"token-{time.monotonic_ns()}"
    started = place.python(script, token)
    while started.said("up").count("up") < 2:
        time.sleep(0.01)
    started.contained.terminate()
    time.sleep(0.1)
    assert started.contained.poll() is None
    before = time.monotonic()
    started.contained.kill()
    assert time.monotonic() - before < 5
    assert started.contained.poll() == -9
    assert not processes_with(token)


def test_what_it_leaves_in_the_background_ends_with_it(place: Place):
    token = f"token-{time.monotonic_ns()}"
    script = "import os, time\nif os.fork() == 0:\n  os.setsid(); time.sleep(1000)"
    place.python(script, token).well()
    assert not processes_with(token)


def test_killed_while_it_starts_nothing_is_left(place: Place):
    for delay in (0, 0.005, 0.02, 0.04, 0.08):
        token = f"token-{time.monotonic_ns()}"
        port = free_port()
        started = place.python("import time; time.sleep(1000)", token, port=port)
        time.sleep(delay)
        started.contained.kill()
        assert not processes_with(token)
        assert not processes_with(f"127.0.0.1/{port}:")
        assert not groups_of(place.data)


# What it may use.


def test_one_that_forks_without_end_is_bounded(place: Place):
    script = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
        if count > 2000:
            break
except OSError:
    pass
print(count, flush=True)
"""
    token = f"token-{time.monotonic_ns()}"
    code, said = place.python(script, token).ended()
    assert code == 0
    assert 5 < int(said) <= SMALL.processes + 8
    assert not processes_with(token)


def test_one_that_takes_memory_without_end_is_bounded(place: Place):
    script = """
parts = []
for number in range(64):
    parts.append(b"x" * 2**23)
    print(number, flush=True)
"""
    bounds = structs.replace(SMALL, memory_bytes=2**27)
    code, said = place.python(script, bounds=bounds).ended()
    assert code != 0
    assert int(said.split()[-1]) * 2**23 < bounds.memory_bytes


def test_one_that_never_rests_gets_its_share_of_a_processor(place: Place):
    if not any(good for what, good, _ in place.containment.holds.findings if "Processors" in what):
        pytest.skip("processors are not bounded here, and it says so")
    script = """
import time
until = time.monotonic() + 0.8
while time.monotonic() < until:
    pass
print(time.process_time())
"""
    said = place.python(script, bounds=structs.replace(SMALL, cpus=0.25)).well()
    assert float(said) < 0.5


def test_one_that_fills_the_disk_is_bounded(place: Place):
    only_confined(place)
    script = """
import os
for folder in ("/tmp", "/dev/shm"):
    written = 0
    try:
        for number in range(200):
            with open(f"{folder}/{number}", "wb") as file:
                for _ in range(8):
                    written += file.write(b"x" * 2**20)
                    file.flush()
    except OSError as error:
        print(folder, written, error.strerror, flush=True)
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
"""
    lines = [line.split(" ", 2) for line in place.python(script).well().splitlines()]
    assert [(folder, why) for folder, _, why in lines] == [
        ("/tmp", "No space left on device"),
        ("/dev/shm", "No space left on device"),
    ]
    assert int(lines[0][1]) <= SMALL.disk_bytes


def test_a_file_without_end_is_bounded(place: Place):
    out = place.folder / "out"
    out.mkdir()
    script = """
import sys
with open(sys.argv[1] + "/file", "wb", buffering=0) as file:
    while True:
        file.write(b"x" * 2**20)
"""
    mounts = [Mount(source=out, target="/out", writable=True)]
    code, _ = place.python(script, "/out", mounts=mounts).ended()
    assert code != 0
    assert (out / "file").stat().st_size == SMALL.disk_bytes


# When the server ends.

SERVER_OF_ONE = """
import sys, time
from pathlib import Path
from connectory.containment.model import Confinement
from connectory.containment.probe import usable_ways
way = next(each for each in usable_ways(Path(sys.argv[1])) if each.name == sys.argv[2])
endless = "while :; do sleep 1000; done"
program = ["/bin/sh", "-c", f": $0; {endless} & {endless}", sys.argv[3]]
given = {"PATH": "/usr/bin:/bin"}
confinement = Confinement(
    command=program, environment=given, mounts=[], folder="/", port=int(sys.argv[4])
)
print(way.start(confinement, stdout=2, stderr=2).pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize(
    "delay", [0.05, *(pytest.param(each / 100, marks=pytest.mark.long) for each in range(25))]
)
def test_nothing_outlives_a_server_that_is_killed(place: Place, tmp_path: Path, delay: float):
    token, port = f"token-{time.monotonic_ns()}", free_port()
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with (tmp_path / "stderr").open("wb") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER_OF_ONE, data, place.containment.name, token, str(port)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    with server:
        assert server.stdout is not None
        assert int(server.stdout.readline())
        time.sleep(delay)
        server.kill()
    _gone(token, port)
    _without_groups(data)


def _without_groups(data: Path) -> None:
    if groups := cgroups.found(data):
        groups.close()
    assert not groups_of(data)


def _gone(token: str, port: int) -> None:
    until = time.monotonic() + 5
    while left := processes_with(token) + processes_with(f"127.0.0.1/{port}:"):
        assert time.monotonic() < until, left
        time.sleep(0.01)


def test_what_a_killed_server_left_is_removed_by_the_next(place: Place, tmp_path: Path):
    if cgroups.found(tmp_path) is None:
        pytest.skip("no control groups can be made here")
    token, port = f"token-{time.monotonic_ns()}", free_port()
    command = [sys.executable, "-c", SERVER_OF_ONE, tmp_path, place.containment.name, token]
    with subprocess.Popen(
        [*command, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert server.stdout is not None
            server.stdout.readline()
            assert groups_of(tmp_path)
            cgroups.found(tmp_path)
            assert groups_of(tmp_path), "a living server's are left alone"
        finally:
            server.kill()
    _gone(token, port)
    _without_groups(tmp_path)


def test_what_outlived_its_server_is_ended_by_the_next(tmp_path: Path):
    if cgroups.found(tmp_path) is None:
        pytest.skip("no control groups can be made here")
    token = f"token-{time.monotonic_ns()}"
    script = """
import subprocess, sys
from pathlib import Path
from connectory.containment import cgroups
from connectory.containment.model import Bounds
group = cgroups.found(Path(sys.argv[1])).made(Bounds())
for file in group.joined_by:
    Path(file).write_text("0")
subprocess.Popen(["/bin/sh", "-c", "sleep 1000; : $0", sys.argv[2]], stdout=-3, stderr=-3)
"""
    subprocess.run([sys.executable, "-c", script, tmp_path, token], check=True)
    assert processes_with(token)
    _without_groups(tmp_path)
    assert not processes_with(token)


def test_it_starts_again_after_what_starts_programs_was_killed(place: Place):
    token = f"token-{time.monotonic_ns()}"
    started = place.python("import time; print('up', flush=True); time.sleep(1000)", token)
    started.said("up")
    launcher = int(
        Path(f"/proc/{started.contained.pid}/stat").read_text().rpartition(")")[2].split()[1]
    )
    os.kill(launcher, 9)
    assert started.contained.wait(5) == -9
    _gone(token, 0)
    assert place.python("print('again')").well() == "again\n"
