"""Yarn and pnpm: which version a tree is built with, where it comes from, and that it works."""

import json
import os
import shutil

import pytest

from connectory.building.registry import Registry, yarn_environment
from connectory.building.toolchains import Toolchains
from tests.building.conftest import EXAMPLES, package, unreachable
from tests.building.test_builds import answer_of, evaluated

INSTALLED = "builds/packages/*/made/yarn/node_modules/.bin/yarn"
NEEDS = {"dependencies": {"is-number": "7.0.0"}}
BERRY_LOCK = '__metadata:\n  version: {}\n  cacheKey: 10c0\n\n"service@workspace:."'


@pytest.fixture
def fake(bench, tmp_path):
    """A machine with a Node, an npm that can get no package, and what else a test adds."""

    def program(name, answer):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {answer} || exit 1\n')
        path.chmod(0o755)

    program("node", "v20.1.0")
    program("npm", "10.0.0")
    bench.toolchains = Toolchains(str(tmp_path / "bin"), None)
    return program


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"packageManager": "pnpm@9.1.0+sha512.abc"},
            "packageManager asks for pnpm@9.1.0, and pnp",
        ),
        ({"packageManager": "yarn@3.2.0"}, "yarn@3.2.0, and @yarnpkg/cli-dist@3.2.0 could"),
        ({"yarn.lock": "# yarn lockfile v1\n"}, "yarn.lock asks for yarn, and yarn@1.22.22 could"),
        ({"yarn.lock": BERRY_LOCK.format(4)}, "@yarnpkg/cli-dist@2."),
        ({"yarn.lock": BERRY_LOCK.format(6)}, "@yarnpkg/cli-dist@3."),
        ({"yarn.lock": BERRY_LOCK.format(8)}, "@yarnpkg/cli-dist@4."),
        ({"yarn.lock": BERRY_LOCK.format(99)}, "@yarnpkg/cli-dist@4."),
        ({"packageManager": "yarn@*"}, "package.json asks for yarn, and yarn@1."),
        ({"packageManager": "yarn@4", ".yarnrc.yml": ""}, "@yarnpkg/cli-dist@4."),
        ({"pnpm-lock.yaml": "lockfileVersion: 5.4\n"}, "pnpm@7."),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, "pnpm@8."),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, "pnpm@10."),
        (
            {"pnpm-lock.yaml": "lockfileVersion: '9.0'\n", "engines": {"pnpm": "^8.1"}},
            "engines.pnpm asks for ^8.1, and pnpm@8.",
        ),
    ],
)
def test_the_version_is_that_of_package_manager_else_of_the_lock(bench, fake, files, told):
    manifest = {k: v for k, v in files.items() if "." not in k and "-lock" not in k}
    others = {k: v for k, v in files.items() if k not in manifest}
    tree = bench.tree(**{"package.json": package(**NEEDS, **manifest), **others})
    refusal = bench.refusal(tree)
    assert refusal.startswith("Toolchain missing: ")
    assert told in refusal
    assert "could not be installed on this machine\nexit code 1" in refusal


