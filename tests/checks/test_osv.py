"""Which versions an advisory affects: the evaluation that the OSV schema describes."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.staging.checks.model import Severity
from connectory.staging.checks.osv import judge, order, read_advisory
from tests.checks.advisories import advisory, fixed, introduced, last_affected

CASES = [
    # events, version, affected, fixed
    ([introduced(), fixed("1.2.3")], "1.2.2", True, "1.2.3"),
    ([introduced(), fixed("1.2.3")], "1.2.3", False, None),
    ([introduced(), fixed("1.2.3")], "1.2.3-rc.1", True, "1.2.3"),
    ([introduced(), fixed("1.10.0")], "1.9.0", True, "1.10.0"),
    ([introduced("2.0.0"), fixed("2.0.7")], "1.9.9", False, None),
    ([introduced("2.0.0"), fixed("2.0.7")], "2.0.0", True, "2.0.7"),
    ([introduced(), last_affected("1.4.0")], "1.4.0", True, None),
    ([introduced(), last_affected("1.4.0")], "1.4.1", False, None),
    ([introduced()], "99.0.0", True, None),
    ([introduced(), fixed("1.0.1"), introduced("2.0.0"), fixed("2.0.1")], "1.5.0", False, None),
    ([introduced(), fixed("1.0.1"), introduced("2.0.0"), fixed("2.0.1")], "2.0.0", True, "2.0.1"),
    ([fixed("2.0.1"), introduced("2.0.0"), fixed("1.0.1"), introduced()], "1.0.0", True, "1.0.1"),
    ([introduced(), fixed("1.0.0"), introduced("1.0.0"), fixed("1.0.1")], "1.0.0", True, "1.0.1"),
    ([introduced("not a version"), fixed("2.0.0")], "1.0.0", False, None),
]


def verdict(document, version, package="left-pad", ecosystem="npm"):
    found = read_advisory(json.dumps(document).encode())[ecosystem, package]
    judged = judge(found, version, order(ecosystem))
    return judged.affected, judged.fixed


@pytest.mark.parametrize(("events", "version", "affected", "fix"), CASES)
def test_a_range_affects_versions_from_introduced_to_fixed(events, version, affected, fix):
    assert verdict(advisory("A-1", "left-pad", *events), version) == (affected, fix)


def test_a_version_that_is_listed_is_affected():
    listed = advisory("A-1", "left-pad", versions=["1.0.0", "1.0.1"])
    assert verdict(listed, "1.0.1") == (True, None)
    assert verdict(listed, "1.0.2") == (False, None)
    both = advisory("A-1", "left-pad", introduced("1.0.0"), fixed("1.5.0"), versions=["0.9.0"])
    assert verdict(both, "0.9.0") == (True, "1.5.0")


@pytest.mark.parametrize(
    ("version", "affected"),
    [("2.0.post1", False), ("2.0rc1", True), ("1!0.1", False), ("1.99", True), ("2", False)],
)
def test_versions_of_pypi_are_in_their_own_order(version, affected):
    document = advisory("PYSEC-1", "Left.Pad", introduced(), fixed("2.0"), ecosystem="PyPI")
    assert verdict(document, version, "left-pad", "PyPI")[0] is affected


def test_a_version_that_is_none_is_an_error():
    document = advisory("A-1", "left-pad", introduced())
    with pytest.raises(ValueError, match="not valid SemVer"):
        verdict(document, "git+ssh://git@acme.example/left-pad.git")


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(0, 31),
    st.randoms(),
)
def test_ranges_agree_with_counting(bounds, version, random):
    """Of sorted bounds, introduced and fixed in turn: affected after an odd number of them."""
    events = [(fixed if i % 2 else introduced)(f"1.{bound}.0") for i, bound in enumerate(bounds)]
    random.shuffle(events)
    affected = sum(bound <= version for bound in bounds) % 2 == 1
    following = [bound for bound in bounds[1::2] if bound > version]
    fix = f"1.{following[0]}.0" if affected and following else None
    assert verdict(advisory("A-1", "left-pad", *events), f"1.{version}.0") == (affected, fix)


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"database_specific": {"severity": "MODERATE"}}, Severity.MEDIUM),
        ({"database_specific": {"severity": "CRITICAL"}}, Severity.CRITICAL),
        ({"database_specific": {"severity": "odd"}}, Severity.UNKNOWN),
        ({"database_specific": None}, Severity.UNKNOWN),
        (
            {
                "database_specific": {},
                "severity": [
                    {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
                ],
            },
            Severity.CRITICAL,
        ),
        (
            {
                "database_specific": {},
                "severity": [
                    {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N"},
                    {"type": "CVSS_V4", "score": "nonsense"},
                ],
            },
            Severity.LOW,
        ),
    ],
)
def test_how_grave_it_is_comes_from_its_publisher_or_from_cvss(fields, severity):
    document = advisory("A-1", "left-pad", introduced(), **fields)
    assert read_advisory(json.dumps(document).encode())["npm", "left-pad"].severity is severity


def test_harm_on_purpose_is_critical():
    document = advisory("MAL-2027-1", "left-pad", introduced(), database_specific={})
    found = read_advisory(json.dumps(document).encode())
    assert found["npm", "left-pad"].severity is Severity.CRITICAL


def test_what_was_withdrawn_and_other_ecosystems_are_left_out():
    gone = advisory("A-1", "left-pad", introduced(), withdrawn="2027-01-02T00:00:00Z")
    other = advisory("A-2", "left-pad", introduced(), ecosystem="crates.io")
    assert read_advisory(json.dumps(gone).encode()) == {}
    assert read_advisory(json.dumps(other).encode()) == {}
    with pytest.raises(msgspec.DecodeError):
        read_advisory(b'{"id": 1}')
