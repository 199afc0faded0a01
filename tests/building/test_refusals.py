"""What cannot be built, in words that a person understands."""

import pytest

from connectory.building.processes import Ended
from connectory.building.toolchains import Toolchains
from connectory.building.words import how_it_ended
from connectory.building.workshop import Limits
from connectory.contract.scalars import ApplicationType
from tests.building.conftest import EXAMPLES, SERVER, locked, package, unreachable


def test_a_missing_folder_is_named(bench):
    told = bench.refusal(EXAMPLES / "missing-folder", "updater", ApplicationType.EVENT)
    assert told.startswith("Application folder missing: the repository has no folder updater")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("pom.xml", "<java.version>17</java.version>", "service/pom.xml is of Java 17: there is"),
        ("requirements.txt", "flask", "service/requirements.txt is of Python: there is no builder"),
        ("pyproject.toml", 'requires-python = ">=3.12"', "is of Python >=3.12"),
        ("composer.json", "{}", "is of PHP"),
        ("README.md", "", "service has no package.json"),
    ],
)
def test_what_there_is_no_builder_for_is_named_with_its_version(bench, file, text, told):
    assert told in bench.refusal(bench.tree(**{file: text}))


@pytest.mark.parametrize("text", ["{", "[]", '{"scripts": []}', "[" * 100_000])
def test_a_package_json_that_cannot_be_read_is_named(bench, text):
    told = bench.refusal(bench.tree(**{"package.json": text}))
    assert told.startswith("package.json cannot be read: service/package.json")


def test_a_service_needs_a_start_command(bench):
    told = bench.refusal(bench.tree(**{"package.json": "{}"}))
    assert told.startswith("Start command missing: service/package.json has no script `start`")


def test_assets_need_a_public_folder(bench):
    tree = bench.tree(**{"package.json": package(scripts={"build": "true"})})
    told = bench.refusal(tree, "service", ApplicationType.ASSETS)
    assert "served from the folder public/, and the script `build` made none" in told


def test_a_module_that_the_repository_does_not_have_is_named(bench):
    for path in ("file:../shared", "link:../../elsewhere", "file:/etc"):
        tree = bench.tree(**{"package.json": package(dependencies={"shared": path})})
        assert "package.json has shared at" in bench.refusal(tree)


def test_a_build_script_that_fails_is_told_with_exit_code_and_last_lines(bench):
    script = "echo compiling; echo 'cannot find x' >&2; exit 7"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "x"})})
    title, _, message = bench.refusal(tree).partition(": ")
    assert title == "Build failed"
    assert message.startswith("npm run build failed\nexit code 7\n")
    assert "cannot find x" in message
    assert bench.left_over() == []


def test_time_is_limited(bench):
    bench.limits = Limits(seconds=1)
    tree = bench.tree(**{"package.json": package(scripts={"build": "sleep 60", "start": "x"})})
    assert bench.refusal(tree) == "Build took too long: the build did not end within 1 s"


def test_disk_is_limited(bench):
    bench.limits = Limits(disk_bytes=2**20)
    script = "head -c 3000000 /dev/zero > big"
    tree = bench.tree(**{"package.json": package(scripts={"build": script, "start": "x"})})
    assert bench.refusal(tree).startswith("Build took too much disk: ")


def test_output_without_end_is_cut_off(bench):
    scripts = {"build": "yes | head -n 30000", "start": "x"}
    bench.build(bench.tree(**{"package.json": package(scripts=scripts)}))
    assert len(bench.lines) == 20_001
    assert bench.lines[-1][1].startswith("(more than 20000 lines")


