"""Secrets in the source: found by file, line and kind, and never shown.

The scanner takes the better part of a second to start, so that most of what it has to find is in
one tree, which is scanned once.
"""

import json
import sys
import time

import msgspec
import pytest

from connectory.contract.staged import ReportEntryType
from connectory.staging.checks.model import Outcome, Result, Severity
from connectory.staging.checks.policy import Policy, SecretsPolicy, repository_allowances
from connectory.staging.checks.secrets import SecretsCheck
from tests.checks.conftest import AWS_KEY, CLIENT_SECRET, GITHUB_TOKEN, Tree, connector_tree, today

PRIVATE_KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "".join(f"{'Ab3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG' * 2}\n" for _ in range(20))
    + "-----END RSA PRIVATE KEY-----\n"
)
AWS_SECRET = "wJa1rXUtnFEMIxK7MDEN" + "GybPxRfiCYzq9EXm4LpT"
ENVIRONMENT = f"CTP_CLIENT_SECRET={CLIENT_SECRET}\n"
TOKEN = f"let t = '{GITHUB_TOKEN}'"

#: File → what is planted on its third line, and the rule that has to find it.
PLANTED = {
    "service/token.js": (f"const token = '{GITHUB_TOKEN}';", "betterleaks.github-pat"),
    "service/.env": (ENVIRONMENT, "connectory.client-secret"),
    "service/config.json": (f'"clientSecret": "{CLIENT_SECRET}",', "connectory.client-secret"),
    "service/key.pem": (PRIVATE_KEY, "betterleaks.private-key"),
    "service/aws.py": (f"aws = '{AWS_KEY}'\naws_secret = '{AWS_SECRET}'", "betterleaks.aws"),
    "service/db.py": ("db = 'mysql://shop:Gh7-tR2w9Lq@db.acme.io/a'", "betterleaks.generic-cred"),
}
PLACEHOLDERS = {
    "service/a.sh": "CTP_CLIENT_SECRET=<your client secret, 32 characters>\n",
    "service/b.sh": "CTP_CLIENT_SECRET=your-client-secret-goes-in-here-0\n",
    "service/c.sh": "CTP_CLIENT_SECRET=${CLIENT_SECRET}\n",
    "service/d.sh": "CTP_CLIENT_SECRET=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
}
EXAMPLES = ["service/.env.example", "service/tests/keys.js", "service/src/a.test.ts", "docs/x.md"]
COMMENTS = {
    "service/comments/a.js": f"{TOKEN} // connectory:allow-secret a test account\n",
    "service/comments/b.js": f"// connectory:allow-secret a test account\n{TOKEN}\n",
    "service/comments/c.js": f"{TOKEN} // gitleaks:allow\n",
    "service/comments/d.py": f"{TOKEN} # pragma: allowlist secret\n",
}
NOT_SOURCE = {
    "service/node_modules/x/.env": ENVIRONMENT.encode(),
    ".git/config": ENVIRONMENT.encode(),
    "service/logo.png": b"\x89PNG\0\0" + ENVIRONMENT.encode(),
    "service/yarn.lock": ENVIRONMENT.encode(),
}


@pytest.fixture(scope="module")
def full(tmp_path_factory, rules_cache) -> Result:
    """What is said of a tree with everything in it."""
    folder = tmp_path_factory.mktemp("full")
    tree = connector_tree(folder / "tree")
    for path, (secret, _) in PLANTED.items():
        tree.write(path, f"// first\n// second\n{secret}\n")
    for path, text in [*PLACEHOLDERS.items(), *NOT_SOURCE.items()]:
        tree.write(path, text)
    for path in EXAMPLES:
        tree.write(path, ENVIRONMENT)
    for path, text in COMMENTS.items():
        tree.write(path, f"{text}\n\n{TOKEN}\n")
    outside = Tree(folder / "outside")
    outside.write("a.js", TOKEN)
    (tree.root / "folder").symlink_to(outside.root)
    (tree.root / "file.js").symlink_to(outside.root / "a.js")
    # A name that is no UTF-8, and one with what a terminal obeys.
    (tree.root / b"caf\xe9.js".decode(errors="surrogateescape")).write_text(TOKEN)
    tree.write("service/\x1b[31m\u202e.js", TOKEN)
    return SecretsCheck(Policy(), rules_cache, today).run(tree.source)


