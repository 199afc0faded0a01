"""The systemd unit of the how-to is one that systemd takes, and confines as the page says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.docs.pages import DOCS, blocks
from tests.harness import COMMAND

PAGE = DOCS / "how-to" / "install-as-a-service.md"
#: What `systemd-analyze security` calls OK, and no more than a service on the network must have.
MOST_EXPOSED = 2.0
#: Since this version systemd-analyze looks at a unit without a systemd that runs.
WITHOUT_A_MANAGER = 250


@pytest.fixture
def unit(tmp_path: Path) -> str:
    if shutil.which("systemd-analyze") is None:
        lacking("systemd", "systemd-analyze is not installed")
    version = re.search(r"systemd (\d+)", analyze("--version"))
    if version is None or int(version[1]) < WITHOUT_A_MANAGER:
        lacking("systemd", f"its version is older than {WITHOUT_A_MANAGER}")
    [block] = [each.text for each in blocks(PAGE) if each.language == "ini"]
    file = tmp_path / "connectory.service"
    file.write_text(block.replace("/opt/connectory/bin/connectory", COMMAND))
    return str(file)


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_no_fault_in_it(unit: str) -> None:
    assert "connectory.service" not in analyze("verify", unit)


def test_it_leaves_little_exposed(unit: str) -> None:
    found = re.search(
        r"exposure level for .*: ([\d.]+)", analyze("security", "--offline=true", unit)
    )
    assert found
    assert float(found[1]) <= MOST_EXPOSED