@pytest.mark.parametrize(
    ("dependencies", "lock", "told"),
    [
        (
            {"@connectory-example/is-not-there": "1.0.0"},
            "",
            "the package @connectory-example/is-not-there@1.0.0 is not in the registry",
        ),
        ({"is-number": "99.0.0"}, "", "the registry has no version is-number@99.0.0"),
        (
            {"is-number": "7.0.0", "is-odd": "3.0.1"},
            locked("is-number", "7.0.0"),
            "package-lock.json does not belong to package.json (is-odd@3.0.1",
        ),
        (
            {"is-number": "7.0.0"},
            locked("is-number", "7.0.0", integrity="sha512-" + "A" * 86 + "=="),
            "a package is not the one that the lock file names: is-number has another",
        ),
    ],
    ids=["E404", "ETARGET", "EUSAGE", "EINTEGRITY"],
)
def test_a_package_that_cannot_be_had_is_told_in_words(bench, registry, dependencies, lock, told):
    files = {"package.json": package(dependencies=dependencies), "index.js": SERVER}
    tree = bench.tree(**files, **({"package-lock.json": lock} if lock else {}))
    refusal = bench.refusal(tree)
    assert refusal.startswith("Dependencies not installed: npm ")
    assert told in refusal
    assert "\nexit code 1\n" in refusal


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://registry.invalid/", "the registry registry.invalid cannot be found from here"),
        ("http://127.0.0.1:9/", "the registry does not answer: http://127.0.0.1:9/is-number"),
    ],
)
def test_a_registry_that_cannot_be_reached_is_named(bench, address, told):
    bench.registry = unreachable(address)
    files = {"package.json": package(dependencies={"is-number": "7.0.0"})}
    assert told in bench.refusal(bench.tree(**files))


def test_yarn_tells_of_a_package_that_is_not_there(bench, registry):
    entry = '"@connectory-example/is-not-there@1.0.0":\n  version "1.0.0"\n'
    files = {
        "package.json": package(dependencies={"@connectory-example/is-not-there": "1.0.0"}),
        "yarn.lock": f"# yarn lockfile v1\n\n\n{entry}",
    }
    told = bench.refusal(bench.tree(**files))
    assert "Dependencies not installed: yarn install" in told
    assert "the package " in told
    assert "is not in the registry" in told


def test_yarn_tells_of_a_lock_that_is_of_another_package_json(bench, registry):
    files = {
        "package.json": package(dependencies={"is-number": "7.0.0"}),
        "yarn.lock": "# yarn lockfile v1\n\n\n",
    }
    assert "the lock file does not belong to package.json" in bench.refusal(bench.tree(**files))


def test_a_missing_toolchain_is_named_with_its_version(bench, tmp_path):
    files = {
        "package.json": package(
            packageManager="pnpm@9.1.0", dependencies={"a": "1"}, engines={"node": ">=18"}
        ),
        "pnpm-lock.yaml": "lockfileVersion: '9.0'\n",
    }
    tree = bench.tree(**files)
    bench.toolchains = Toolchains(str(tmp_path), None)
    told = bench.refusal(tree)
    assert told.startswith("Toolchain missing: Node: this machine has no Node")
    assert "engines.node >=18" in told
    only_node = tmp_path / "bin"
    only_node.mkdir()
    (only_node / "node").write_text("#!/bin/sh\necho v20.1.0\n")
    (only_node / "node").chmod(0o755)
    bench.toolchains = Toolchains(str(only_node), None)
    assert bench.refusal(tree).startswith("Toolchain missing: npm: this machine has Node 20.1.0")
    tree = bench.tree("npm", **{"package.json": package()})
    assert bench.refusal(tree).startswith("Toolchain missing: npm: this machine has Node 20.1.0")


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (1, "RangeError: Array buffer allocation failed", "exit code 1: it wanted more memory"),
        (134, "FATAL ERROR: JavaScript heap out of memory", "exit code 134: it wanted more memory"),
        (1, "spawn ENOMEM", "exit code 1: it wanted more memory"),
        (137, "", "it was killed, most likely because it used more memory"),
        (1, "error TS2322", "exit code 1\n"),
        (0, "ENOMEM is a word", "exit code 0\n"),
    ],
)
def test_a_build_without_memory_says_so_with_and_without_control_groups(code, said, told):
    ended = Ended(code=code, text=said, last=(said,))
    assert how_it_ended(ended).startswith(told)