def saying(*findings):
    """A scanner that says what it is told to: for tests of what is made of it."""
    told = [
        {"path": path, "line": 1, "rule": rule, "what": "A token", "confidence": confidence}
        | {"allowed": False}
        for path, rule, confidence in findings
    ]
    answer = json.dumps({"version": "1", "findings": told, "unread": []})
    return (sys.executable, "-S", "-c", f"print({answer!r})")


def of(result, path):
    return [finding for finding in result.findings if finding.path == path]


def test_a_tree_without_secrets_succeeds(find_secrets):
    result = find_secrets()
    assert (result.outcome, result.findings, result.reason) == (Outcome.SUCCEEDED, (), "")
    assert result.entry_title == "Secrets in the source check succeeded"
    assert result.entry_type is ReportEntryType.INFORMATION


@pytest.mark.parametrize("path", PLANTED)
def test_a_planted_secret_is_an_error_with_its_file_and_line(full, path):
    [finding] = of(full, path)
    assert (finding.line, finding.error) == (3, True)
    assert finding.rule.startswith(PLANTED[path][1])
    assert "securedConfiguration" in finding.message
    assert f"{path}:3: error[{finding.rule}]" in full.entry_message


def test_secrets_fail_the_check(full):
    assert full.outcome is Outcome.FAILED
    assert full.entry_title == "Secrets in the source check failed"
    assert full.entry_type is ReportEntryType.ERROR


def test_no_secret_is_in_anything_that_is_told(full):
    everything = msgspec.json.encode(full).decode() + full.entry_message + repr(full)
    for secret in (AWS_KEY, GITHUB_TOKEN, CLIENT_SECRET, "Gh7-tR2w9Lq", AWS_SECRET, PRIVATE_KEY):
        assert secret not in everything
        assert secret[4:12] not in everything


def test_the_order_is_errors_first_then_the_gravest_then_by_place(full):
    ranks = [list(Severity).index(finding.severity) for finding in full.findings]
    keys = [
        (not f.error, -rank, f.path, f.line) for f, rank in zip(full.findings, ranks, strict=True)
    ]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) > 10


@pytest.mark.parametrize("path", PLACEHOLDERS)
def test_a_placeholder_is_no_secret(full, path):
    assert of(full, path) == []


@pytest.mark.parametrize("path", EXAMPLES)
def test_in_tests_and_examples_it_is_a_warning(full, path):
    assert [(f.line, f.error, f.severity) for f in of(full, path)] == [(1, False, Severity.LOW)]


@pytest.mark.parametrize("path", COMMENTS)
def test_a_comment_allows_one_and_it_stays_a_warning(full, path):
    allowed, other = sorted(of(full, path), key=lambda finding: finding.line)
    assert (allowed.error, other.error) == (False, True)
    assert "allowed by a comment" in allowed.message


@pytest.mark.parametrize("path", NOT_SOURCE)
def test_what_is_not_source_is_passed_over(full, path):
    assert of(full, path) == []


def test_a_link_out_of_the_tree_is_not_followed(full):
    assert of(full, "file.js") == of(full, "folder/a.js") == []


def test_names_of_files_are_shown_without_what_a_terminal_obeys(full):
    [name] = [f.path for f in full.findings if f.path.startswith("service/\\")]
    assert name == "service/\\x1b[31m\\u202e.js"
    assert any(f.path == "caf\\udce9.js" for f in full.findings)
    assert full.entry_message.replace("\n", "").isprintable()


