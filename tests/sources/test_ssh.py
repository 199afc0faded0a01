"""By SSH: what git hands to ssh, tried with a program in the place of ssh that runs git for real.

There is no SSH server here. The program notes what it is called with and does what the far end
would do, so that the protocol of git is spoken for real and the network part is not.
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectory.database.engine import Database
from connectory.database.secrets import load_key_ring
from connectory.settings import GitMirrors, Settings
from connectory.sources import ssh
from connectory.sources.address import parse_repository
from connectory.sources.credentials import Credentials
from connectory.sources.hosts import Hosts
from connectory.sources.model import AddressRefused, RepositoryNotReachable
from connectory.sources.service import Sources
from tests.sources.conftest import PROJECT, Make, at
from tests.sources.origins import Origin
from tests.sources.servers import names

PUBLIC = "140.82.121.3"
URL = "git@git.example.com:acme/connector.git"

#: What the hosts publish on their pages about SSH.
FINGERPRINTS = {
    "bitbucket.org": {
        "SHA256:FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
        "SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
    },
    "codeberg.org": {"SHA256:mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g"},
    "github.com": {
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
        "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
    },
    "gitlab.com": {
        "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
        "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
    },
    "ssh.dev.azure.com": {"SHA256:ohD8VZEXGWo6Ez8GSEJQ9WpafgLFsOfLOtGGQCQo6Og"},
}

FAKE = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
options = dict(arguments[i + 1].split("=", 1) for i, a in enumerate(arguments) if a == "-o")
key = options["IdentityFile"].strip('"')
seen = {{
    "arguments": arguments,
    "options": options,
    "environment": dict(os.environ),
    "key": open(key).read(),
    "mode": os.stat(key).st_mode & 0o777,
    "known_hosts": open(options["UserKnownHostsFile"].strip('"').replace("%%", "%")).read(),
    "folder": os.path.dirname(key),
}}
with open({log!r}, "a") as log:
    log.write(json.dumps(seen) + "\\n")
command = arguments[-1].replace("'/acme", "'acme").replace("'acme", "'{root}/acme")
os.execvp("sh", ["sh", "-c", command])
"""


@pytest.fixture
def key(tmp_path: Path) -> bytes:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True
    )
    return (tmp_path / "id").read_bytes()


