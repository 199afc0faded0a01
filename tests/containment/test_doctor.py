"""`connectory doctor`: what holds here, for people and for machines."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from connectory.settings import SettingError, Settings


def doctor(folder, *options, before=(), **variables):
    environment = {**os.environ, "CONNECTORY_DATA": str(folder / "data"), **variables}
    return subprocess.run(
        [*before, sys.executable, "-m", "connectory", "doctor", *options],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return doctor(tmp_path_factory.mktemp("usual"), "--json")


def test_it_says_what_holds_and_how_to_get_the_rest(usual, tmp_path):
    ran = usual
    told = json.loads(ran.stdout)
    lines = doctor(tmp_path).stdout.splitlines()
    for each in told["findings"]:
        assert f"{'yes' if each['holds'] else 'no ':3}  {each['what']}" in lines
        assert bool(each["how"]) is not each["holds"]
        assert each["how"] == "" or f"     {each['how']}" in lines
    assert f"Programs are confined by: {told['containment']}" in lines

    lacking = [each for each in told["findings"] if each["needed"] and not each["holds"]]
    assert ran.returncode == (0 if told["safe"] and not lacking else 1)
    assert ran.stderr == ""
    assert not (tmp_path / "data").exists()


def test_without_its_tools_it_names_them_and_fails(tmp_path):
    ran = doctor(tmp_path, PATH="/nowhere")
    assert ran.returncode == 1
    for tool in ("git", "node", "npm"):
        assert f"Install {tool}: it " in ran.stdout


def test_a_server_that_may_gain_no_privileges_confines_as_well(usual, tmp_path):
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    bound = json.loads(doctor(tmp_path, "--json", before=["setpriv", "--no-new-privs"]).stdout)
    assert bound == json.loads(usual.stdout)


def test_the_network_of_applications_is_one_of_three():
    assert Settings.load({}).application_network == "public"
    with pytest.raises(SettingError, match="one of public, open and none"):
        Settings.load({"CONNECTORY_APPLICATION_NETWORK": "lan"})
