"""`connectory doctor`: what holds here, for people and for machines."""

import json
import os
import subprocess
import sys

import pytest


def doctor(tmp_path, *options, path=None):
    environment = {**os.environ, "CONNECTORY_DATA": str(tmp_path / "data")}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [sys.executable, "-m", "connectory", "doctor", *options],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )


def test_it_says_what_holds_and_how_to_get_the_rest(tmp_path):
    told = json.loads(doctor(tmp_path, "--json").stdout)
    lines = doctor(tmp_path).stdout.splitlines()
    for each in told["findings"]:
        assert f"{'yes' if each['holds'] else 'no ':3}  {each['what']}" in lines
        assert bool(each["how"]) is not each["holds"]
        assert each["how"] == "" or f"     {each['how']}" in lines
    assert f"Programs are confined by: {told['containment']}" in lines


def test_its_exit_code_tells_whether_connectors_of_others_can_run(tmp_path):
    ran = doctor(tmp_path, "--json")
    told = json.loads(ran.stdout)
    lacking = [each for each in told["findings"] if each["needed"] and not each["holds"]]
    assert ran.returncode == (0 if told["safe"] and not lacking else 1)
    assert ran.stderr == ""


def test_without_its_tools_it_names_them_and_fails(tmp_path):
    ran = doctor(tmp_path, path="/nowhere")
    assert ran.returncode == 1
    for tool in ("git", "node", "npm"):
        assert f"Install {tool}: it " in ran.stdout


def test_it_leaves_nothing_behind(tmp_path):
    doctor(tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("value", ["", "lan"])
def test_the_network_of_applications_is_one_of_three(tmp_path, monkeypatch, value):
    monkeypatch.setenv("CONNECTORY_APPLICATION_NETWORK", value)
    ran = doctor(tmp_path, "--json")
    if value:
        assert "one of public, open and none" in ran.stderr
        assert ran.returncode == 1
    else:
        assert ran.stderr == ""
