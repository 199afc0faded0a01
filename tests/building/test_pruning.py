"""What only development needs is removed as npm would, and nothing else is touched."""

import json
import os
import shutil
import subprocess

import pytest

from connectory.building.pruning import RECORD, remove_development
from tests.conftest import ROOT

#: Of a package with its types: a scope with one package of each kind, programs, nested ones.
DEPENDENCIES = {
    "dependencies": {"mkdirp": "0.5.6", "semver": "7.5.4", "@types/ms": "0.7.34"},
    "devDependencies": {"typescript": "5.4.5", "@types/node": "20.11.30", "rimraf": "2.7.1"},
}


def npm(folder, *arguments):
    settings = {"npm_config_audit": "false", "npm_config_fund": "false"}
    subprocess.run(
        ["npm", *arguments],
        cwd=folder,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.is_dir()
        for path in folder.rglob("*")
        if path != folder / RECORD
    }


def recorded(folder, packages, **more):
    """A folder whose record says so, with a package in each place that there can be one."""
    (folder / "node_modules").mkdir(parents=True)
    record = {"lockfileVersion": 3, "packages": packages} | more
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def package(folder, path):
    (folder / path).mkdir(parents=True)
    (folder / path / "index.js").write_text("")
    return folder / path


@pytest.mark.parametrize("lock", [True, pytest.param(False, marks=pytest.mark.long)])
def test_what_is_left_is_what_npm_prune_leaves(registry, tmp_path, lock):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    (ours / "package.json").write_text(json.dumps({"name": "service", **DEPENDENCIES}))
    npm(ours, "install", *(() if lock else ("--no-package-lock",)))
    shutil.copytree(ours, theirs, symlinks=True)
    npm(theirs, "prune", "--omit=dev", *(() if lock else ("--no-package-lock",)))
    before = contents(ours)
    assert remove_development(ours)
    assert contents(ours) == contents(theirs) != before
    assert not (ours / RECORD).exists()


def test_the_programs_of_what_went_go_too(tmp_path):
    folder = recorded(tmp_path / "app", {"node_modules/@a/tool": {"dev": True}})
    package(folder, "node_modules/@a/tool")
    package(folder, "node_modules/@a/other")
    binaries = folder / "node_modules" / ".bin"
    binaries.mkdir()
    (binaries / "tool").symlink_to("../@a/tool/index.js")
    (binaries / "other").symlink_to("../@a/other/index.js")
    (binaries / "elsewhere").symlink_to("/shared/not-seen-from-here.js")
    assert remove_development(folder) == 1
    assert sorted(each.name for each in binaries.iterdir()) == ["elsewhere", "other"]
    assert [each.name for each in (folder / "node_modules" / "@a").iterdir()] == ["other"]


@pytest.mark.parametrize(
    "path",
    [
        "../outside/node_modules/kept",
        "node_modules/../../outside/node_modules/kept",
        "node_modules/linked/node_modules/kept",
        "/OUTSIDE/node_modules/kept",
        "node_modules/..",
        "node_modules/.",
        "node_modules/\0",
        "..",
        "",
        "src",
    ],
)
def test_a_record_that_lies_removes_nothing_outside(tmp_path, path):
    outside = tmp_path / "outside"
    kept = package(outside, "node_modules/kept")
    said = path.replace("/OUTSIDE", str(outside))
    folder = recorded(tmp_path / "app", {said: {"dev": True}})
    package(folder, "src")
    (folder / "node_modules" / "linked").symlink_to(outside)
    remove_development(folder)
    assert (kept / "index.js").exists()
    assert (folder / "src" / "index.js").exists()


def test_a_link_that_only_development_needs_goes_and_what_it_leads_to_stays(tmp_path):
    outside = package(tmp_path, "shared")
    folder = recorded(tmp_path / "app", {"node_modules/shared": {"dev": True, "link": True}})
    (folder / "node_modules" / "shared").symlink_to(outside)
    assert remove_development(folder) == 1
    assert not (folder / "node_modules" / "shared").is_symlink()
    assert (outside / "index.js").exists()


@pytest.mark.parametrize(
    "record",
    [
        None,
        "not JSON",
        '{"lockfileVersion":1,"dependencies":{}}',
        '{"lockfileVersion":3,"packages":{"node_modules/a":{"dev":"yes"}}}',
    ],
)
def test_without_a_record_that_can_be_read_npm_is_asked(tmp_path, record):
    package(tmp_path, "node_modules/a")
    if record is not None:
        (tmp_path / RECORD).write_text(record)
    assert remove_development(tmp_path) is None
    assert (tmp_path / "node_modules" / "a").exists()


def test_a_record_that_is_a_link_is_not_followed(tmp_path):
    folder = recorded(tmp_path / "app", {"node_modules/a": {"dev": True}})
    package(folder, "node_modules/a")
    (folder / RECORD).rename(tmp_path / "record")
    (folder / RECORD).symlink_to(tmp_path / "record")
    assert remove_development(folder) is None


@pytest.mark.long
def test_where_npm_left_no_record_the_build_asks_npm(bench, registry):
    manifest = json.loads(
        (ROOT / "examples" / "typescript" / "service" / "package.json").read_text()
    )
    manifest["scripts"]["gcp-build"] += f" && rm {RECORD}"
    shutil.copytree(ROOT / "examples" / "typescript", bench.folder / "tree")
    (bench.folder / "tree" / "service" / "package.json").write_text(json.dumps(manifest))
    artifact = bench.build(bench.folder / "tree")
    assert not (artifact.folder / "node_modules" / "typescript").exists()
    assert any("npm prune" in step.message for step in bench.steps)
