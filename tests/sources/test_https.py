"""By HTTPS: pinned, with the host's certificate, and redirected only to where we would go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectory.settings import GitMirrors
from connectory.sources.hosts import Hosts
from connectory.sources.model import (
    AddressRefused,
    HostNotReachable,
    RepositoryNotReachable,
    TagNotFound,
)
from connectory.sources.service import Sources
from tests.sources.conftest import PROJECT, Make, at
from tests.sources.origins import Origin
from tests.sources.servers import NAME, OTHER, GitServer, git_server, is_loopback, names

PATH = "acme/connector.git"
REFS = f"/{PATH}/info/refs"


@pytest.fixture
def server(tmp_path: Path, mirror: Path) -> Iterator[GitServer]:
    with git_server(tmp_path, mirror) as running:
        yield running


@pytest.fixture
def by_https(make_sources: Make, server: GitServer) -> Sources:
    return sources_of(make_sources, server)


def sources_of(make_sources: Make, server: GitServer, **settings: Any) -> Sources:
    """Sources for which the names of the server are at loopback, as if that were public."""
    resolve = names({NAME: ["127.0.0.1"], OTHER: ["127.0.0.1"], "private.example": ["127.0.0.2"]})
    allowed = (f"{NAME}:{server.port}", f"{OTHER}:{server.port}", "private.example")
    hosts = Hosts(allowed, resolve=resolve, is_permitted=is_loopback)
    return make_sources(
        hosts=hosts, **{"git_ca_file": server.ca_file, "git_mirrors": GitMirrors(), **settings}
    )


def test_a_tag_is_fetched_from_the_address_that_was_checked(
    origin: Origin, server: GitServer, by_https: Sources
):
    # No resolver but the test's knows git.example.com, so git used what it was given.
    commit = origin.commit({"connect.yaml": b"x"})

    fetched = by_https.fetch(at("v1", server.url(PATH)), PROJECT)

    assert fetched.commit == commit
    assert by_https.read(fetched, "connect.yaml", PROJECT, max_bytes=10) == b"x"


def test_a_second_fetch_asks_for_the_tag_and_fetches_nothing(
    origin: Origin, server: GitServer, by_https: Sources
):
    origin.commit({"a": b"x"})
    by_https.fetch(at("v1", server.url(PATH)), PROJECT)
    server.requests.clear()

    by_https.fetch(at("v1", server.url(PATH)), PROJECT)

    asked = [request for request, _ in server.requests]
    assert asked == [f"GET {REFS}?service=git-upload-pack", f"POST /{PATH}/git-upload-pack"]


def test_a_certificate_of_another_host_is_refused(
    origin: Origin, server: GitServer, make_sources: Make
):
    origin.commit({"a": b"x"})
    hosts = Hosts(
        (f"wrong.example:{server.port}",),
        resolve=names({"wrong.example": ["127.0.0.1"]}),
        is_permitted=is_loopback,
    )
    sources = make_sources(hosts=hosts, git_ca_file=server.ca_file)

    with pytest.raises(RepositoryNotReachable, match="certificate"):
        sources.fetch(at("v1", server.url(PATH, "wrong.example")), PROJECT)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    origin: Origin, server: GitServer, make_sources: Make
):
    origin.commit({"a": b"x"})
    sources = sources_of(make_sources, server, git_ca_file=None)

    with pytest.raises(RepositoryNotReachable, match="certificate"):
        sources.fetch(at("v1", server.url(PATH)), PROJECT)


def test_what_is_private_or_missing_is_told_alike(server: GitServer, by_https: Sources):
    server.login = "ada:secret"
    with pytest.raises(RepositoryNotReachable) as private:
        by_https.fetch(at("v1", server.url(PATH)), PROJECT)
    server.login = None
    with pytest.raises(RepositoryNotReachable) as missing:
        by_https.fetch(at("v1", server.url("acme/none.git")), PROJECT)

    assert private.value.reason == missing.value.reason
    assert "git-credential" in private.value.reason


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed(origin: Origin, server: GitServer, by_https: Sources, status: int):
    commit = origin.commit({"a": b"x"})
    location = server.url(f"{PATH}/info/refs?service=git-upload-pack", OTHER)
    server.answers["/old/name.git/info/refs"] = (status, {"Location": location})

    fetched = by_https.fetch(at("v1", server.url("old/name.git")), PROJECT)

    assert fetched.commit == commit
    assert by_https.read(fetched, "a", PROJECT, max_bytes=10) == b"x"


def test_three_redirects_are_followed_and_not_four(
    origin: Origin, server: GitServer, by_https: Sources
):
    commit = origin.commit({"a": b"x"})
    for number in range(1, 5):
        target = f"step{number - 1}.git" if number > 1 else PATH
        location = f"/{target}/info/refs?service=git-upload-pack"
        server.answers[f"/step{number}.git/info/refs"] = (302, {"Location": location})

    assert by_https.fetch(at("v1", server.url("step3.git")), PROJECT).commit == commit
    with pytest.raises(RepositoryNotReachable, match="more than 3 times"):
        by_https.fetch(at("v1", server.url("step4.git")), PROJECT)


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:1/x/info/refs?service=git-upload-pack",
        "https://private.example/x/info/refs?service=git-upload-pack",
        "https://unlisted.example/x/info/refs?service=git-upload-pack",
        "http://git.example.com/x/info/refs?service=git-upload-pack",
        "file:///etc/info/refs?service=git-upload-pack",
        "ssh://git@git.example.com/x/info/refs?service=git-upload-pack",
        "ext::sh -c x/info/refs?service=git-upload-pack",
        "https://user:word@git.example.com/x/info/refs?service=git-upload-pack",
        "https://[::1]/x/info/refs?service=git-upload-pack",
    ],
)
def test_a_redirect_to_elsewhere_is_refused(server: GitServer, by_https: Sources, location: str):
    server.answers[REFS] = (302, {"Location": location})

    with pytest.raises(AddressRefused):
        by_https.fetch(at("v1", server.url(PATH)), PROJECT)


@pytest.mark.parametrize("location", ["/login", "https://sso.example/?next=x", "", "%"])
def test_a_redirect_to_something_else_than_a_repository_is_told(
    server: GitServer, by_https: Sources, location: str
):
    server.answers[REFS] = (302, {"Location": location})

    with pytest.raises(RepositoryNotReachable, match="redirected"):
        by_https.fetch(at("v1", server.url(PATH)), PROJECT)


def test_a_host_with_a_fault_of_its_own_may_do_better_later(server: GitServer, by_https: Sources):
    for status in (500, 502, 503, 429):
        server.answers[REFS] = (status, {})
        with pytest.raises(HostNotReachable) as down:
            by_https.fetch(at("v1", server.url(PATH)), PROJECT)
        assert down.value.transient


def test_a_host_that_is_down_may_be_up_later(server: GitServer, make_sources: Make):
    mirrors = GitMirrors((("https://git.example.com/", "http://127.0.0.1:1/"),))
    sources = make_sources(git_mirrors=mirrors)

    with pytest.raises(HostNotReachable):
        sources.fetch(at("v1"), PROJECT)


def test_what_is_no_git_server_is_told(server: GitServer, by_https: Sources):
    server.answers[REFS] = (200, {"Content-Type": "text/html"})

    with pytest.raises(RepositoryNotReachable):
        by_https.fetch(at("v1", server.url(PATH)), PROJECT)


def test_no_proxy_of_the_environment_is_used(
    origin: Origin, server: GitServer, by_https: Sources, monkeypatch: pytest.MonkeyPatch
):
    commit = origin.commit({"a": b"x"})
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert by_https.fetch(at("v1", server.url(PATH)), PROJECT).commit == commit


def test_a_tag_that_is_not_there_is_told(origin: Origin, server: GitServer, by_https: Sources):
    origin.commit({"a": b"x"})

    with pytest.raises(TagNotFound):
        by_https.fetch(at("v2", server.url(PATH)), PROJECT)
