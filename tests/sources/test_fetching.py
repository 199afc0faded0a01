"""A tag becomes a commit, and a commit becomes files."""

import os
import shutil
from pathlib import Path

import pytest

from connectory.settings import GitMirrors
from connectory.sources.model import (
    FileTooLarge,
    RepositoryNotReachable,
    SourceError,
    TagMoved,
    TagNotFound,
)
from connectory.sources.service import Sources
from tests.sources.conftest import PROJECT, URL, Make, at
from tests.sources.origins import Origin, new_origin

YAML = b"deployAs: []\n"


def test_a_tag_is_resolved_to_its_commit(origin: Origin, sources: Sources):
    commit = origin.commit({"connect.yaml": YAML})

    fetched = sources.fetch(at("v1"), PROJECT)

    assert fetched.commit == commit
    assert fetched.repository == at("v1")


def test_an_annotated_tag_is_resolved_to_the_commit_behind_it(origin: Origin, sources: Sources):
    commit = origin.commit({"connect.yaml": YAML})
    origin.git("tag", "--annotate", "--message=release", "v2", commit)
    origin.git("tag", "--annotate", "--message=again", "v3", "v2")

    assert sources.fetch(at("v2"), PROJECT).commit == commit
    fetched = sources.fetch(at("v3"), PROJECT)
    assert fetched.commit == commit
    assert sources.read(fetched, "connect.yaml", PROJECT, max_bytes=100) == YAML


def test_a_branch_is_taken_where_there_is_no_tag(origin: Origin, sources: Sources):
    commit = origin.commit({"connect.yaml": YAML})
    origin.git("update-ref", "refs/heads/main", commit)

    fetched = sources.fetch(at("main"), PROJECT)

    assert fetched.commit == commit
    assert sources.read(fetched, "connect.yaml", PROJECT, max_bytes=100) == YAML


def test_a_tag_goes_before_a_branch_of_its_name(origin: Origin, sources: Sources):
    tagged = origin.commit({"a": b"tag"}, tag="release")
    other = origin.commit({"a": b"branch"}, tag="other")
    origin.git("update-ref", "refs/heads/release", other)

    assert sources.fetch(at("release"), PROJECT).commit == tagged


@pytest.mark.parametrize("tag", ["v2", "v", "v1.0", "refs/tags/v1", "V1x"])
def test_a_tag_that_is_not_there_is_told_by_its_name(origin: Origin, sources: Sources, tag: str):
    origin.commit({"a": b"1"})
    origin.git("update-ref", "refs/tags/nested/refs/tags/v2", "refs/tags/v1")

    with pytest.raises(TagNotFound, match=tag):
        sources.fetch(at(tag), PROJECT)


def test_a_commit_is_not_a_tag(origin: Origin, sources: Sources):
    commit = origin.commit({"a": b"1"})

    with pytest.raises(TagNotFound):
        sources.fetch(at(commit), PROJECT)


@pytest.mark.parametrize(
    "tag",
    [
        *("latest", "22-12-2023_1", "list", "v.0.0.4", "HEAD", "a/b/c", "1", "@v", "x@y", "FETCH"),
        *("größe", "$(id)", "`id`", ";reboot", "&", "|x", "'", '"', "%2e", "a,b", "{x}", "v1!"),
    ],
)
def test_any_legal_name_is_a_tag(origin: Origin, sources: Sources, tag: str):
    commit = origin.commit({"a": tag.encode()}, tag=tag)

    fetched = sources.fetch(at(tag), PROJECT)

    assert fetched.commit == commit
    assert sources.read(fetched, "a", PROJECT, max_bytes=100) == tag.encode()


def test_a_tag_that_was_moved_is_resolved_anew(origin: Origin, sources: Sources):
    first = origin.commit({"a": b"first"})
    before = sources.fetch(at("v1"), PROJECT)
    second = origin.commit({"a": b"second"})
    after = sources.fetch(at("v1"), PROJECT)

    assert (before.commit, after.commit) == (first, second)
    assert sources.read(before, "a", PROJECT, max_bytes=100) == b"first"
    assert sources.read(after, "a", PROJECT, max_bytes=100) == b"second"


