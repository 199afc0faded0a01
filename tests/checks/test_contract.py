"""What every check holds to, whatever tree it is given: one suite over all of them."""

import os
import time

import pytest

from connectory.contract.staged import ReportEntryType
from connectory.kernel.clock import system_clock
from connectory.settings import Settings
from connectory.staging.checks import checks
from connectory.staging.checks.model import Finding, Outcome, Result, Severity
from tests.checks.advisories import advisory, fixed, introduced, package_lock, write_folder
from tests.checks.conftest import GITHUB_TOKEN, connector_tree

NAMES = ("structure", "secrets", "vulnerabilities", "build")
#: On a machine on which nothing else runs each takes less than five; of a limit of a minute.
SECONDS = 45


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Shared by the workers of a test run, for the compiled rules of the scanner."""
    return tmp_path_factory.getbasetemp().parent / "checks"


@pytest.fixture(scope="session")
def all_checks(tmp_path_factory, cache):
    """The checks as a server has them, with advisories."""
    folder = write_folder(
        tmp_path_factory.mktemp("advisories"),
        advisory("GHSA-1", "left-pad", introduced(), fixed("1.3.1")),
    )
    made = checks(Settings(advisories=folder), system_clock, cache)
    return {check.name: check for check in made}


def test_the_checks_are_those_in_this_order(all_checks):
    assert tuple(all_checks) == NAMES
    assert [check.title for check in all_checks.values()] == [
        "Connector structure check",
        "Secrets in the source check",
        "SAST and SCA analysis check",
        "Connector image build check",
    ]


def ten_thousand_files(tree):
    many_files(tree, folders=10)


def a_hundred_thousand_files(tree):
    many_files(tree, folders=100)


def many_files(tree, folders):
    for folder in range(folders):
        made = tree.root / f"f{folder:03}"
        made.mkdir()
        # Names of one file: the same as many files, and quicker to make.
        first = made / "0.txt"
        first.write_text("text\n")
        for number in range(1, 1_000):
            os.link(first, made / f"{number}.txt")


def a_line_of_fifty_megabytes(tree):
    tree.write("service/line.js", b"x = '" + b"client_secret=AKIA" * (50 * 2**20 // 18) + b"'")
    tree.write("service/dense.js", b"client_secret=AKIAQ4J5XK7DPN2RM6TZ " * (2**20 // 36))


def traps(tree):
    """Links, pipes, bombs and endless folders, all in one."""
    outside = tree.root.parent / "outside"
    outside.mkdir()
    (outside / "package-lock.json").write_text('{"packages": {"node_modules/left-pad": 1}}')
    (outside / "a.js").write_text(f"t = '{GITHUB_TOKEN}'")
    (tree.root / "outside").symlink_to(outside)
    (tree.root / "round").symlink_to(tree.root)
    (tree.root / "service" / "yarn.lock").symlink_to(outside / "package-lock.json")
    (tree.root / ".connectory-allow.json").symlink_to("/dev/zero")
    os.mkfifo(tree.root / "service" / "pnpm-lock.yaml")

    tree.write("service/package-lock.json", b'{"packages":{"a":' + b'{"a":' * 1_000_000)
    tree.write("service/package.json", b"[" * 1_000_000)
    tree.write("service/pyproject.toml", b"a." * 100_000 + b"b = 1")
    tree.write("other/package-lock.json", package_lock(*(f"p{n}@1.0.0" for n in range(60_000))))
    tree.write("service/tables.txt", b"\0" * 2**20)
    # The last one in the order of names: what comes before is looked at.
    (tree.root / "/".join(["zz"] * 200)).mkdir(parents=True)


HOSTILE = [
    ten_thousand_files,
    pytest.param(a_hundred_thousand_files, marks=pytest.mark.long),
    a_line_of_fifty_megabytes,
    traps,
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_tree_ends_within_the_limit(tmp_path, all_checks, make):
    tree = connector_tree(tmp_path / "tree")
    make(tree)
    for check in all_checks.values():
        began = time.monotonic()
        result = check.run(tree.source)
        assert time.monotonic() - began < SECONDS, check.name
        assert (result.check, result.title) == (check.name, check.title)
        assert len(result.entry_message) <= 4_000
        for finding in result.findings:
            assert finding.check == check.name
            assert not finding.path.startswith(("/", "..", "outside", "round"))
            assert finding.text.isprintable()
        # What could not be looked at is no success.
        if result.outcome is Outcome.SUCCEEDED:
            assert result.reason == ""


def finding(number, **fields):
    words = {"check": "a", "rule": "b", "severity": Severity.LOW, "path": f"p{number}", "line": 1}
    return Finding(**(words | {"message": f"message {number}"} | fields))


def result(outcome, *findings, reason=""):
    return Result(check="a", title="A check", outcome=outcome, findings=findings, reason=reason)


@pytest.mark.parametrize(
    ("of", "title", "kind"),
    [
        (result(Outcome.SUCCEEDED), "A check succeeded", ReportEntryType.INFORMATION),
        (result(Outcome.SUCCEEDED, finding(1)), "A check succeeded", ReportEntryType.WARNING),
        (result(Outcome.SKIPPED, reason="x"), "A check skipped", ReportEntryType.WARNING),
        (result(Outcome.FAILED, finding(1)), "A check failed", ReportEntryType.ERROR),
    ],
)
def test_a_report_entry_says_how_the_check_ended(of, title, kind):
    assert (of.entry_title, of.entry_type) == (title, kind)


def test_the_message_of_an_entry_is_a_line_for_each_finding():
    of = result(Outcome.FAILED, finding(1, error=True, line=7), finding(2, line=None), reason="why")
    assert of.entry_message.split("\n") == [
        "why",
        "p1:7: error[b] low: message 1",
        "p2: warning[b] low: message 2",
    ]


def test_a_long_message_ends_with_how_many_more_there_are():
    of = result(Outcome.FAILED, *(finding(n, message="x" * 90) for n in range(100)))
    *lines, last = of.entry_message.split("\n")
    assert len(of.entry_message) <= 4_000
    assert last == f"and {100 - len(lines)} more"
    assert 20 < len(lines) < 100


def test_an_endless_finding_is_cut():
    of = result(Outcome.FAILED, finding(1, message="x" * 100_000))
    assert len(of.entry_message) == 500
    assert of.entry_message.endswith("…")
