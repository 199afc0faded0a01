"""What lies beside connect.yaml."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from connectory.specification import MAX_BYTES, read
from connectory.specification.faults import Fault, Severity
from connectory.specification.rules import RULES, STRUCTURE
from connectory.specification.structure import check_structure, read_folder

Files = Mapping[str, str]
LOCKED = {"package-lock.json": "{}"}


def package(**scripts: str) -> str:
    return json.dumps({"name": "app", "scripts": scripts})


def faults(root: Path, files: Files, *, kind: str = "service", more: str = "") -> list[Fault]:
    """The faults of a connector with one application, `app`, of these files."""
    endpoint = "" if kind.startswith(("assets", "merchant")) else "    endpoint: /app\n"
    text = f"deployAs:\n  - name: app\n    applicationType: {kind}\n{endpoint}{more}"
    if kind == "job":
        text += "    properties: {schedule: '@daily'}\n"
    if kind == "merchant-center-custom-view":
        text += "    configuration:\n      standardConfiguration:\n"
        for key in ("CUSTOM_VIEW_ID", "CLOUD_IDENTIFIER"):
            text += f"        - {{key: {key}, description: d, required: true}}\n"
    (root / "connect.yaml").write_text(text)
    for name, content in files.items():
        place = root / "app" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    reading = read_folder(root)
    assert reading.specification is not None, reading.faults
    return check_structure(root, reading.specification)


def rules(found: list[Fault]) -> list[str]:
    return [each.rule for each in found]


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("service", {"package.json": package(start="node ."), **LOCKED}),
        ("event", {"package.json": package(start="node ."), "yarn.lock": ""}),
        ("job", {"package.json": package(start="node ."), "pnpm-lock.yaml": ""}),
        ("service", {"package.json": package(), "Procfile": "web: node .", **LOCKED}),
        ("assets", {"package.json": package(build="vite build"), **LOCKED}),
        ("assets", {"package.json": package(**{"gcp-build": "tsc"}), **LOCKED}),
        ("assets", {"index.html": "<p>"}),
        ("merchant-center-custom-view", {"package.json": package(build="mc"), "yarn.lock": ""}),
        ("service", {"requirements.txt": "flask==3.1.0\n# why\n\n"}),
        ("service", {"pyproject.toml": "[project]\nname = 'app'\n", "uv.lock": ""}),
        ("service", {"pom.xml": "<project/>"}),
        ("service", {"server.js": ""}),
    ],
)
def test_a_sound_application_has_no_fault(tmp_path: Path, kind: str, files: Files) -> None:
    assert faults(tmp_path, files, kind=kind) == []


@pytest.mark.parametrize(
    ("rule", "kind", "files", "says"),
    [
        ("package-json", "service", {"package.json": "{", **LOCKED}, "not valid: no JSON"),
        ("package-json", "assets", {"package.json": "[]", **LOCKED}, "no JSON object"),
        ("package-json", "job", {"package.json": '{"scripts": []}', **LOCKED}, "`scripts` are"),
        ("package-json", "job", {"package.json": "[" * 9_999, **LOCKED}, "not valid"),
        ("package-json", "job", {"package.json": " " * 2**21, **LOCKED}, "more than 1,048,576"),
        ("start-script", "service", {"package.json": package(strat="x"), **LOCKED}, "`start`"),
        ("start-script", "event", {"package.json": "{}", **LOCKED}, "has no script `start`"),
        ("start-implied", "job", {"package.json": '{"main": "a.js"}', **LOCKED}, "`start`"),
        ("start-implied", "job", {"package.json": "{}", "index.js": "", **LOCKED}, "`start`"),
        ("build-script", "assets", {"package.json": "{}", **LOCKED}, "no script `build`"),
        ("lock-file", "service", {"package.json": package(start="x")}, "has no lock file"),
        ("lock-file", "service", {"requirements.txt": "flask>=3\n"}, "are not locked"),
        ("lock-file", "service", {"pyproject.toml": ""}, "are not locked"),
        ("python-project", "service", {"pyproject.toml": "= 1", "uv.lock": ""}, "cannot be read"),
        ("technology", "service", {"README.md": "hello"}, "nothing in its folder tells"),
        ("technology", "merchant-center-custom-view", {"index.html": ""}, "built by Node"),
    ],
)
def test_a_breach_names_the_application(
    tmp_path: Path, rule: str, kind: str, files: Files, says: str
) -> None:
    (found,) = faults(tmp_path, files, kind=kind)
    assert found.rule == rule
    assert found.severity is RULES[rule].severity
    assert found.message.startswith("application `app`: ")
    assert says in found.message
    assert (found.at, found.position.line, found.position.column) == ("deployAs.0", 2, 11)


def test_a_slip_in_a_script_gets_the_nearest_name(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, {"package.json": package(strat="x"), **LOCKED})
    assert found.hint == "did you mean `strat`?"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("npm install && npm run build && npm run connector:post-deploy", ["build"]),
        ("yarn run connector:post-deploy", []),
        ("pnpm run connector:post-deploy --silent", []),
        ("npm run-script nothing", ["nothing"]),
        ("cd ../shared && npm run other", []),
        ("npm --prefix ../shared run other", []),
        ("npm run other --prefix ../shared", []),
        ("node post-deploy.js", []),
    ],
)
def test_what_scripts_run_is_in_the_package(tmp_path: Path, command: str, told: list[str]) -> None:
    files = {"package.json": package(start="x", **{"connector:post-deploy": "y"}), **LOCKED}
    found = faults(tmp_path, files, more=f"    scripts: {{postDeploy: '{command}'}}\n")
    assert rules(found) == ["script-missing"] * len(told)
    assert all(f"`{name}`" in each.message for name, each in zip(told, found, strict=True))


def test_a_folder_has_exactly_the_name_of_its_application(tmp_path: Path) -> None:
    (tmp_path / "App").mkdir()
    (found,) = faults(tmp_path, {})
    assert (found.rule, found.severity) == ("folder-missing", Severity.ERROR)
    assert "did you mean the folder `App`?" in found.hint


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    assert rules(faults(tmp_path, {})) == ["folder-empty"]


@pytest.mark.parametrize("name", ["a" * 256, "constructor", "--"])
def test_any_legal_name_can_be_looked_for(tmp_path: Path, name: str) -> None:
    text = f"deployAs: [{{name: '{name}', applicationType: assets}}]"
    specification = read(text.encode()).specification
    assert specification is not None
    assert rules(check_structure(tmp_path, specification)) == ["folder-missing"]


def link_folder(root: Path, outside: Path) -> None:
    (root / "app").symlink_to(outside)


def link_file(root: Path, outside: Path) -> None:
    (root / "app").mkdir()
    (root / "app" / "package.json").symlink_to(outside / "package.json")


@pytest.mark.parametrize("link", [link_folder, link_file])
def test_a_link_that_leads_out_is_not_followed(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "package.json").write_text("secret: not JSON")
    root = tmp_path / "root"
    root.mkdir()
    link(root, outside)
    (found,) = faults(root, {})
    assert found.rule == "folder-outside"
    assert "secret" not in found.message + found.hint


def test_a_link_within_the_tree_is_followed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "index.html").write_text("")
    (tmp_path / "app").symlink_to("code")
    assert faults(tmp_path, {}, kind="assets") == []


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda place: place.symlink_to(place)])
def test_what_is_no_ordinary_file_is_never_read(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "app").mkdir()
    make(tmp_path / "app" / "package.json")
    (found,) = faults(tmp_path, {})
    assert (found.rule, "it is no file" in found.message) == ("package-json", True)


def test_every_rule_of_structure_is_broken_here(tmp_path: Path) -> None:
    """That the tests above leave none out."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert tmp_path.is_dir()
    assert all(f'"{rule}"' in text for rule in STRUCTURE)


@pytest.mark.parametrize("name", ["connect.yml", "Connect.yaml", "connect.YML"])
def test_another_name_is_not_found_and_has_to_be_changed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("deployAs: []")
    (found,) = read_folder(tmp_path).faults
    assert found.rule == "specification-missing"
    assert f"rename `{name}` to `connect.yaml`" in found.hint


def test_a_specification_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("deployAs: []")
    (root / "connect.yaml").symlink_to("../secret")
    assert [each.rule for each in read_folder(root).faults] == ["specification-unreadable"]


def test_a_specification_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "connect.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    assert [each.rule for each in read_folder(tmp_path).faults] == ["size"]