def test_what_was_checked_is_had_though_the_tag_moved_and_the_cache_is_empty(
    origin: Origin, sources: Sources, data: Path
):
    origin.commit({"a": b"first"})
    before = sources.fetch(at("v1"), PROJECT)
    origin.commit({"a": b"second"})
    shutil.rmtree(data / "sources" / "entries")
    (data / "sources" / "entries").mkdir()

    assert sources.read(before, "a", PROJECT, max_bytes=100) == b"first"


def test_what_was_checked_and_is_gone_is_not_replaced_by_what_the_tag_names_now(
    origin: Origin, sources: Sources, data: Path
):
    origin.commit({"a": b"first"})
    before = sources.fetch(at("v1"), PROJECT)
    origin.commit({"a": b"second"})
    origin.git("-c", "gc.reflogExpire=now", "gc", "--quiet", "--prune=now")
    shutil.rmtree(data / "sources" / "entries")
    (data / "sources" / "entries").mkdir()

    with pytest.raises(TagMoved, match=before.commit):
        sources.read(before, "a", PROJECT, max_bytes=100)


def test_a_repository_that_went_away_is_not_fetched_from_the_cache(
    origin: Origin, sources: Sources
):
    origin.commit({"a": b"1"})
    sources.fetch(at("v1"), PROJECT)
    shutil.rmtree(origin.folder)

    with pytest.raises(RepositoryNotReachable):
        sources.fetch(at("v1"), PROJECT)


def test_a_mirror_has_repositories_with_and_without_git_at_the_end(mirror: Path, sources: Sources):
    commit = new_origin(mirror / "acme" / "plain").commit({"a": b"1"})

    for url in ("plain", "plain.git", "plain/"):
        address = f"https://git.example.com/acme/{url}"
        assert sources.fetch(at("v1", address), PROJECT).commit == commit


@pytest.mark.parametrize(
    "url",
    [
        "https://GIT.example.com/acme/connector.git",
        "git@git.example.com:acme/connector.git",
        "ssh://git@git.example.com/acme/connector.git",
        "ssh://git.example.com/acme/connector",
    ],
)
def test_a_mirror_of_https_addresses_has_those_of_ssh_too(
    origin: Origin, sources: Sources, url: str
):
    commit = origin.commit({"a": b"1"})

    assert sources.fetch(at("v1", url), PROJECT).commit == commit


def test_the_longest_prefix_of_mirrors_counts(
    origin: Origin, tmp_path: Path, mirror: Path, make_sources: Make
):
    origin.commit({"a": b"short"})
    other = new_origin(tmp_path / "other.git").commit({"a": b"long"})
    pairs = (
        ("https://git.example.com/", f"file://{mirror}/"),
        ("https://git.example.com/acme/connector.git", f"file://{tmp_path}/other.git"),
    )
    sources = make_sources(git_mirrors=GitMirrors(pairs))

    assert sources.fetch(at("v1"), PROJECT).commit == other


def test_a_mirror_is_read_whoever_owns_it(origin: Origin, sources: Sources):
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    commit = origin.commit({"a": b"1"})
    for path in (origin.folder, *origin.folder.rglob("*")):
        os.chown(path, 12345, 12345)

    assert sources.fetch(at("v1"), PROJECT).commit == commit


def test_reading_gives_regular_files_only(origin: Origin, sources: Sources):
    origin.commit({"app/package.json": b"{}", "empty": b""})
    fetched = sources.fetch(at("v1"), PROJECT)

    def read(path: str) -> bytes | None:
        return sources.read(fetched, path, PROJECT, max_bytes=100)

    assert read("app/package.json") == b"{}"
    assert read("empty") == b""
    for path in (
        "app",
        "app/",
        "",
        "none",
        "app/none",
        "/etc/passwd",
        "../a",
        "a\nb",
        "a\0b",
        "-x",
    ):
        assert read(path) is None, path


