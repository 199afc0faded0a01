"""Builds in the strictest way that this machine has: what they see, and what they may use."""

import json
import os

import pytest

from connectory.building.model import Plan
from connectory.building.service import Builds
from connectory.building.workshop import Limits
from connectory.containment.probe import find_containment
from connectory.contract.scalars import ApplicationType
from connectory.settings import Settings
from tests.building.conftest import EXAMPLES, Bench, package
from tests.conftest import lacking

ASSETS = ApplicationType.ASSETS


@pytest.fixture(scope="module")
def containment(tmp_path_factory):
    found = find_containment(tmp_path_factory.mktemp("data"))
    yield found
    found.close()


@pytest.fixture
def bench(tmp_path, node, containment):
    if not containment.shows_places:
        lacking("namespaces", "nothing confines here")
    return Bench(tmp_path, containment)


def printed(bench, script, **files):
    """What the build script of an assets application prints."""
    manifest = package(scripts={"build": f"({script}) > public/out 2>&1 || true"})
    tree = bench.tree("tree", "app", **{"package.json": manifest, "public/index.html": ""}, **files)
    return (bench.build(tree, "app", ASSETS).folder / "out").read_text()


def test_the_application_lies_where_the_official_build_has_it(bench):
    bench.write(bench.folder / "tree", {"shared/package.json": json.dumps({"name": "shared"})})
    seen = printed(bench, "pwd; ls /tmp/lib /tmp/lib/app; touch here /tmp/lib/x && echo written")
    assert seen.startswith("/workspace\n/tmp/lib:\napp\nshared\n")
    assert "written" not in seen


def test_a_module_of_the_repository_is_kept_with_it(bench):
    artifact = bench.build(EXAMPLES / "file-module")
    module = artifact.folder / "node_modules" / "greetings" / "node_modules" / "punctuation"
    assert (module / "index.js").is_file()
    assert not module.is_symlink()


def test_a_build_does_not_see_what_is_ours(bench, tmp_path):
    (tmp_path / "builds").mkdir()
    (tmp_path / "builds" / "secret.keys").write_text("secret")
    seen = printed(bench, f"cat {tmp_path}/builds/secret.keys; ls /root /work; id -u")
    assert "secret\n" not in seen
    assert seen.count("No such file or directory") >= 2 or "Permission denied" in seen
    assert seen.splitlines()[-1] != "0"


def test_a_build_that_takes_too_much_memory_is_told_so(bench):
    bench.limits = Limits(memory_bytes=160 * 2**20)
    script = "node -e 'const a = []; for (;;) a.push(Buffer.alloc(1 << 22, 1))'"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "x"})})
    told = bench.refusal(tree)
    assert told.startswith("Build failed: npm run build failed\n")
    assert "memory" in told


def test_the_settings_make_a_builder(containment, tmp_path, node):
    settings = Settings(data=tmp_path / "data", build_seconds=60.0, build_network="none")
    settings.data.mkdir()
    told = []
    plan = Plan(
        tree=EXAMPLES / "assets", source="1", application="assets", type=ApplicationType.ASSETS
    )
    Builds.of(settings, containment, os.environ).build(
        plan, told=told.append, output=lambda *_: None, cancelled=lambda: False
    )
    assert told[-1].title == "Application built"