@pytest.mark.parametrize(("has", "is_taken"), [("9.15.0", True), ("8.0.0", False)])
def test_the_machines_own_is_taken_where_it_reads_the_lock(bench, fake, has, is_taken):
    fake("pnpm", has)
    files = {"package.json": package(**NEEDS), "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}
    told = bench.refusal(bench.tree(**files))
    assert told.startswith("Dependencies not installed" if is_taken else "Toolchain missing")


def test_a_registry_without_the_manager_is_told_in_words(bench):
    bench.registry = unreachable("http://registry.invalid/")
    told = bench.refusal(EXAMPLES / "pnpm")
    assert told.startswith(
        "Toolchain missing: pnpm: packageManager asks for pnpm@9.15.9, and pnpm@9.15.9 could not be"
        " installed on this machine: the registry registry.invalid cannot be found from here"
    )


@pytest.mark.long
def test_pnpm_installs_by_its_lock_and_prunes(bench, registry, tmp_path):
    artifact = bench.build(EXAMPLES / "pnpm")
    assert json.loads(answer_of(artifact, "/service?text=5", tmp_path))["isNumber"] is True
    assert not (artifact.folder / "node_modules" / "is-odd").exists()
    assert "pnpm 9.15.9\npnpm-lock.yaml sha256:" in bench.steps[0].message


@pytest.mark.long
def test_plug_and_play_starts_without_node_modules(bench, registry, tmp_path):
    artifact = bench.build(EXAMPLES / "yarn-berry")
    shutil.rmtree(bench.folder / "builds" / "packages")
    assert json.loads(answer_of(artifact, "/service?text=5", tmp_path))["isNumber"] is True
    assert not (artifact.folder / "node_modules").exists()
    assert "yarn 4.5.3\nyarn.lock sha256:" in bench.steps[0].message


@pytest.mark.long
@pytest.mark.parametrize("linker", ["node-modules", "pnpm"])
def test_berry_lays_out_node_modules_where_it_is_told_to(bench, registry, tmp_path, linker):
    tree = tmp_path / "tree"
    shutil.copytree(EXAMPLES / "yarn-berry", tree)
    (tree / "service" / ".yarnrc.yml").write_text(f"nodeLinker: {linker}\n")
    artifact = bench.build(tree)
    assert json.loads(answer_of(artifact, "/service?text=5", tmp_path))["isNumber"] is True
    assert evaluated(artifact, "require('is-number')('5')") == "true"
    assert not (artifact.folder / "node_modules" / "is-odd").exists()
    assert not (artifact.folder / ".yarn" / "cache").exists()


@pytest.mark.long
@pytest.mark.parametrize("example", ["pnpm", "yarn-berry"])
def test_the_next_build_needs_no_network(bench, registry, example):
    origin = "https://git.example/connector.git"
    bench.build(EXAMPLES / example, origin=origin)
    address = "http://registry.invalid/"
    npmrc = bench.registry.npmrc
    bench.registry = Registry(npmrc=npmrc, environment={"npm_config_registry": address})
    bench.build(EXAMPLES / example, source="the next commit", origin=origin)
    assert "Dependencies installed" in bench.titles


@pytest.mark.long
@pytest.mark.parametrize(
    ("manager", "lock"),
    [
        ("pnpm@8.15.9", ""),
        ("pnpm@10.34.8", ""),
        ("yarn@3.8.7", ".yarnrc.yml"),
        ("yarn@1.22.22", ""),
    ],
)
def test_other_versions_build_without_a_lock(bench, registry, tmp_path, manager, lock):
    scripts = {"build": "node -p 1", "start": f"{manager.partition('@')[0]} run serve"}
    scripts["serve"] = "node index.js"
    text = (EXAMPLES / "pnpm" / "service" / "index.js").read_text()
    manifest = package(**NEEDS, packageManager=manager, scripts=scripts)
    others = {lock: "nodeLinker: pnp\n"} if lock else {}
    tree = bench.tree(**{"package.json": manifest, "index.js": text}, **others)
    artifact = bench.build(tree)
    shutil.rmtree(bench.folder / "builds" / "packages")
    assert json.loads(answer_of(artifact, "/service?text=5", tmp_path))["isNumber"] is True


@pytest.mark.long
def test_a_yarn_that_the_tree_brings_is_used(bench, registry, tmp_path):
    bench.build(EXAMPLES / "yarn-berry")
    (release,) = bench.folder.glob(
        "builds/packages/*/made/yarn/node_modules/@yarnpkg/*/bin/yarn.js"
    )
    tree = tmp_path / "tree"
    shutil.copytree(EXAMPLES / "yarn-berry", tree)
    releases = tree / "service" / ".yarn" / "releases"
    releases.mkdir(parents=True)
    shutil.copy(release, releases / "yarn-4.5.3.cjs")
    with (tree / "service" / ".yarnrc.yml").open("a") as file:
        file.write("yarnPath: .yarn/releases/yarn-4.5.3.cjs\n")
    shutil.rmtree(bench.folder / "builds")
    artifact = bench.build(tree, source="with its own")
    assert list(bench.folder.glob(INSTALLED)) == []
    assert json.loads(answer_of(artifact, "/service?text=5", tmp_path))["isNumber"] is True


def test_berry_is_told_of_registry_and_proxy(bench):
    registry = Registry(
        npmrc="registry=http://r.example:4873/npm/\n",
        environment={"HTTPS_PROXY": "http://proxy.example"},
    )
    assert yarn_environment(registry) == {
        "YARN_NPM_REGISTRY_SERVER": "http://r.example:4873/npm/",
        "YARN_UNSAFE_HTTP_WHITELIST": "r.example",
        "YARN_HTTPS_PROXY": "http://proxy.example",
    }


@pytest.mark.long
def test_what_is_installed_for_all_is_out_of_reach_of_a_build(bench, registry):
    files = {
        "package.json": package(
            packageManager="yarn@1.22.22",
            scripts={"build": "ls -d $(dirname $(readlink -f $(which yarn))) > seen", "start": "x"},
            **NEEDS,
        )
    }
    bench.build(bench.tree(**files))
    confined = bench.containment.started[-1]
    (tool,) = {bench.folder / each.parents[2] for each in bench.folder.glob(INSTALLED)}
    assert [(each.target, each.writable) for each in confined.mounts if each.source == tool] == [
        (str(tool), False)
    ]
    assert os.fspath(tool) not in {
        os.fspath(each.source) for each in confined.mounts if each.writable
    }
