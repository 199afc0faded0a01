"""Which Node, and which manager, for what a tree asks for."""

import json

import pytest

from connectory.building.ranges import parse_nvmrc, parse_range
from connectory.building.registry import read_registry, without_secrets
from connectory.building.toolchains import Toolchains
from tests.building.conftest import SERVER, package


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=18", (18, 0, 0), (17, 9, 9)),
        ("18", (18, 20, 1), (19, 0, 0)),
        ("18.x || >= 20.1", (20, 1, 0), (20, 0, 9)),
        ("18.x || >= 20.1", (18, 3, 0), (19, 0, 0)),
        ("^18.12.1", (18, 13, 0), (18, 12, 0)),
        ("^0.2.3", (0, 2, 9), (0, 3, 0)),
        ("^0.0.3", (0, 0, 3), (0, 0, 4)),
        ("~18.12", (18, 12, 7), (18, 13, 0)),
        (">16 <=18.4", (18, 4, 9), (16, 99, 0)),
        (">16 <=18.4", (17, 0, 0), (18, 5, 0)),
        ("16 - 18", (18, 99, 0), (19, 0, 0)),
        ("v20.1.0", (20, 1, 0), (20, 1, 1)),
        (">=20.0.0-rc.1 <21", (20, 0, 0), (21, 0, 0)),
    ],
)
def test_ranges_are_those_of_npm(text, inside, outside):
    assert parse_range(text).holds(inside)
    assert not parse_range(text).holds(outside)


@pytest.mark.parametrize("text", ["*", "", "x", ">=0"])
def test_some_ranges_are_every_version(text):
    assert parse_range(text).holds((20, 1, 0))


@pytest.mark.parametrize("text", ["latest!", ">=", "1.2.3.4", "node"])
def test_what_is_no_range_is_told(text):
    with pytest.raises(ValueError, match="is no version"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("v20.9.0\n", (20, 9, 0), (20, 9, 1)),
        ("20", (20, 1, 0), (18, 0, 0)),
        ("lts/iron", (20, 1, 0), (22, 0, 0)),
        ("lts/*", (22, 1, 0), (21, 0, 0)),
    ],
)
def test_nvmrc_names_lines_too(text, inside, outside):
    assert parse_nvmrc(text).holds(inside)
    assert not parse_nvmrc(text).holds(outside)


@pytest.fixture
def versions(tmp_path):
    """A folder of versions as nvm lays it out."""
    for version in ("v16.20.2", "v18.20.4", "v22.3.0"):
        programs = tmp_path / "versions" / version / "bin"
        programs.mkdir(parents=True)
        for name, answer in (("node", version), ("npm", "10.0.0")):
            (programs / name).write_text(f"#!/bin/sh\necho {answer}\n")
            (programs / name).chmod(0o755)
    return tmp_path / "versions"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (">=16 <20", (18, 20, 4)),
        (">=16", (22, 3, 0)),
        ("16", (16, 20, 2)),
        ("20", (22, 3, 0)),
        ("17.1.0", (18, 20, 4)),
        ("12", (16, 20, 2)),
        (">=24", (22, 3, 0)),
    ],
)
def test_the_newest_that_fits_is_taken_else_the_nearest(versions, asked, found):
    node = Toolchains("", versions).node(parse_range(asked))
    assert node.version == found
    assert node.npm_version == "10.0.0"
    assert node.tools == (versions / f"v{'.'.join(map(str, found))}",)


def test_a_node_that_is_not_the_one_asked_for_is_a_warning(bench):
    for files in ({".nvmrc": "v4.0.0"}, {}):
        engines = {} if files else {"engines": {"node": "4.0.0"}}
        bench.build(bench.tree(**files, **{"package.json": package(**engines), "index.js": SERVER}))
        chosen = bench.steps[0]
        assert (chosen.type, chosen.title) == ("Warning", "Toolchain chosen")
        assert "4.0.0 is asked for, and this machine does not have it: Node " in chosen.message
        bench.folder /= "next"


def test_a_tree_without_a_lock_file_is_a_warning(bench):
    scripts = {"start": "node index.js", "postinstall": "echo installed"}
    bench.build(bench.tree(**{"package.json": package(scripts=scripts), "index.js": SERVER}))
    assert bench.steps[0].type == "Warning"
    assert "there is no lock file" in bench.steps[0].message


@pytest.mark.parametrize(
    ("manifest", "procfile", "told"),
    [
        ({"scripts": {"start": "node a.js"}}, "", "exec env node a.js"),
        ({"scripts": {"start": "A=1 node a.js --b=c"}}, "", "exec env A=1 node a.js --b=c"),
        ({"scripts": {"start": "cd dist && node ."}}, "", "exec npm start --no-update-notifier"),
        ({"scripts": {"start": "node .", "prestart": "x"}}, "", "exec npm start --no-update"),
        ({"scripts": {"start": "node ."}}, "worker: x\nweb: node b.js\n", "exec env node b.js"),
        ({"scripts": {"start": "node a.js"}}, "web: npm start\n", "exec env node a.js"),
        ({}, "web: sleep 1; node b.js", "; sleep 1; node b.js"),
    ],
)
def test_it_is_started_by_procfile_else_by_npm_start(bench, manifest, procfile, told):
    files = {"package.json": json.dumps(manifest)} | ({"Procfile": procfile} if procfile else {})
    command = bench.build(bench.tree(**files)).command
    assert command[:2] == ("/bin/sh", "-c")
    assert told in command[2]


def test_server_js_is_what_npm_starts_without_a_script(bench):
    command = bench.build(bench.tree(**{"package.json": "{}", "server.js": SERVER})).command
    assert command[2].endswith("exec env node server.js")


def test_builds_get_no_credentials_of_the_machines_configuration():
    npmrc = """registry=https://me:word@registry.example/npm/
//registry.example/npm/:_authToken=secret
//registry.example/npm/:username=secret
_auth = secret
_password="secret"
email=secret
certfile=/secret
key="secret"
git=/secret
cafile=/etc/ssl/certs.pem
"""
    kept = "registry=https://registry.example/npm/\ncafile=/etc/ssl/certs.pem\n"
    assert without_secrets(npmrc) == kept


def test_a_configuration_that_the_operator_names_is_given_whole(tmp_path):
    (tmp_path / "npmrc").write_text("//registry.example/:_authToken=for-builds\n")
    registry = read_registry(tmp_path / "npmrc", {"npm_config_registry": "https://r.example/"})
    assert registry.npmrc == "//registry.example/:_authToken=for-builds\n"
    assert registry.environment == {"npm_config_registry": "https://r.example/"}


def test_what_the_servers_environment_says_of_the_registry_is_handed_on_and_no_more(tmp_path):
    (tmp_path / "ca.pem").write_text("")
    registry = read_registry(
        None,
        {
            "NPM_CONFIG_REGISTRY": "https://me:word@r.example/",
            "npm_config__auth": "secret",
            "NODE_EXTRA_CA_CERTS": str(tmp_path / "ca.pem"),
            "CONNECTORY_DATA": "/secret",
            "HTTPS_PROXY": "http://proxy.example",
        },
    )
    assert registry.environment == {
        "NPM_CONFIG_REGISTRY": "https://r.example/",
        "NODE_EXTRA_CA_CERTS": str(tmp_path / "ca.pem"),
        "HTTPS_PROXY": "http://proxy.example",
    }
    assert tmp_path / "ca.pem" in registry.files