def test_a_file_of_the_repository_allows_findings_until_a_day(tree, find_secrets):
    scanner = saying(("service/data.json", "a.b", "high"), ("service/old.json", "a.b", "high"))
    words = {"rule": "a.b", "reason": "of a project that is gone"}
    today = words | {"path": "service/d*.json", "until": "2027-03-01"}
    yesterday = words | {"path": "service/old.json", "until": "2027-02-28"}
    tree.write(".connectory-allow.json", {"allow": [today, yesterday]})
    expired, allowed = find_secrets(command=scanner).findings
    assert (expired.path, expired.error) == ("service/old.json", True)
    assert (allowed.path, allowed.error) == ("service/data.json", False)
    assert "allowed until 2027-03-01: of a project that is gone" in allowed.message


def test_a_broken_allow_file_allows_nothing_and_says_so(tree, find_secrets):
    tree.write(".connectory-allow.json", {"allow": [{"rule": "a.b"}]})
    result = find_secrets(command=saying(("service/a.js", "a.b", "high")))
    assert result.outcome is Outcome.FAILED
    assert [finding.rule for finding in result.findings] == ["a.b", "allow-file"]
    assert "missing required field `reason`" in result.findings[1].message
    for text in (b'{"x":' * 40_000, b'{"allow":' + b"[" * 200_000, b" " * 300_000, b"\xff"):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            repository_allowances(text)


def test_the_policy_says_which_are_errors(find_secrets):
    policy = Policy(secrets=SecretsPolicy(errors=frozenset({Severity.CRITICAL})))
    result = find_secrets(policy, command=saying(("service/a.js", "a.b", "high")))
    assert [finding.error for finding in result.findings] == [False]
    assert result.outcome is Outcome.SUCCEEDED
    assert result.entry_type is ReportEntryType.WARNING


def test_the_policy_says_whether_it_runs(tree, find_secrets):
    tree.write("service/a.js", TOKEN)
    off = find_secrets(Policy(secrets=SecretsPolicy(run=False)))
    assert (off.outcome, off.findings) == (Outcome.SKIPPED, ())
    assert off.entry_type is ReportEntryType.WARNING


def test_a_text_that_is_too_large_is_not_passed_but_told(tree, find_secrets):
    tree.write("service/dump.sql", b"x" * (50 * 2**20))
    result = find_secrets()
    assert result.outcome is Outcome.SKIPPED
    assert "service/dump.sql is larger than 5 MiB" in result.entry_message


def test_what_was_not_reached_in_time_is_told(tree, find_secrets):
    for number in range(20):
        tree.write(f"service/{number}.txt", "client_secret = password = key\n" * 100_000)
    result = find_secrets(seconds=0.01)
    assert result.outcome is Outcome.SKIPPED
    assert "within 0.01 seconds" in result.reason


BROKEN = {
    "raises": ("raise SystemExit(3)", "ended with exit code 3"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
    "answers nonsense": ("print('{')", "ended with exit code 0"),
    "never ends": ("import time; time.sleep(60)", "did not end in time"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_scanner_that_breaks_is_skipped_with_the_reason(find_secrets, how, monkeypatch):
    monkeypatch.setattr("connectory.staging.checks.secrets.GRACE", 0.5)
    program, reason = BROKEN[how]
    began = time.monotonic()
    result = find_secrets(seconds=0.5, command=(sys.executable, "-S", "-c", program))
    assert (result.outcome, result.findings) == (Outcome.SKIPPED, ())
    assert reason in result.reason
    assert result.entry_title == "Secrets in the source check skipped"
    assert time.monotonic() - began < 10


def test_a_scanner_that_is_not_there_is_skipped(find_secrets):
    result = find_secrets(command=("/nowhere/python",))
    assert result.outcome is Outcome.SKIPPED
    assert "cannot be started" in result.reason
