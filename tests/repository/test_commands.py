"""make, bootstrap.py and .ci/run agree on the commands that there are."""

import re
import shutil
import subprocess
from pathlib import Path

import bootstrap

ROOT = Path(__file__).parent.parent.parent


def test_make_has_the_commands_of_bootstrap():
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)", makefile, re.MULTILINE)
    calling = re.search(r"^([a-z -]+):\n\t@\$\(PYTHON\) bootstrap\.py", makefile, re.MULTILINE)
    assert set(phony[1].split()) == {*bootstrap.COMMANDS, "help"}
    assert set(calling[1].split()) == set(bootstrap.COMMANDS)


def test_make_help_tells_of_every_target():
    ran = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT], capture_output=True, text=True, check=True
    )
    told = set(re.findall(r"^  make (\S+) +\S", ran.stdout, re.MULTILINE))
    assert told == {*bootstrap.COMMANDS, "help"}


def test_make_hands_arguments_on():
    ran = subprocess.run(
        ["make", "-n", "-C", ROOT, "test", "ARGS=-k 'a b'", "PYTHON=python9"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python9 bootstrap.py test -k 'a b'\n" in ran.stdout


def test_ci_runs_every_step_and_fails_with_any(tmp_path):
    checkout = tmp_path / "checkout"
    (checkout / ".ci").mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    shutil.copy(ROOT / ".ci" / "run", checkout / ".ci" / "run")
    stubs = {
        checkout / ".ci" / "setup": "exit 0",
        tmp_path / "bin" / "make": 'echo "make $1 needs $CONNECTORY_TEST_REQUIRE"; [ $1 != test ]',
    }
    for path, body in stubs.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    ran = subprocess.run(
        ["bash", checkout / ".ci" / "run"],
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert re.findall(r"^make (\S+) needs (.*)", ran.stdout, re.MULTILINE) == [
        (name, "postgresql browser node shared") for name in ("check", "test", "test-long")
    ]
    assert re.findall(r"^FAILED: (.*)", ran.stdout, re.MULTILINE) == ["make test"]
