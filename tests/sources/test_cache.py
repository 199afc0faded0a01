"""The cache is shared by processes that may die at any moment, and stays within its limit."""

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectory.sources.cache import Cache, key_of, size_of
from connectory.sources.model import FetchTimeout
from connectory.sources.service import Sources
from tests.sources.conftest import PROJECT, URL, Make, at
from tests.sources.origins import Origin

SOON = 5.0

#: Fetches for ever, as a node does, until it is killed.
FETCHING = """
import sys
from pathlib import Path
from connectory.contract.connectors import Repository
from connectory.database.engine import open_database
from connectory.kernel.clock import system_clock
from connectory.settings import GitMirrors, Settings
from connectory.sources.service import Sources
data, mirror, url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
settings = Settings(data=data, git_mirrors=GitMirrors((("https://git.example.com/", mirror),)),
                    sources_cache_bytes=int(sys.argv[4]))
sources = Sources(settings, open_database("", data), system_clock)
print("ready", flush=True)
while True:
    for number in range(4):
        fetched = sources.fetch(Repository(url=url, tag=f"v{number}"), "r:p")
        with sources.tree(fetched, "r:p") as tree:
            assert (tree / "a").read_bytes() == b"%d" % number * 1000
    sources.sweep()
"""


def deadline() -> float:
    return time.monotonic() + SOON


def made(content: bytes = b"x") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "content").write_bytes(content)

    return make


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "sources", most_bytes=10_000)


def test_a_key_tells_its_parts_apart():
    assert (
        len({key_of("a", "b", "c"), key_of("ab", "", "c"), key_of("a", "bc", ""), key_of("a")}) == 4
    )


def test_what_is_made_once_is_found(cache: Cache):
    cache.fill("key", made(b"first"), deadline=deadline())
    cache.fill("key", made(b"second"), deadline=deadline())

    with cache.using("key", deadline=deadline()) as folder:
        assert folder is not None
        assert (folder / "content").read_bytes() == b"first"
    with cache.using("other", deadline=deadline()) as folder:
        assert folder is None


def test_what_fails_is_not_kept(cache: Cache):
    def fail(folder: Path) -> None:
        (folder / "content").write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.fill("key", fail, deadline=deadline())

    assert not cache.has("key")
    cache.fill("key", made(), deadline=deadline())
    assert cache.has("key")


def test_many_at_once_make_it_once(cache: Cache):
    made_by = []

    def make(folder: Path) -> None:
        made_by.append(folder)
        time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda _: cache.fill("key", make, deadline=deadline()), range(8)):
            pass

    assert len(made_by) == 1


def test_who_waits_for_another_does_not_wait_for_ever(cache: Cache):
    begun, end = threading.Event(), threading.Event()

    def make(folder: Path) -> None:
        begun.set()
        end.wait(SOON)

    thread = threading.Thread(target=lambda: cache.fill("key", make, deadline=deadline()))
    thread.start()
    begun.wait(SOON)
    with pytest.raises(FetchTimeout):
        cache.fill("key", made(), deadline=time.monotonic() + 0.05)
    end.set()
    thread.join()


def test_the_least_recently_used_go_first_and_those_in_use_never(tmp_path: Path):
    large = Cache(tmp_path / "sources", most_bytes=10**9)
    small = Cache(tmp_path / "sources", most_bytes=10_000)
    for number in range(6):
        large.fill(f"key{number}", made(bytes(3000)), deadline=deadline())
    with small.using("key0", deadline=deadline()):
        for number in range(6):
            moment = time.time() - 100 + number
            os.utime(tmp_path / "sources" / "entries" / f"key{number}", (moment, moment))
        small.sweep()
        kept = {number for number in range(6) if small.has(f"key{number}")}

    assert kept == {0, 3, 4, 5}


def test_the_limit_holds_without_a_sweep_being_asked_for(cache: Cache, tmp_path: Path):
    for number in range(20):
        cache.fill(f"key{number}", made(bytes(3000)), deadline=deadline())

    assert size_of(tmp_path / "sources" / "entries") < 13_000


