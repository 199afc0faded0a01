"""What programs reach: never this machine, nor what is private; tried by programs that want to."""

import contextlib
import json
import socket
import time

import pytest

from connectory.containment.model import Network
from tests.containment.conftest import Place, own_addresses, processes_with

ATTEMPTS = """
import json, socket, sys, threading
found = []
def attempt(host, port):
    try:
        socket.create_connection((host, port), 1).close()
        found.append(host)
    except OSError:
        pass
port = int(sys.argv[1])
threads = [threading.Thread(target=attempt, args=(host, port)) for host in sys.argv[2:]]
[each.start() for each in threads]
[each.join() for each in threads]
print(json.dumps(sorted(found)))
"""
LOOPBACK = ("127.0.0.1", "127.0.0.53", "127.255.255.254", "::1", "0.0.0.0", "::", "localhost")
ELSEWHERE = (
    *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200"),
    *("10.0.0.1", "172.17.0.1", "192.168.0.1", "100.64.0.1", "198.51.100.1", "198.51.100.53"),
)


@contextlib.contextmanager
def _control(port: int):
    """An ordinary process of this machine reaches what is tried: so that failing means much."""
    reached = [host for host in ("127.0.0.1", *own_addresses()) if _reaches(host, port)]
    assert "127.0.0.1" in reached
    yield


def _reaches(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def _own(place: Place) -> None:
    if not place.own_network:
        what = [good for what, good, _ in place.containment.holds.findings if "private" in what]
        assert what == [False]
        assert not place.containment.holds.safe
        pytest.skip(f"{place.containment.name} has no network of its own, and says so")


@pytest.mark.parametrize("network", Network)
def test_this_machine_is_out_of_reach(place: Place, listener: int, network: Network):
    _own(place)
    with _control(listener):
        hosts = [*LOOPBACK, *own_addresses()]
        said = place.python(ATTEMPTS, str(listener), *hosts, network=network).well()
    assert json.loads(said) == []


def test_private_addresses_and_metadata_are_out_of_reach(place: Place):
    _own(place)
    script = """
import errno, socket, sys
for host in sys.argv[1:]:
    try:
        socket.create_connection((host, 80), 2).close()
        print(host, "reached")
    except OSError as error:
        name = errno.errorcode.get(error.errno)
        if name not in ("EHOSTUNREACH", "ENETUNREACH", "EACCES", "EADDRNOTAVAIL"):
            print(host, error)
"""
    private = [each for each in (*ELSEWHERE, *own_addresses()) if not each.startswith("198.51.")]
    own = set(own_addresses()[:1])  # which is the program's own address too
    said = place.python(script, *(each for each in private if each not in own)).well()
    assert said == ""


def test_it_cannot_undo_what_is_out_of_reach(place: Place):
    _own(place)
    script = """
import os, subprocess
for command in ("route flush type unreachable", "route del unreachable 10.0.0.0/8",
                "addr add 10.1.2.3/24 dev net0", "link set net0 down"):
    for program in ("/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"):
        if os.path.exists(program):
            print(subprocess.run([program, *command.split()], stderr=-3).returncode != 0)
            print(subprocess.run(["/usr/bin/unshare", "-U", program, *command.split()],
                stderr=-3).returncode != 0)
            break
"""
    assert set(place.python(script).well().split()) == {"True"}


def test_the_public_internet_is_reached_by_name(place: Place):
    hosts = [("1.1.1.1", 443), ("8.8.8.8", 53)]
    reachable = [host for host in hosts if _reaches(*host)]
    if not reachable:
        pytest.skip("this machine reaches no public address")
    host, port = reachable[0]
    assert json.loads(place.python(ATTEMPTS, str(port), host).well()) == [host]


def test_its_resolver_is_this_machines(place: Place):
    _own(place)
    # A question of a name that no server has to know; that there is an answer is what counts.
    script = """
import socket, sys
question = bytes.fromhex("123401000001000000000000") + b"\\x09localhost\\x00\\x00\\x01\\x00\\x01"
with open("/etc/resolv.conf") as file:
    (server,) = [line.split()[1] for line in file if line.startswith("nameserver")]
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(5)
asked.sendto(question, (server, 53))
print(asked.recv(512)[:2].hex())
"""
    if not _resolves():
        pytest.skip("this machine's resolver does not answer")
    assert place.python(script).well() == "1234\n"


def _resolves() -> bool:
    question = bytes.fromhex("123401000001000000000000") + b"\x09localhost\x00\x00\x01\x00\x01"
    with open("/etc/resolv.conf") as file:  # noqa: PTH123
        servers = [line.split()[1] for line in file if line.startswith("nameserver")]
    if not servers:
        return False
    family = socket.AF_INET6 if ":" in servers[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.settimeout(3)
        with contextlib.suppress(OSError):
            asked.sendto(question, (servers[0], 53))
            return bool(asked.recv(512))
    return False


def test_without_a_network_nothing_but_itself_is_reached(place: Place):
    if not place.confines:
        _own(place)
    script = """
import os, socket
print(sorted(os.listdir("/sys/class/net")) if os.path.exists("/sys") else "none")
with socket.create_server(("127.0.0.1", 8080)) as server:
    socket.create_connection(("127.0.0.1", 8080)).close()
try:
    socket.create_connection(("1.1.1.1", 443), 2)
    print("reached")
except OSError as error:
    print("not reached")
"""
    said = place.python(script, network=Network.NONE).well()
    assert said.split() == ["none", "not", "reached"]


def test_a_network_ends_with_its_program(place: Place):
    _own(place)
    token = f"token-{time.monotonic_ns()}"
    started = place.python("import time; print('up', flush=True); time.sleep(0.2)", token)
    started.said("up")
    assert any("--no-map-gw" in line for line in processes_with(token))
    started.well()
    assert not processes_with(token)
