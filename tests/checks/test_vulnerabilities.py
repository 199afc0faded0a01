"""Known vulnerabilities of locked packages, by advisories of our own in the OSV format."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectory.contract.staged import ReportEntryType
from connectory.staging.checks.advisories import Advisories
from connectory.staging.checks.model import Outcome, Severity
from connectory.staging.checks.policy import Allowance, Policy, VulnerabilitiesPolicy
from connectory.staging.checks.scanner import Scan
from connectory.staging.checks.vulnerabilities import VulnerabilitiesCheck
from tests.checks.advisories import (
    advisory,
    fixed,
    introduced,
    package_lock,
    write_archive,
    write_folder,
)
from tests.checks.conftest import TODAY, today

HIGH = advisory("GHSA-high", "left-pad", introduced(), fixed("1.3.1"))
MEDIUM = advisory(
    "GHSA-medium",
    "acme",
    introduced(),
    fixed("2.1.0"),
    database_specific={"severity": "MODERATE"},
)
NO_FIX = advisory("GHSA-no-fix", "stuck", introduced())


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "advisories", HIGH, MEDIUM, NO_FIX)


@pytest.fixture
def look(tree, tmp_path, folder):
    """Runs the check on the tree, with the advisories of a folder."""

    def run(policy=None, folder=folder, scanners=None):
        if scanners is None:
            scanners = [Advisories(folder, tmp_path / "cache")]
        return VulnerabilitiesCheck(policy or Policy(), scanners, today).run(tree.source)

    return run


def lock(tree, *packages, **more):
    return tree.write("service/package-lock.json", package_lock(*packages, **more))


def test_a_vulnerable_version_is_told_with_the_version_that_is_good(tree, look):
    file = lock(tree, "left-pad@1.3.0", "fine@1.0.0")
    result = look()
    [finding] = result.findings
    assert result.outcome is Outcome.FAILED
    assert result.entry_title == "SAST and SCA analysis check failed"
    assert (finding.package, finding.version, finding.fixed_version) == (
        *("left-pad", "1.3.0", "1.3.1"),
    )
    assert (finding.rule, finding.severity) == ("GHSA-high", Severity.HIGH)
    assert '"node_modules/left-pad"' in file.read_text().split("\n")[finding.line - 1]
    assert result.entry_message == (
        f"service/package-lock.json:{finding.line}: error[GHSA-high] high:"
        " left-pad 1.3.0: upgrade to 1.3.1 (What is wrong with left-pad)"
    )


def test_good_versions_succeed(tree, look):
    lock(tree, "left-pad@1.3.1", "acme@2.1.0", "@acme/left-pad@1.0.0")
    result = look()
    assert (result.outcome, result.findings, result.reason) == (Outcome.SUCCEEDED, (), "")
    assert result.entry_title == "SAST and SCA analysis check succeeded"
    assert result.entry_type is ReportEntryType.INFORMATION


def test_without_dependencies_there_is_nothing_to_look_up(look):
    assert look(folder=None).outcome is Outcome.SUCCEEDED


def test_milder_ones_and_those_without_a_fix_are_warnings(tree, look):
    lock(tree, "acme@2.0.0", "stuck@1.0.0")
    result = look()
    assert [(f.rule, f.error) for f in result.findings] == [
        ("GHSA-no-fix", False),
        ("GHSA-medium", False),
    ]
    assert "no fixed version is known" in result.findings[0].message
    assert result.outcome is Outcome.SUCCEEDED
    assert result.entry_type is ReportEntryType.WARNING


def test_the_policy_says_which_are_errors(tree, look):
    lock(tree, "left-pad@1.3.0", "acme@2.0.0", "stuck@1.0.0")
    strict = VulnerabilitiesPolicy(errors=frozenset({Severity.MEDIUM}), only_with_fix=False)
    result = look(Policy(vulnerabilities=strict))
    assert {f.rule: f.error for f in result.findings} == {
        "GHSA-high": False,
        "GHSA-medium": True,
        "GHSA-no-fix": False,
    }


def test_development_dependencies_count_unless_the_policy_leaves_them_out(tree, look):
    lock(tree, "left-pad@1.3.0", dev=True)
    assert look().outcome is Outcome.FAILED
    without = Policy(vulnerabilities=VulnerabilitiesPolicy(development=False))
    assert look(without).findings == ()


def test_a_package_that_does_harm_fails_the_check_though_nothing_fixes_it(tree, look, folder):
    write_folder(folder, advisory("MAL-2027-1", "evil", introduced(), database_specific=None))
    lock(tree, "evil@1.0.0")
    assert look().outcome is Outcome.FAILED
    lenient = Policy(vulnerabilities=VulnerabilitiesPolicy(malicious=False))
    assert look(lenient).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, False),
        ({"until": TODAY.replace(day=28, month=2)}, True),
        ({"package": "other"}, True),
        ({"path": "other/*"}, True),
        ({"rule": "GHSA-medium"}, True),
    ],
)
def test_an_allowance_of_the_operator_holds_for_what_it_names_and_until_its_day(
    tree, look, changes, error
):
    lock(tree, "left-pad@1.3.0")
    words = {"rule": "GHSA-high", "reason": "not reachable", "until": TODAY, "package": "left-pad"}
    [finding] = look(Policy(allow=(Allowance(**(words | changes)),))).findings
    assert finding.error is error
    assert ("(allowed until 2027-03-01: not reachable)" in finding.message) is not error


def test_a_repository_cannot_allow_a_vulnerability_itself(tree, look):
    lock(tree, "left-pad@1.3.0")
    allow = {"rule": "GHSA-high", "until": "2028-01-01", "reason": "we say so"}
    tree.write(".connectory-allow.json", {"allow": [allow]})
    assert look().outcome is Outcome.FAILED


def test_several_advisories_of_one_vulnerability_are_told_once(tree, look, folder):
    twin = advisory(
        "CVE-2027-1", "left-pad", introduced(), aliases=["GHSA-high"], database_specific=None
    )
    write_folder(folder, twin)
    lock(tree, "left-pad@1.3.0")
    assert [(f.rule, f.fixed_version) for f in look().findings] == [("GHSA-high", "1.3.1")]


def test_python_packages_are_looked_up_too(tree, look, folder):
    write_folder(
        folder, advisory("PYSEC-1", "Left_Pad", introduced(), fixed("2.0"), ecosystem="PyPI")
    )
    tree.write("service/requirements.txt", "other==1\nleft.pad==1.9\n")
    [finding] = look().findings
    assert (finding.path, finding.line) == ("service/requirements.txt", 2)
    assert (finding.package, finding.fixed_version) == ("left-pad", "2.0")


def test_without_advisories_it_is_skipped_and_says_what_to_set(tree, look):
    lock(tree, "left-pad@1.3.0")
    result = look(folder=None)
    assert (result.outcome, result.findings) == (Outcome.SKIPPED, ())
    assert result.entry_title == "SAST and SCA analysis check skipped"
    assert result.entry_type is ReportEntryType.WARNING
    assert "no advisories for npm packages" in result.entry_message
    assert "CONNECTORY_ADVISORIES" in result.entry_message


def test_an_ecosystem_without_advisories_has_not_passed(tree, look):
    lock(tree, "fine@1.0.0")
    tree.write("service/requirements.txt", "left-pad==1.9\n")
    result = look()
    assert result.outcome is Outcome.SKIPPED
    assert result.reason == "no advisories for PyPI packages"


def test_what_is_found_is_told_though_something_else_could_not_be_looked_at(tree, look):
    lock(tree, "left-pad@1.3.0")
    tree.write("service/requirements.txt", "left-pad==1.9\n")
    result = look()
    assert result.outcome is Outcome.FAILED
    assert result.entry_message.startswith("no advisories for PyPI packages\nservice/package-lock")


def test_versions_that_are_not_locked_have_not_passed(tree, look):
    (tree.root / "service/package-lock.json").unlink()
    tree.write("service/package.json", {"dependencies": {"left-pad": "^1"}})
    assert look().reason == "service/package.json: there is no lock file"
    tree.write("package-lock.json", package_lock("fine@1.0.0"))
    assert look().outcome is Outcome.SUCCEEDED


def test_requirements_that_are_not_pinned_have_not_passed(tree, look, folder):
    write_folder(folder, advisory("PYSEC-1", "x", introduced(), ecosystem="PyPI"))
    (tree.root / "service/package-lock.json").unlink()
    tree.write("service/requirements.txt", "# all of them\n-r other.txt\nfine==1\nloose>=2\n")
    result = look()
    assert result.outcome is Outcome.SKIPPED
    assert result.reason == "service/requirements.txt:4: a package whose version is not pinned"


def test_a_scanner_that_breaks_is_skipped_with_its_reason(tree, look):
    class Broken:
        name = "broken"

        def scan(self, *_):
            return Scan(reason="it fell over")

    lock(tree, "left-pad@1.3.0")
    result = look(scanners=[Broken()])
    assert result.outcome is Outcome.SKIPPED
    assert result.reason == "no advisories for npm packages; it fell over"


def test_archives_say_the_same_as_their_files(tree, look, tmp_path):
    lock(tree, "left-pad@1.3.0", "acme@2.0.0", "stuck@1.0.0")
    write_archive(tmp_path / "archives" / "npm" / "all.zip", HIGH, MEDIUM)
    write_archive(tmp_path / "archives" / "more.zip", NO_FIX)
    assert look(folder=tmp_path / "archives") == look()


def test_new_advisories_are_known_at_once(tree, look, folder, tmp_path):
    lock(tree, "new@1.0.0")
    assert look().outcome is Outcome.SUCCEEDED
    write_folder(folder, advisory("GHSA-new", "new", introduced(), fixed("1.0.1")))
    assert look().outcome is Outcome.FAILED
    (folder / "GHSA-new.json").unlink()
    assert look().outcome is Outcome.SUCCEEDED
    assert len(list((tmp_path / "cache").glob("advisories-*"))) == 1


def test_documents_that_cannot_be_read_are_told(tree, look, folder):
    (folder / "broken.json").write_text("{")
    (folder / "broken.zip").write_text("no archive")
    lock(tree, "fine@1.0.0")
    result = look()
    assert result.outcome is Outcome.SKIPPED
    assert result.reason == "advisories that cannot be read: broken.json, broken.zip"


def test_a_folder_that_is_not_there_is_told(tree, look, tmp_path):
    lock(tree, "fine@1.0.0")
    assert "No such file" in look(folder=tmp_path / "nowhere").reason


def test_an_index_that_was_damaged_is_told_and_made_anew(tree, look, tmp_path):
    lock(tree, "left-pad@1.3.0")
    first = look()
    [index] = (tmp_path / "cache").glob("advisories-*")
    index.write_bytes(b"no database" * 1000)
    assert "cannot be used" in look().reason
    assert look() == first


def test_many_findings_are_bounded_and_the_gravest_are_told(tree, look, tmp_path):
    many = [
        advisory(
            f"GHSA-{n}",
            f"p{n % 300}",
            introduced(),
            fixed("2.0.0"),
            database_specific={"severity": "LOW" if n % 4 else "CRITICAL"},
        )
        for n in range(1_200)
    ]
    write_archive(tmp_path / "many" / "all.zip", *many)
    lock(tree, *(f"p{n}@1.0.0" for n in range(300)))
    result = look(folder=tmp_path / "many")
    assert len(result.findings) == 1_000
    assert sum(finding.error for finding in result.findings) == 300
    assert result.reason == "200 findings more are not told"
    assert len(result.entry_message) <= 4_000
    assert re.search(r"\nand \d{3} more$", result.entry_message)


def test_those_that_make_the_index_at_once_all_get_it(folder, tmp_path):
    advisories = Advisories(folder, tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        scans = list(pool.map(lambda _: advisories.scan(folder, []), range(8)))
    assert [(scan.looked_at, scan.reason) for scan in scans] == [(frozenset({"npm"}), "")] * 8
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 1
