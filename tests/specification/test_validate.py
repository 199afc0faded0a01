"""`connectory validate`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks
from tests.harness import COMMAND
from tests.specification import samples


def run(folder: Path, *arguments: str, expect: int = 0) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CONNECTORY_")}
    done = subprocess.run(
        [COMMAND, "validate", *arguments],
        cwd=folder,
        env=kept | {"HOME": str(folder / "none"), "CONNECTORY_DATA": str(folder / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_guide_shows_what_it_says(tmp_path: Path) -> None:
    broken, shown = [
        block.text
        for block in blocks(DOCS / "how-to" / "validate-a-connector.md")
        if block.language in ("yaml", "console")
    ][:2]
    (tmp_path / "connect.yaml").write_text(broken)
    command, _, said = shown.partition("\n")
    assert command == "$ connectory validate connect.yaml"
    assert run(tmp_path, "connect.yaml", expect=1).stdout == said


def test_it_tells_a_fault_as_a_compiler_does(tmp_path: Path) -> None:
    text = samples.configured("      standardConfigurations: []\n")
    (tmp_path / "connect.yaml").write_text(text)
    assert run(tmp_path, "connect.yaml", expect=1).stdout == (
        "connect.yaml:6:7: error[unknown-key]: `standardConfigurations` is not known in"
        " `configuration`\n"
        "   |\n"
        " 6 |       standardConfigurations: []\n"
        "   |       ^^^^^^^^^^^^^^^^^^^^^^\n"
        "   = help: did you mean `standardConfiguration`?\n"
        "\n"
        "connect.yaml: not valid, 1 error\n"
    )


def test_it_looks_at_this_folder_where_no_path_is_given(tmp_path: Path) -> None:
    assert "there is no `connect.yaml`" in run(tmp_path, expect=1).stdout
    (tmp_path / "connect.yaml").write_text("deployAs: []")
    assert run(tmp_path).stdout.endswith("connect.yaml: valid, 1 warning\n")


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(samples.SERVICE)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "connect.yaml").write_text(samples.SERVICE)
    (tmp_path / "bad.yaml").write_text(samples.SERVICE.replace("my-service", "x"))
    done = run(tmp_path, "--json", "good.yaml", "shop", "bad.yaml", expect=1)
    good, shop, bad = objects(done.stdout)
    assert good == {"path": "good.yaml", "valid": True, "faults": []}
    assert (shop["path"], shop["valid"]) == ("shop", False)
    assert [each["rule"] for each in shop["faults"]] == ["folder-missing"]
    assert bad["faults"] == [
        {
            "rule": "name",
            "severity": "Error",
            "at": "deployAs.0.name",
            "line": 2,
            "column": 11,
            "message": "`x` is no name of an application",
            "hint": "2 to 256 letters without accents, digits, `-` and `_`",
            "official": "[deployAs.0.name]: Invalid",
        }
    ]


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    (tmp_path / "connect.yaml").write_text(samples.SERVICE.replace("/service", "service"))
    assert "warning[relative-endpoint]" in run(tmp_path, "connect.yaml").stdout


def test_wrong_use_is_told_apart_from_a_fault(tmp_path: Path) -> None:
    assert "does not exist" in run(tmp_path, "nothing", expect=2).stderr
    assert "No such option" in run(tmp_path, "--nothing", expect=2).stderr


def test_a_hostile_file_cannot_draw_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[31m.yaml").write_bytes(
        b"deployAs: [{name: '\x1b]0;x\x07', y\xe2\x80\xae: 1}]"
    )
    shown = run(tmp_path, "\x1b[31m.yaml", expect=1).stdout
    assert all(each.isprintable() or each == "\n" for each in shown)


@pytest.mark.parametrize("name", [b"\xff.yaml"])
def test_a_path_that_is_not_utf_8_is_told_in_json(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_text(samples.SERVICE)
    (told,) = objects(run(tmp_path, "--json", os.fsdecode(name)).stdout)
    assert told["path"] == "\ufffd.yaml"


def test_it_needs_no_database_and_imports_none(tmp_path: Path) -> None:
    (tmp_path / "connect.yaml").write_text(samples.SERVICE)
    program = (
        "import sys\nfrom connectory.cli.main import main\nmain(['validate', 'connect.yaml'])\n"
        "slow = {'sqlalchemy', 'alembic', 'granian', 'starlette', 'psycopg', 'asyncio'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "connect.yaml"]
