"""Credentials are a Project's, for addresses with a prefix, and their secrets are nobody's."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectory.database.engine import Database
from connectory.database.secrets import KeyRing, SecretKeysError, load_key_ring
from connectory.settings import GitMirrors, Settings
from connectory.sources.credentials import (
    CredentialError,
    Credentials,
    all_credentials,
    of_project,
)
from connectory.sources.hosts import Hosts
from connectory.sources.model import RepositoryNotReachable
from connectory.sources.service import Sources
from tests.harness import Installation
from tests.sources.conftest import PROJECT, Make, at
from tests.sources.origins import Origin
from tests.sources.servers import NAME, OTHER, GitServer, git_server, is_loopback, names

PATH = "acme/connector.git"
TOKEN = "glpat-a-secret-of-the-project"
OTHER_PROJECT = "europe-west1.gcp:other"


@pytest.fixture
def server(tmp_path: Path, mirror: Path) -> Iterator[GitServer]:
    with git_server(tmp_path, mirror) as running:
        running.login = f"bot:{TOKEN}"
        yield running


@pytest.fixture
def private(make_sources: Make, server: GitServer, own_database: Database) -> Sources:
    hosts = Hosts(
        (f"{NAME}:{server.port}", f"{OTHER}:{server.port}"),
        resolve=names({NAME: ["127.0.0.1"], OTHER: ["127.0.0.1"]}),
        is_permitted=is_loopback,
    )
    return make_sources(
        hosts=hosts,
        git_mirrors=GitMirrors(),
        git_ca_file=server.ca_file,
        database=own_database,
    )


def add(database: Database, data: Path, prefix: str, token: str = TOKEN, project: str = PROJECT):
    with database.write() as connection:
        return Credentials(connection, actor="test", now=0).add(
            load_key_ring(Settings(data=data)),
            token.encode(),
            project=project,
            prefix=prefix,
            kind="token",
            username="bot",
        )


def test_a_token_opens_what_its_prefix_covers(
    origin: Origin, server: GitServer, private: Sources, own_database: Database, data: Path
):
    commit = origin.commit({"connect.yaml": b"x"})
    url = server.url(PATH)
    with pytest.raises(RepositoryNotReachable):
        private.fetch(at("v1", url), PROJECT)

    add(own_database, data, server.url("acme/"))

    fetched = private.fetch(at("v1", url), PROJECT)
    assert fetched.commit == commit
    assert private.read(fetched, "connect.yaml", PROJECT, max_bytes=9) == b"x"


def test_a_token_is_sent_to_no_other_host_project_or_prefix(
    origin: Origin, server: GitServer, private: Sources, own_database: Database, data: Path
):
    origin.commit({"a": b"x"})
    add(own_database, data, server.url("acme"))
    for url, project in (
        (server.url(PATH), OTHER_PROJECT),
        (server.url("acme-two/connector.git"), PROJECT),
        (server.url(PATH, OTHER), PROJECT),
    ):
        server.requests.clear()
        with pytest.raises(RepositoryNotReachable):
            private.fetch(at("v1", url), project)
        assert {authorization for _, authorization in server.requests} == {None}, url


def test_what_was_fetched_with_a_token_is_not_found_by_another_project(
    origin: Origin, server: GitServer, private: Sources, own_database: Database, data: Path
):
    origin.commit({"a": b"x"})
    add(own_database, data, server.url("acme"))
    fetched = private.fetch(at("v1", server.url(PATH)), PROJECT)

    with pytest.raises(RepositoryNotReachable):
        private.read(fetched, "a", OTHER_PROJECT, max_bytes=9)
    with pytest.raises(RepositoryNotReachable), private.tree(fetched, OTHER_PROJECT):
        pass


def test_a_hit_of_the_cache_is_checked_with_the_token_again(
    origin: Origin, server: GitServer, private: Sources, own_database: Database, data: Path
):
    origin.commit({"a": b"x"})
    add(own_database, data, server.url("acme"))
    private.fetch(at("v1", server.url(PATH)), PROJECT)
    server.login = "bot:changed"

    with pytest.raises(RepositoryNotReachable):
        private.fetch(at("v1", server.url(PATH)), PROJECT)


def test_a_token_goes_along_with_a_redirect_only_where_it_fits(
    origin: Origin, server: GitServer, private: Sources, own_database: Database, data: Path
):
    commit = origin.commit({"a": b"x"})
    add(own_database, data, server.url(""))
    question = "info/refs?service=git-upload-pack"
    server.answers["/old.git/info/refs"] = (302, {"Location": server.url(f"{PATH}/{question}")})
    assert private.fetch(at("v1", server.url("old.git")), PROJECT).commit == commit

    elsewhere = server.url(f"{PATH}/{question}", OTHER)
    server.answers["/old.git/info/refs"] = (302, {"Location": elsewhere})
    server.requests.clear()
    with pytest.raises(RepositoryNotReachable):
        private.fetch(at("v1", server.url("old.git")), PROJECT)
    sent = {authorization for request, authorization in server.requests if PATH in request}
    assert sent == {None}


def test_a_redirect_never_borrows_a_token_that_the_address_itself_does_not_have(
    origin: Origin, server: GitServer, private: Sources, own_database: Database, data: Path
):
    # Else what it opens would lie in the cache for everybody who asks for the first address.
    origin.commit({"a": b"x"})
    add(own_database, data, server.url("acme"))
    location = server.url(f"{PATH}/info/refs?service=git-upload-pack")
    server.answers["/public.git/info/refs"] = (302, {"Location": location})

    with pytest.raises(RepositoryNotReachable):
        private.fetch(at("v1", server.url("public.git")), PROJECT)


def test_a_token_is_in_no_process_list_and_in_no_message(  # noqa: PLR0917 - fixtures
    origin: Origin,
    server: GitServer,
    private: Sources,
    own_database: Database,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    origin.commit({"a": b"x"})
    add(own_database, data, server.url("acme"), token="wrong-token")
    commands = []
    real = subprocess.Popen

    def spy(arguments, **kwargs):
        commands.append(arguments)
        return real(arguments, **kwargs)

    monkeypatch.setattr("connectory.sources.git.subprocess.Popen", spy)
    caplog.set_level("DEBUG")
    with pytest.raises(RepositoryNotReachable) as refused:
        private.fetch(at("v1", server.url(PATH)), PROJECT)

    encoded = base64.b64encode(b"bot:wrong-token").decode()
    assert any(encoded in (authorization or "") for _, authorization in server.requests)
    assert commands
    for text in (json.dumps(commands), refused.value.reason, caplog.text):
        assert "wrong-token" not in text
        assert encoded not in text


def test_a_secret_that_the_keys_do_not_open_is_told(
    origin: Origin, server: GitServer, make_sources: Make, own_database: Database, data: Path
):
    origin.commit({"a": b"x"})
    add(own_database, data, "https://git.example.com/")
    (data / "secret.keys").unlink()
    hosts = Hosts(("git.example.com",), resolve=lambda *_: ["140.82.121.3"])
    sources = make_sources(hosts=hosts, git_mirrors=GitMirrors(), database=own_database)

    with pytest.raises(RepositoryNotReachable, match="secret keys"):
        sources.fetch(at("v1"), PROJECT)


def test_a_sealed_secret_is_of_no_use_in_another_row(own_database: Database, data: Path):
    ring = load_key_ring(Settings(data=data))
    sealed = add(own_database, data, "https://git.example.com/").sealed

    with pytest.raises(SecretKeysError):
        ring.open(sealed, "git_credentials:another")


@pytest.mark.parametrize(
    ("prefix", "kind", "secret", "why"),
    [
        ("git@git.example.com:acme", "token", b"x", "token is for"),
        ("https://git.example.com/acme", "ssh", b"x", "ssh is for"),
        ("https://u:p@git.example.com/acme", "token", b"x", "prefix"),
        ("https://git.example.com/../x", "token", b"x", "prefix"),
        ("https://git.example.com/acme", "token", b"", "one token"),
        ("https://git.example.com/acme", "token", b"two words", "one token"),
        ("https://git.example.com/acme", "token", b"a\nb", "one token"),
        ("git@git.example.com:acme", "ssh", b"ssh-ed25519 AAAA public", "private SSH key"),
    ],
)
def test_what_cannot_be_a_credential_is_refused(  # noqa: PLR0917 - fixtures
    own_database: Database, data: Path, prefix: str, kind: str, secret: bytes, why: str
):
    ring = KeyRing((bytes(32),))
    with own_database.write() as connection, pytest.raises(CredentialError, match=why):
        Credentials(connection, actor="test", now=0).add(
            ring, secret, project=PROJECT, prefix=prefix, kind=kind
        )


def test_a_key_with_a_passphrase_is_refused(own_database: Database, tmp_path: Path):
    file = tmp_path / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "phrase", "-f", str(file)], check=True
    )
    with own_database.write() as connection, pytest.raises(CredentialError, match="passphrase"):
        Credentials(connection, actor="test", now=0).add(
            KeyRing((bytes(32),)),
            file.read_bytes(),
            project=PROJECT,
            prefix="git@git.example.com:acme",
            kind="ssh",
        )


def test_a_credential_replaces_one_of_the_same_project_and_prefix(
    database: Database, installation: Installation
):
    data = installation.data
    first = add(database, data, "https://github.com/acme/")
    second = add(database, data, "https://GitHub.com/acme")
    other = add(database, data, "https://github.com/acme", project=OTHER_PROJECT)

    with database.write() as connection:
        keeper = Credentials(connection, actor="test", now=0)
        assert {each.id for each in all_credentials(connection)} == {second.id, other.id}
        assert keeper.remove(second.id).project == PROJECT
        with pytest.raises(CredentialError, match="there is no git credential"):
            keeper.remove(first.id)
        assert [each.id for each in of_project(connection, OTHER_PROJECT)] == [other.id]


def test_commands_add_list_and_remove_and_never_show_the_secret(tmp_path: Path):
    installation = Installation(tmp_path / "data")
    project = installation.project("shop")
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    options = ("--project", "shop", "--prefix", "https://github.com/acme/")

    added = installation.run_json("git-credential", "add", *options, "--token-file", str(secret))
    listed = installation.run("git-credential", "list").stdout
    installation.run("git-credential", "remove", added["id"])

    assert (added["project"], added["prefix"]) == (project, "https://github.com/acme")
    assert added["id"] in listed
    assert (installation.data / "secret.keys").stat().st_mode & 0o777 == 0o600
    acts = installation.run("audit", "--json").stdout
    assert "sources:git-credential:add" in acts
    assert "sources:git-credential:remove" in acts
    assert TOKEN not in json.dumps(added) + listed + acts
    files = [file for file in installation.data.rglob("*") if file.is_file()]
    assert files
    assert not any(TOKEN.encode() in file.read_bytes() for file in files)


def test_wrong_use_of_the_commands_is_told(tmp_path: Path):
    installation = Installation(tmp_path / "data")
    options = ("--project", "shop", "--prefix", "https://github.com/acme/")
    installation.run("git-credential", "add", *options, expect=2)
    file = tmp_path / "token"
    file.write_text("x")
    told = installation.run(
        "git-credential", "add", *options, "--token-file", str(file), expect=1
    ).stderr
    assert "there is no Project 'shop'" in told