def test_reading_takes_no_more_than_it_was_told(origin: Origin, sources: Sources):
    origin.commit({"connect.yaml": b"x" * 101})
    fetched = sources.fetch(at("v1"), PROJECT)

    assert sources.read(fetched, "connect.yaml", PROJECT, max_bytes=101) is not None
    with pytest.raises(FileTooLarge, match=r"connect\.yaml has more than 100 bytes"):
        sources.read(fetched, "connect.yaml", PROJECT, max_bytes=100)


def test_the_tree_has_all_files_as_their_bytes_are(origin: Origin, sources: Sources):
    files = {
        ".gitattributes": b"* text eol=crlf filter=lfs\nsecret export-ignore\nid export-subst\n",
        "connect.yaml": b"deployAs:\r\n  - x\n",
        "app/src/index.js": bytes(range(256)) * 1000,
        "secret": b"1",
        "id": b"$Id$ $Format:%H$\n",
        "a name\twith\nblanks": b"2",
    }
    origin.commit(files)
    fetched = sources.fetch(at("v1"), PROJECT)

    with sources.tree(fetched, PROJECT) as tree:
        found = {
            str(path.relative_to(tree)): path.read_bytes()
            for path in tree.rglob("*")
            if path.is_file()
        }

    assert found == files
    assert not tree.exists()
    assert not tree.parent.exists()


def test_the_tree_keeps_what_is_executable(origin: Origin, sources: Sources):
    blob = origin.blob(b"#!/bin/sh\n")
    origin.commit_tree(origin.tree(("100755", blob, "run"), ("100644", blob, "text")))
    fetched = sources.fetch(at("v1"), PROJECT)

    with sources.tree(fetched, PROJECT) as tree:
        assert os.access(tree / "run", os.X_OK)
        assert not (tree / "text").stat().st_mode & 0o111


def test_the_tree_is_private(origin: Origin, sources: Sources):
    origin.commit({"a": b"1"})
    fetched = sources.fetch(at("v1"), PROJECT)

    with sources.tree(fetched, PROJECT) as tree:
        assert tree.parent.stat().st_mode & 0o777 == 0o700


def test_links_inside_the_tree_are_followed(origin: Origin, sources: Sources):
    origin.commit(
        {
            "real/connect.yaml": YAML,
            "connect.yaml": "real/connect.yaml",
            "app": "real",
            "x/y": "../real",
        }
    )
    fetched = sources.fetch(at("v1"), PROJECT)

    for path in ("connect.yaml", "app/connect.yaml", "x/y/connect.yaml"):
        assert sources.read(fetched, path, PROJECT, max_bytes=100) == YAML
        with sources.tree(fetched, PROJECT) as tree:
            assert (tree / path).read_bytes() == YAML


def test_every_refusal_is_a_source_error_with_a_sentence(origin: Origin, sources: Sources):
    origin.commit({"a": b"1"})
    for url, tag in ((URL, "none"), (URL, "a..b"), ("ftp://x/y", "v1"), (f"{URL}x", "v1")):
        with pytest.raises(SourceError) as refused:
            sources.fetch(at(tag, url), PROJECT)
        assert refused.value.reason == str(refused.value)
        assert "\n" not in refused.value.reason


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("git version 2.36.9", "too old"),
        ("git version 1.99", "too old"),
        ("what?", "too old"),
        ("git version 2.37.0", None),
        ("git version 10.0 (Apple Git-1)", None),
    ],
)
def test_a_git_that_cannot_be_held_to_an_address_is_not_used(
    make_sources: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    why: str | None,
):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").write_text(
        f"#!/bin/sh\n[ \"$1\" = version ] && echo '{version}' || exit 7\n"
    )
    (programs / "git").chmod(0o755)
    (tmp_path / "mirror" / "acme" / "connector.git").mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    with pytest.raises(SourceError, match=why or "does not answer as a git repository"):
        make_sources().fetch(at("v1"), PROJECT)


def test_a_machine_without_git_is_told_when_git_is_needed(
    make_sources: Make, mirror: Path, monkeypatch: pytest.MonkeyPatch
):
    (mirror / "acme" / "connector.git").mkdir()
    monkeypatch.setenv("PATH", "/nonexistent")
    sources = make_sources()

    with pytest.raises(SourceError, match="git is not installed"):
        sources.fetch(at("v1"), PROJECT)
