"""Lock files: which packages they take, on which line, whatever wrote them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.staging.checks import locks
from connectory.staging.checks.locks import Locked, parser, read_locks
from tests.checks.advisories import package_lock

YARN_1 = """\
# yarn lockfile v1


"@acme/core@^1.0.0", "@acme/core@^1.2.0":
  version "1.2.3"
  resolved "https://registry.example/core.tgz"

left-pad@^1:
  version "1.3.0"
  dependencies:
    version "9"

"short@npm:@acme/long@^2":
  version "2.0.0"
"""

YARN_4 = """\
__metadata:
  version: 8

"@acme/core@npm:^1.0.0, @acme/core@npm:^1.2.0":
  version: 1.2.3
  resolution: "@acme/core@npm:1.2.3"

"service@workspace:.":
  version: 0.0.0-use.local
"""

PNPM_9 = """\
lockfileVersion: '9.0'

importers:
  left-pad@1.0.0:
    dev: x

packages:

  '@acme/core@1.2.3':
    resolution: {integrity: sha512-x}
    engines: {node: '>=18'}

  left-pad@1.3.0(react@18.0.0):
    resolution: {}

snapshots:
  other@1.0.0: {}
"""

PNPM_5 = """\
packages:
  /@acme/core/1.2.3:
    dev: false
  /left-pad/1.3.0_react@18.0.0:
    dev: true
"""

POETRY = """\
# This file is generated
[[package]]
name = "Left.Pad"
version = "1.3.0"
description = "name = no"

[package.dependencies]
name = "x"
version = "9"

[[package]]
name = "acme"
version = "2.0"

[metadata]
name = "y"
version = "8"
"""

REQUIREMENTS = """\
--index-url https://example
# comment==1.0
Left_Pad[extra]==1.3.0 ; python_version > "3" \\
    --hash=sha256:00