@pytest.fixture
def calls(tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the program found as ssh; what it was called with so far."""
    log = tmp_path / "calls"
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "ssh"
    fake.write_text(FAKE.format(python=sys.executable, log=str(log), root=mirror))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def by_ssh(
    make_sources: Make, own_database: Database, data: Path, key: bytes, calls: Any
) -> Sources:
    del calls  # ssh is looked for when Sources are made
    for prefix in ("git@git.example.com:", "ssh://git@git.example.com:2222"):
        add_key(own_database, data, key, prefix)
    hosts = Hosts(
        ("git.example.com", "git.example.com:2222"),
        resolve=names({"git.example.com": ["2606:50c0:8000::153", PUBLIC]}),
    )
    return make_sources(hosts=hosts, git_mirrors=GitMirrors(), database=own_database)


def add_key(
    database: Database, data: Path, key: bytes, prefix: str = "git@git.example.com:"
) -> None:
    with database.write() as connection:
        Credentials(connection, actor="test", now=0).add(
            load_key_ring(Settings(data=data)), key, project=PROJECT, prefix=prefix, kind="ssh"
        )


@pytest.mark.parametrize("url", [URL, "ssh://git@git.example.com/acme/connector.git"])
def test_a_repository_is_fetched_with_the_key_of_the_project(
    origin: Origin, by_ssh: Sources, calls: Any, key: bytes, url: str
):
    commit = origin.commit({"connect.yaml": b"x"})

    fetched = by_ssh.fetch(at("v1", url), PROJECT)

    assert fetched.commit == commit
    assert by_ssh.read(fetched, "connect.yaml", PROJECT, max_bytes=9) == b"x"
    for call in calls():
        assert call["key"] == key.decode()
        assert call["mode"] == 0o600
        assert not Path(call["folder"]).exists()
        assert key.decode() not in json.dumps([call["arguments"], call["environment"]])


def test_ssh_goes_to_the_pinned_address_and_knows_the_host_by_its_name(
    origin: Origin, by_ssh: Sources, calls: Any
):
    origin.commit({"a": b"x"})
    by_ssh.fetch(at("v1", URL), PROJECT)

    options = calls()[0]["options"]
    assert options["HostName"] == PUBLIC
    assert options["HostKeyAlias"] == "git.example.com"
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["GlobalKnownHostsFile"] == "/dev/null"
    assert options["IdentityAgent"] == "none"
    assert options["BatchMode"] == "yes"
    assert calls()[0]["arguments"][:2] == ["-F", "/dev/null"]
    assert calls()[0]["known_hosts"] == ssh.KNOWN_HOSTS


def test_the_real_ssh_takes_these_options(origin: Origin, by_ssh: Sources, calls: Any):
    origin.commit({"a": b"x"})
    by_ssh.fetch(at("v1", URL), PROJECT)
    arguments = calls()[0]["arguments"]

    done = subprocess.run(
        ["/usr/bin/env", "ssh", "-G", *arguments[:-1]],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settled = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert settled["hostname"] == PUBLIC
    assert settled["hostkeyalias"] == "git.example.com"
    assert settled["stricthostkeychecking"] == "true"
    assert settled["user"] == "git"


def test_another_port_is_reached_where_the_list_names_it(
    origin: Origin, by_ssh: Sources, calls: Any
):
    commit = origin.commit({"a": b"x"})
    url = "ssh://git@git.example.com:2222/acme/connector.git"

    assert by_ssh.fetch(at("v1", url), PROJECT).commit == commit

    assert calls()[0]["arguments"][-4:-2] == ["-p", "2222"]


def test_another_project_has_no_use_of_the_key(origin: Origin, by_ssh: Sources, calls: Any):
    origin.commit({"a": b"x"})
    url = "ssh://git@git.example.com:2222/acme/connector.git"
    fetched = by_ssh.fetch(at("v1", url), PROJECT)

    for use in (
        lambda: by_ssh.fetch(at("v1", url), "europe-west1.gcp:other"),
        lambda: by_ssh.read(fetched, "a", "europe-west1.gcp:other", max_bytes=9),
    ):
        with pytest.raises(RepositoryNotReachable, match="the Project needs a key"):
            use()
    assert len(calls()) == 2


def test_without_a_key_an_address_of_ssh_is_tried_by_https(make_sources: Make):
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    sources = make_sources(
        hosts=Hosts(("git.example.com",), resolve=resolve), git_mirrors=GitMirrors()
    )
    with pytest.raises(AddressRefused):
        sources.fetch(at("v1", URL), PROJECT)
    assert asked == [("git.example.com", 443)]


def test_another_port_without_a_key_is_refused(make_sources: Make):
    hosts = Hosts(("git.example.com:2222",), resolve=lambda *_: [PUBLIC])
    sources = make_sources(hosts=hosts, git_mirrors=GitMirrors())

    with pytest.raises(RepositoryNotReachable, match="git-credential add"):
        sources.fetch(at("v1", "ssh://git@git.example.com:2222/acme/x.git"), PROJECT)


def test_known_hosts_of_the_operator_are_used(  # noqa: PLR0917 - fixtures
    origin: Origin, make_sources: Make, own_database: Database, data: Path, key: bytes, calls: Any
):
    known = data.parent / "100% known hosts"
    origin.commit({"a": b"x"})
    known.write_text("git.example.com ssh-ed25519 AAAA\n")
    add_key(own_database, data, key)
    hosts = Hosts(("git.example.com",), resolve=lambda *_: [PUBLIC])
    sources = make_sources(
        hosts=hosts, git_mirrors=GitMirrors(), database=own_database, git_known_hosts=known
    )
    sources.fetch(at("v1", URL), PROJECT)

    assert calls()[0]["known_hosts"] == "git.example.com ssh-ed25519 AAAA\n"


def test_the_keys_of_known_hosts_have_the_published_fingerprints(tmp_path: Path):
    file = tmp_path / "known_hosts"
    file.write_text(ssh.KNOWN_HOSTS)
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(file)], capture_output=True, text=True, check=True
    )
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        _, fingerprint, host, *_ = line.split()
        found.setdefault(host, set()).add(fingerprint)

    assert found == FINGERPRINTS


def test_a_key_file_is_its_owners_only(tmp_path: Path):
    ssh.environment(parse_repository(URL), b"key\n", pinned=None, known_hosts=None, folder=tmp_path)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