def test_what_a_dead_process_left_is_swept_and_what_a_living_one_has_is_not(
    cache: Cache, tmp_path: Path
):
    private = tmp_path / "sources" / "private"
    (private / "left" / "tree").mkdir(parents=True)
    with cache.private_folder() as mine:
        (mine / "file").touch()
        cache.sweep()
        assert (mine / "file").exists()
        assert [each.name for each in private.iterdir()] == [mine.name]
    assert not mine.exists()


def test_a_part_that_a_crash_left_is_made_anew(cache: Cache, tmp_path: Path):
    part = tmp_path / "sources" / "entries" / "key" / "part-dead"
    part.mkdir(parents=True)
    (part / "content").write_bytes(b"half")

    assert not cache.has("key")
    cache.fill("key", made(b"whole"), deadline=deadline())

    with cache.using("key", deadline=deadline()) as folder:
        assert folder is not None
        assert (folder / "content").read_bytes() == b"whole"
    assert [each.name for each in part.parent.iterdir()] == ["repository"]


def test_an_entry_that_is_swept_while_somebody_waits_for_it_is_made_again(
    cache: Cache, tmp_path: Path
):
    entry = tmp_path / "sources" / "entries" / "key"
    entry.mkdir(parents=True)
    held = os.open(entry, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    thread = threading.Thread(
        target=lambda: cache.fill("key", made(), deadline=deadline()), daemon=True
    )
    thread.start()
    time.sleep(0.05)
    entry.rename(tmp_path / "gone")
    os.close(held)
    thread.join(SOON)

    assert cache.has("key")


def test_a_damaged_repository_is_fetched_anew(origin: Origin, sources: Sources, data: Path):
    origin.commit({"a": b"1", "b/c": b"2"})
    fetched = sources.fetch(at("v1"), PROJECT)
    for damage in ("objects", "listing", "HEAD"):
        for repository in (data / "sources" / "entries").glob("*/repository"):
            if damage == "objects":
                shutil.rmtree(repository / "objects" / "pack")
            else:
                (repository / damage).unlink()
        with sources.tree(fetched, PROJECT) as tree:
            assert (tree / "b" / "c").read_bytes() == b"2"
        for pack in (data / "sources" / "entries").glob("*/repository/objects/pack/*.pack"):
            pack.chmod(0o600)
            pack.write_bytes(b"")
        assert sources.read(fetched, "a", PROJECT, max_bytes=9) == b"1"


def test_two_installations_of_one_process_share_nothing_but_the_folder(
    origin: Origin, make_sources: Make
):
    origin.commit({"a": b"1"})
    one, two = make_sources(), make_sources()

    fetched = one.fetch(at("v1"), PROJECT)

    assert two.read(fetched, "a", PROJECT, max_bytes=9) == b"1"


def kill_at_random(origin: Origin, make_sources: Make, data: Path, mirror: Path, times: int):
    """Kill fetching processes, two at a time; each time all is usable afterwards."""
    for number in range(4):
        origin.commit({"a": b"%d" % number * 1000}, tag=f"v{number}")
    dice = random.Random(4)
    arguments = [sys.executable, "-c", FETCHING, str(data), f"file://{mirror}/", URL, "20000"]
    for _ in range(times):
        processes = [
            subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True)
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0.0, 0.4))
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        sources = make_sources()
        for number in range(4):
            fetched = sources.fetch(at(f"v{number}"), PROJECT)
            content = sources.read(fetched, "a", PROJECT, max_bytes=10_000)
            assert content == b"%d" % number * 1000
    sources.sweep()
    assert list((data / "sources" / "private").iterdir()) == []
    assert list((data / "sources" / "entries").glob("*/part-*")) == []


def test_a_kill_at_any_moment_leaves_a_cache_that_works(
    origin: Origin, make_sources: Make, data: Path, mirror: Path
):
    kill_at_random(origin, make_sources, data, mirror, times=3)


@pytest.mark.long
def test_many_kills_at_any_moment_leave_a_cache_that_works(
    origin: Origin, make_sources: Make, data: Path, mirror: Path
):
    kill_at_random(origin, make_sources, data, mirror, times=50)