acme===2.0
loose>=1
every==1.*
"""

PIPFILE = {"default": {"Left.Pad": {"version": "==1.3.0"}}, "develop": {"acme": {"version": "*"}}}

OLD_NPM = {
    "lockfileVersion": 1,
    "dependencies": {
        "left-pad": {"version": "1.3.0", "dependencies": {"acme": {"version": "2.0.0"}}},
        "dev-only": {"version": "1.0.0", "dev": True},
    },
}


def read(tree, name, content):
    tree.write("service/package-lock.json", package_lock())
    tree.write(f"other/{name}", content)
    found = read_locks(tree.root)
    assert found.unread == ()
    assert f"other/{name}" in found.paths
    return [(one.package, one.version, one.line) for one in found.packages]


@pytest.mark.parametrize(
    ("name", "content", "packages"),
    [
        ("yarn.lock", YARN_1, [("@acme/core", "1.2.3", 4), ("left-pad", "1.3.0", 8)]),
        ("yarn.lock", YARN_4, [("@acme/core", "1.2.3", 4)]),
        ("pnpm-lock.yaml", PNPM_9, [("@acme/core", "1.2.3", 9), ("left-pad", "1.3.0", 13)]),
        ("pnpm-lock.yaml", PNPM_5, [("@acme/core", "1.2.3", 2), ("left-pad", "1.3.0", 4)]),
        ("poetry.lock", POETRY, [("left-pad", "1.3.0", 2), ("acme", "2.0", 11)]),
        ("uv.lock", POETRY, [("left-pad", "1.3.0", 2), ("acme", "2.0", 11)]),
        ("requirements.txt", REQUIREMENTS, [("left-pad", "1.3.0", 3), ("acme", "2.0", 5)]),
        ("requirements-dev.txt", REQUIREMENTS, [("left-pad", "1.3.0", 3), ("acme", "2.0", 5)]),
        ("Pipfile.lock", PIPFILE, [("left-pad", "1.3.0", 3)]),
    ],
)
def test_a_lock_file_tells_its_packages_and_their_lines(tree, name, content, packages):
    found = read(tree, name, content)
    aliased = [("@acme/long", "2.0.0", 13)] if content == YARN_1 else []
    assert found == packages + aliased


def test_npm_tells_what_is_nested_and_what_is_for_development(tree):
    lock = package_lock("left-pad@1.3.0", "left-pad/node_modules/@acme/core@1.2.3")
    lock["packages"] |= {
        "node_modules/short": {"name": "@acme/long", "version": "2.0.0", "devOptional": True},
        "node_modules/linked": {"resolved": "packages/linked", "link": True},
        "packages/linked": {"version": "1.0.0"},
        "node_modules/tool": {"version": "4.0.0", "dev": True},
    }
    tree.write("service/package-lock.json", lock)
    found = read_locks(tree.root).packages
    assert [(one.package, one.version, one.development) for one in found] == [
        ("left-pad", "1.3.0", False),
        ("@acme/core", "1.2.3", False),
        ("@acme/long", "2.0.0", False),
        ("tool", "4.0.0", True),
    ]
    text = (tree.root / "service/package-lock.json").read_text().split("\n")
    assert '"node_modules/left-pad"' in text[found[0].line - 1]
    assert '"node_modules/left-pad/node_modules/@acme/core"' in text[found[1].line - 1]


def test_the_old_lock_of_npm_is_a_tree(tree):
    tree.write("service/package-lock.json", OLD_NPM)
    found = read_locks(tree.root).packages
    assert {(one.package, one.version, one.development) for one in found} == {
        ("left-pad", "1.3.0", False),
        ("acme", "2.0.0", False),
        ("dev-only", "1.0.0", True),
    }


def test_locks_in_node_modules_are_of_others(tree):
    tree.write("service/node_modules/x/package-lock.json", package_lock("left-pad@1.0.0"))
    assert read_locks(tree.root).packages == ()


BOMBS = {
    "deep arrays": ("package-lock.json", b'{"packages": ' + b"[" * 1_000_000),
    "deep dependencies": ("package-lock.json", b'{"dependencies":{"a":' * 100_000),
    "not JSON": ("package-lock.json", b"left-pad@1.0.0"),
    "not UTF-8": ("yarn.lock", b"\xff\xfe\xff"),
    "too large": ("package-lock.json", b" " * (8 * 2**20 + 1)),
    "wrong types": ("package-lock.json", b'{"packages": {"node_modules/a": 1}}'),
}


@pytest.mark.parametrize("how", BOMBS)
def test_a_lock_file_that_cannot_be_read_is_told(tree, how):
    name, content = BOMBS[how]
    tree.write(f"service/{name}", content)
    began = time.monotonic()
    found = read_locks(tree.root)
    assert found.packages == ()
    [reason] = found.unread
    assert reason.startswith(f"service/{name}: ")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("yarn.lock", '"a@npm:' + "@npm:" * 200_000 + '"\n  version "1"\n'),
        ("pnpm-lock.yaml", "packages:\n  " + "a@" * 500_000 + "1:\n"),
        ("requirements.txt", "a" + "[" * 500_000 + "\n" + "a " * 500_000 + "\n" + "==" * 500_000),
        ("poetry.lock", "[[package]]\nname = " + '"' * 1_000_000 + "\nversion = " + '"' * 1_000),
    ],
)
def test_a_hostile_line_takes_linear_time(tree, name, line):
    tree.write(f"service/{name}", line)
    began = time.monotonic()
    read_locks(tree.root)
    assert time.monotonic() - began < 3


def test_a_bomb_of_packages_ends_at_the_limit(tree, monkeypatch):
    monkeypatch.setattr(locks, "MOST_PACKAGES", 100)
    tree.write("service/yarn.lock", "".join(f'p{n}@1:\n  version "1.0.0"\n' for n in range(200)))
    found = read_locks(tree.root)
    assert len(found.packages) == 101
    assert found.unread == ("the tree locks more than 100 packages",)


@given(
    st.sampled_from(["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "uv.lock", "Pipfile.lock"])
    | st.just("requirements.txt"),
    st.text() | st.sampled_from([YARN_1, PNPM_9, POETRY]).map(lambda text: text[::2]),
)
def test_any_text_is_read_or_refused(name, text):
    parse = parser(f"service/{name}")
    assert parse is not None
    try:
        found = list(parse("lock", text.encode()))
    except ValueError:
        return
    assert all(isinstance(one, Locked) and one.line >= 1 for one in found)
