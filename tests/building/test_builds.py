"""Real builds of examples and of small trees: what is kept, what is told, what is shared."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from connectory.building.registry import Registry
from connectory.building.workshop import Limits
from connectory.contract.scalars import ApplicationType
from tests.building.conftest import EXAMPLES, SERVER, locked, package
from tests.harness import free_port

LOCKED = {
    "package.json": package(dependencies={"is-number": "7.0.0"}),
    "package-lock.json": locked("is-number", "7.0.0"),
}
ASSETS = ApplicationType.ASSETS


def answer_of(artifact, path, tmp_path):
    """What an application answers, started as a runtime starts it."""
    port = free_port()
    environment = {"PATH": os.defpath, "PORT": str(port)}
    started = subprocess.Popen(
        artifact.command, cwd=artifact.folder, env=environment, start_new_session=True
    )
    try:
        for _ in range(100):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                try:
                    connection.request("GET", path)
                    return connection.getresponse().read().decode()
                except ConnectionRefusedError:
                    time.sleep(0.05)
        raise AssertionError("it did not listen")
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def evaluated(artifact, expression):
    """What Node makes of an expression in the folder of an artifact."""
    done = subprocess.run(
        ["node", "-p", expression], cwd=artifact.folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_service_without_dependencies_is_kept_as_it_is(bench):
    artifact = bench.build(EXAMPLES / "hard-coded-port")
    assert sorted(each.name for each in artifact.folder.iterdir()) == ["index.js", "package.json"]
    assert bench.titles == ["Toolchain chosen", "Application built"]
    assert bench.containment.started == []
    assert bench.left_over() == []


def test_typescript_is_compiled_by_gcp_build_pruned_and_started(bench, registry, tmp_path):
    artifact = bench.build(EXAMPLES / "typescript")
    assert bench.titles == [
        "Toolchain chosen",
        "Dependencies installed",
        "Build script ended",
        "Development dependencies removed",
        "Application built",
    ]
    assert not (artifact.folder / "node_modules" / "typescript").exists()
    assert json.loads(answer_of(artifact, "/service?a=b", tmp_path))["language"] == "TypeScript"
    assert ("service", "> tsc") in bench.lines
    chosen = bench.steps[0].message
    assert f"Node {evaluated(artifact, 'process.versions.node')}, npm " in chosen
    assert "package-lock.json sha256:" in chosen


def test_yarn_installs_by_its_lock(bench, registry):
    artifact = bench.build(EXAMPLES / "yarn")
    assert evaluated(artifact, "require('is-number')('5')") == "true"
    assert "yarn 1." in bench.steps[0].message
    assert "yarn.lock sha256:" in bench.steps[0].message


def test_a_module_of_the_repository_and_what_it_needs_come_along(bench):
    artifact = bench.build(EXAMPLES / "file-module")
    shutil.rmtree(bench.folder / "builds" / "packages")
    assert evaluated(artifact, "require('greetings').greet('you')") == "Hello, you!"
    links = [path for path in artifact.folder.rglob("*") if path.is_symlink()]
    assert links == []


def test_assets_are_the_folder_public_and_nothing_else(bench):
    artifact = bench.build(EXAMPLES / "assets", "assets", ASSETS)
    assert artifact.command == ()
    assert "main-" in (artifact.folder / "index.html").read_text()
    assert not (artifact.folder / "package.json").exists()


def test_files_of_assets_without_a_package_json_are_served_as_they_are(bench):
    tree = bench.tree("plain", "assets", **{"public/index.html": "<h1>hello</h1>"})
    artifact = bench.build(tree, "assets", ASSETS)
    assert (artifact.folder / "index.html").read_text() == "<h1>hello</h1>"


def test_what_was_built_is_not_built_again(bench):
    tree = bench.tree(**{"package.json": package(), "index.js": SERVER})
    first = bench.build(tree)
    shutil.rmtree(tree / "service")
    bench.write(tree, {"service/package.json": package()})  # the commit says what it is, not this
    assert bench.build(tree) == first
    assert bench.titles == ["Built before"]
    assert bench.builds.use(first.id) == first


@pytest.mark.parametrize("change", ["source", "application", "environment", "origin", "kind"])
def test_whatever_it_is_made_of_changes_its_address(bench, change):
    files = {"package.json": package(), "index.js": SERVER, "public/index.html": ""}
    tree = bench.tree(**files)
    bench.write(tree, {f"other/{path}": text for path, text in files.items()})
    first = bench.build(tree, source="1")
    more = {"source": "1"} | {
        "source": {"source": "2"},
        "application": {"application": "other"},
        "environment": {"environment": {"CLOUD_IDENTIFIER": "gcp-eu"}},
        "origin": {"origin": "https://git.example/fork.git"},
        "kind": {"kind": ASSETS},
    }[change]
    assert bench.build(tree, **more).id != first.id


def test_a_build_sees_the_values_of_its_plan_and_none_of_ours(bench, monkeypatch):
    monkeypatch.setenv("CONNECTORY_DATABASE_URL", "postgresql://secret")
    script = "env > public/environment"
    files = {"package.json": package(scripts={"build": script}), "public/index.html": ""}
    tree = bench.tree("values", "assets", **files)
    artifact = bench.build(tree, "assets", ASSETS, environment={"ENTRY_POINT_URI_PATH": "my-app"})
    seen = (artifact.folder / "environment").read_text()
    assert "ENTRY_POINT_URI_PATH=my-app\n" in seen
    assert "secret" not in seen
    assert "CONNECTORY" not in seen


def test_the_next_build_of_a_repository_needs_no_network(bench, registry):
    origin = "https://git.example/connector.git"
    tree = bench.tree(**LOCKED)
    bench.build(tree, origin=origin)
    bench.registry = Registry(npmrc="offline=true\n")
    bench.build(tree, source="the next commit", origin=origin)
    assert "Dependencies installed" in bench.titles


def test_packages_of_other_repositories_are_not_used(bench, registry):
    tree = bench.tree(**LOCKED)
    bench.build(tree, origin="https://git.example/one.git")
    bench.registry = Registry(npmrc="offline=true\n")
    told = bench.refusal(tree, origin="https://git.example/two.git")
    assert told.startswith("Dependencies not installed: npm ci --prefer-offline failed")


def test_many_who_ask_for_the_same_get_one_build(bench):
    script = "sleep 0.5; date +%N > made"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "node ."})})
    builds, told, artifacts = bench.builds, [], []

    def build():
        artifacts.append(
            builds.build(
                bench.plan(tree),
                told=lambda step: told.append(step.title),
                output=lambda *_: None,
                cancelled=lambda: False,
            )
        )

    threads = [threading.Thread(target=build) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({artifact.id for artifact in artifacts}) == 1
    assert len(bench.containment.started) == 1
    assert sorted(told).count("Built before") == 3


def test_a_build_that_is_cancelled_ends_at_once_and_leaves_nothing(bench):
    scripts = {"build": "echo begun; sleep 60", "start": "node ."}
    tree = bench.tree(**{"package.json": package(scripts=scripts)})
    begun = time.monotonic()
    told = bench.refusal(tree, cancelled=lambda: ("service", "begun") in bench.lines)
    assert told == "Build cancelled: the build was cancelled"
    assert time.monotonic() - begun < 10
    assert bench.left_over() == []


def test_who_waits_for_anothers_build_can_be_cancelled(bench):
    tree = bench.tree(**{"package.json": package(scripts={"build": "sleep 1", "start": "x"})})
    first = threading.Thread(
        target=lambda: bench.builds.build(
            bench.plan(tree), told=lambda _: None, output=lambda *_: None, cancelled=lambda: False
        )
    )
    first.start()
    while not bench.containment.started:
        time.sleep(0.01)
    assert bench.refusal(tree, cancelled=lambda: True).startswith("Build cancelled")
    first.join()


def test_an_artifact_cannot_be_changed_by_a_link_to_its_files(bench):
    scripts = {"build": "ln index.js $npm_config_cache/../stolen", "start": "node index.js"}
    tree = bench.tree(**{"package.json": package(scripts=scripts), "index.js": SERVER})
    artifact = bench.build(tree)
    [stolen] = bench.folder.glob("builds/packages/*/made/stolen")
    stolen.write_text("evil")
    assert (artifact.folder / "index.js").read_text() == SERVER


def test_static_files_do_not_lead_out_of_their_folder(bench, tmp_path):
    (tmp_path / "secret").write_text("secret")
    script = f"ln -s {tmp_path}/secret public/out; ln -s index.html public/in; mkfifo public/pipe"
    files = {"package.json": package(scripts={"build": script}), "public/index.html": "hello"}
    artifact = bench.build(bench.tree("links", "assets", **files), "assets", ASSETS)
    assert sorted(each.name for each in artifact.folder.iterdir()) == ["in", "index.html"]


def test_a_public_folder_that_is_a_link_is_none(bench, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    files = {"package.json": package(scripts={"build": f"ln -s {tmp_path}/elsewhere public"})}
    told = bench.refusal(bench.tree("links", "assets", **files), "assets", ASSETS)
    assert told.startswith("Build made no public folder: ")


def test_links_to_other_places_are_not_followed_for_modules(bench, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    script = f"mkdir node_modules; ln -s {tmp_path}/private node_modules/private"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "node ."})})
    artifact = bench.build(tree)
    assert (artifact.folder / "node_modules" / "private").is_symlink()


def test_what_cannot_be_read_by_its_modes_is_kept_and_removed_all_the_same(bench):
    script = "mkdir -p deep/er; touch deep/er/file; chmod 0 deep/er/file deep/er deep"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "node ."})})
    artifact = bench.build(tree)
    assert (artifact.folder / "deep" / "er" / "file").read_text() == ""
    bench.most_bytes = 0
    bench.builds.sweep(set())
    assert bench.builds.use(artifact.id) is None


@pytest.mark.parametrize(
    "script",
    [
        "truncate -s 9M hole; for i in 1 2 3; do ln hole hole$i; done",
        "mkdir -p node_modules; truncate -s 20M ../shared/hole; ln -s ../../shared node_modules/s",
    ],
    ids=["names of one file", "holes in a module"],
)
def test_little_on_the_disk_does_not_become_much(bench, script):
    dependencies = {"dependencies": {"s": "file:../shared"}} if "shared" in script else {}
    manifest = package(scripts={"build": script, "start": "node ."}, **dependencies)
    tree = bench.tree(**{"package.json": manifest})
    bench.write(tree, {"shared/package.json": '{"name": "s"}'})
    bench.limits = Limits(disk_bytes=10 * 2**20)
    assert bench.refusal(tree).startswith("Build took too much disk: ")
    assert bench.left_over() == []


def test_folders_far_too_deep_are_refused_and_removed(bench):
    script = "node -e 'for (let i = 0; i < 3000; i++) { fs.mkdirSync(`d`); process.chdir(`d`) }'"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "node ."})})
    assert "too deep in each other" in bench.refusal(tree)
    assert bench.left_over() == []


def test_development_dependencies_go_without_a_lock_file_too(bench, registry):
    manifest = package(dependencies={"is-number": "7.0.0"}, devDependencies={"is-windows": "1.0.2"})
    artifact = bench.build(bench.tree(**{"package.json": manifest}))
    modules = artifact.folder / "node_modules"
    assert sorted(each.name for each in modules.iterdir() if each.name[0] != ".") == ["is-number"]
    assert not (artifact.folder / "package-lock.json").exists()
