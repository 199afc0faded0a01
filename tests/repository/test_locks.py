"""The lock files pin everything that pyproject.toml asks for, by hash and without an address."""

import re
import tomllib
from pathlib import Path

import bootstrap
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
LOCKS = ("run", "dev")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def text(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pins(lock: str) -> dict[str, dict[str, list[str]]]:
    """Return each package's versions, as a marker may choose between some, with their hashes."""
    found: dict[str, dict[str, list[str]]] = {}
    entries = re.findall(r"^(\S+?)==([^\s;]+)(.*(?:\n +--hash.*)*)", text(lock), re.MULTILINE)
    for name, version, rest in entries:
        found.setdefault(name, {})[version] = re.findall(r"--hash=sha256:([0-9a-f]{64})\b", rest)
    return found


def group(name: str) -> list[str]:
    """Return a dependency group with the groups that it includes."""
    found: list[str] = []
    for entry in PYPROJECT["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else group(entry["include-group"])
    return found


def test_there_is_no_other_lock_file():
    assert {path.stem for path in (ROOT / "requirements").iterdir()} == set(LOCKS)
    assert set(bootstrap.LOCK_SOURCES) == set(LOCKS)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_address_and_no_place(lock):
    assert not re.search(
        r"://|index-url|find-links| @ |^-|/(home|root|work|tmp)/", text(lock), re.MULTILINE
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_hashes(lock):
    lines = re.findall(r"^[^\s#].*", text(lock), re.MULTILINE)
    pinned = [hashes for versions in pins(lock).values() for hashes in versions.values()]
    assert len(lines) == len(pinned)
    assert all(pinned)


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("run", PYPROJECT["project"]["dependencies"]),
        ("run", PYPROJECT["build-system"]["requires"]),
        ("run", group("build")),
        ("dev", PYPROJECT["project"]["dependencies"]),
        ("dev", group("dev")),
    ],
)
def test_a_lock_file_satisfies_the_ranges(lock, asked):
    pinned = pins(lock)
    for requirement in map(Requirement, asked):
        for version in pinned[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(version), f"{requirement}: {version}; make lock"


def test_the_development_set_holds_the_runtimes_versions():
    run, dev = pins("run"), pins("dev")
    assert {name: dev.get(name) for name in run} == run
