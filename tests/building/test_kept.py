"""What stays: through crashes, and within the limit of the disk."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from connectory.building.durable import sync_filesystem
from connectory.building.first_use import FirstUse
from connectory.building.store import Store
from tests.building.conftest import SERVER, Bench, package
from tests.conftest import ROOT

CRASHING = """
import sys
from pathlib import Path
from tests.building.conftest import Bench
bench = Bench(Path(sys.argv[1]))
bench.build(Path(sys.argv[2]))
"""


def nothing():
    pass


def artifact(bench, name, size=0):
    """A built artifact of some bytes."""
    tree = bench.tree(name, **{"package.json": package(), "index.js": SERVER, "data": "x" * size})
    built = bench.build(tree)
    time.sleep(0.02)  # the next is used later, for every file system's clock
    return built.id


def sweep(bench, most_bytes, in_use=()):
    bench.most_bytes = most_bytes
    bench.builds.sweep(set(in_use))


def there(bench, *ids):
    return [bench.builds.use(each) is not None for each in ids]


def test_those_not_used_for_longest_are_removed_first(bench):
    ids = [artifact(bench, name, 100_000) for name in ("a", "b", "c")]
    assert bench.builds.use(ids[0]) is not None
    sweep(bench, 250_000)
    assert there(bench, *ids) == [True, False, True]


def test_those_in_use_are_never_removed(bench):
    ids = [artifact(bench, name, 100_000) for name in ("a", "b")]
    sweep(bench, 0, in_use=[ids[0]])
    assert there(bench, *ids) == [True, False]
    assert [each.name for each in (bench.folder / "builds" / "artifacts").iterdir()] == [ids[0]]


def test_what_was_used_just_now_is_spared(tmp_path):
    store = Store(tmp_path)
    with store.making("a", nothing) as part:
        (part / "files").mkdir()
        store.keep("a", part)
    store.sweep(set(), 0, spared=60)
    assert store.artifact("a") is not None
    store.sweep(set(), 0, spared=0)
    assert store.artifact("a") is None


def test_packages_go_too_but_not_while_a_build_has_them(tmp_path):
    store = Store(tmp_path)
    with store.packages("origin", nothing) as packages:
        (packages / "file").write_text("x" * 10_000)
        store.sweep(set(), 0, spared=0)
        assert (packages / "file").exists()
    store.sweep(set(), 0, spared=0)
    assert not packages.exists()


def test_what_a_crash_left_beside_packages_is_swept_unless_a_build_has_them(tmp_path):
    store = Store(tmp_path)
    with store.packages("origin", nothing) as packages:
        (packages / "yarn").mkdir()
        (packages / "part-left").mkdir()
        store.sweep(set(), 2**30, spared=60)
        assert len(list(packages.iterdir())) == 2
    store.sweep(set(), 2**30, spared=60)
    assert [each.name for each in packages.iterdir()] == ["yarn"]


def test_where_nothing_was_built_a_sweep_makes_no_builder(bench, tmp_path):
    folder, made = tmp_path / "nothing-yet", []

    def make():
        made.append("builder")
        return bench.builds

    builder = FirstUse(folder, make)
    builder.sweep(set())
    assert made == []
    folder.mkdir()
    builder.sweep(set())
    assert made == ["builder"]


def test_an_artifact_in_the_making_is_not_swept(tmp_path):
    store = Store(tmp_path)
    with store.making("a", nothing) as part:
        (part / "files").mkdir()
        store.sweep(set(), 0, spared=0)
        assert (part / "files").exists()


def test_an_id_is_no_path(bench):
    assert bench.builds.use("../../etc") is None
    assert bench.builds.use("0" * 64) is None


@pytest.mark.parametrize("moment", ["while it is built", "when it is about to be kept"])
def test_a_build_whose_server_dies_is_made_anew(bench, moment):
    slow = "echo made > made; sleep 1" if moment == "while it is built" else "echo made > made"
    files = {"package.json": package(scripts={"build": slow, "start": "node ."})}
    if moment != "while it is built":
        # So many files that making them fit to be kept takes a while.
        files["package.json"] = package(
            scripts={"build": f"{slow}; for i in $(seq 3000); do : > f$i; done", "start": "node ."}
        )
    tree = bench.tree(**files)
    crashing = subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(bench.folder), str(tree)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])},
    )
    pattern = "artifacts/*/part-*/" + (
        "root/service/made" if moment == "while it is built" else "kept"
    )
    while not list((bench.folder / "builds").glob(pattern)):
        assert crashing.poll() is None
        time.sleep(0.005)
    crashing.send_signal(signal.SIGKILL)
    crashing.wait()
    assert len(bench.left_over()) == 1
    again = Bench(bench.folder)
    artifact = again.build(tree)
    assert again.titles[-1] == "Application built"
    assert (artifact.folder / "made").read_text() == "made\n"
    assert again.left_over() == []


def test_what_a_crash_left_is_swept(bench):
    tree = bench.tree(**{"package.json": package(), "index.js": SERVER})
    kept = bench.build(tree)
    entry = kept.folder.parent.parent
    (entry / "part-left").mkdir()
    (entry.parent / ("1" * 64) / "part-left").mkdir(parents=True)
    sweep(bench, 2**30)
    assert there(bench, kept.id) == [True]
    assert bench.left_over() == []
    assert list(entry.parent.iterdir()) == [entry]


def test_an_artifact_is_on_the_disk_before_it_has_its_name(tmp_path):
    seen = []

    def sync(folder):
        made = folder.parent.parent / "made"
        seen.append((made.exists(), sorted(each.name for each in folder.iterdir())))
        sync_filesystem(folder)

    store = Store(tmp_path, sync)
    with store.making("1" * 64, lambda: None) as part:
        (part / "kept").mkdir()
        (part / "kept" / "file").write_text("made")
        made = store.keep("1" * 64, part / "kept")
    assert seen == [(False, ["file", "size"])]
    assert (made / "file").read_text() == "made"


def test_a_disk_that_does_not_take_it_leaves_no_artifact(tmp_path):
    def sync(folder):
        raise OSError(errno.EIO, "Input/output error")

    store = Store(tmp_path, sync)
    with store.making("1" * 64, lambda: None) as part:
        (part / "kept").mkdir()
        with pytest.raises(OSError, match="Input/output"):
            store.keep("1" * 64, part / "kept")
    assert store.artifact("1" * 64) is None
