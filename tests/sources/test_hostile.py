"""Repositories, tags and addresses that are made to do harm, and do none."""

import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectory.settings import GitMirrors
from connectory.sources.model import (
    AddressRefused,
    FetchTimeout,
    SourceError,
    TagRefused,
    TreeRefused,
)
from connectory.sources.service import Sources
from tests.sources.conftest import PROJECT, URL, Make, at
from tests.sources.origins import Origin


@pytest.mark.parametrize(
    "tag",
    ["--upload-pack=touch${IFS}pwned", "-x", "--", "-", "--output=/etc/passwd", "-v1"],
)
def test_a_tag_is_never_an_option(origin: Origin, sources: Sources, tag: str):
    origin.commit({"a": b"1"})
    origin.git("update-ref", f"refs/tags/{tag}", "refs/tags/v1")

    with pytest.raises(TagRefused, match="starts with -"):
        sources.fetch(at(tag), PROJECT)


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/pwned",
        "ext::https://git.example.com/a.git",
        "fd::17",
        "file:///etc",
        "/etc",
        "../../etc",
        "--upload-pack=x",
        "-oProxyCommand=x@git.example.com:a.git",
        "git@-oProxyCommand=x:a.git",
        "ssh://-oProxyCommand=x/a.git",
        "ssh://git@-x/a.git",
        "git@git.example.com:--upload-pack=x",
        "git://git.example.com/a.git",
        "http://git.example.com/a.git",
        "https://git.example.com/../../../etc",
        "https://git.example.com/%2e%2e/%2e%2e/etc",
        "https://git.example.com/acme/..%2f..%2fetc",
        "https://git.example.com/acme/a%00b",
        "https://git.example.com/acme/a\nb",
        "https://git.example.com/acme\\..\\a",
        "https://user:secret@git.example.com/acme/connector.git",
        "https://ghp_secret@git.example.com/acme/connector.git",
        "https://git.example.com:99999/a.git",
        "https://git.example.com:1e3/a.git",
        "https://0x7f.1/a.git",
        "https://2130706433/a.git",
        "https://[::1]/a.git",
        "https://git.example.com",
        "https://",
        "",
        "x" * 5000,
    ],
)
def test_an_address_of_another_kind_is_refused_and_nothing_secret_is_said(
    sources: Sources, url: str
):
    with pytest.raises(AddressRefused) as refused:
        sources.fetch(at("v1", url), PROJECT)

    assert "secret" not in refused.value.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.100.100.200"])
def test_an_address_of_numbers_is_no_way_around(make_sources: Make, host: str):
    sources = make_sources(git_hosts=("*",), git_mirrors=GitMirrors())

    with pytest.raises(AddressRefused, match="private or local"):
        sources.fetch(at("v1", f"https://{host}/a.git"), PROJECT)


@pytest.mark.parametrize(
    "goal",
    ["/etc/passwd", "../outside", "../../etc/passwd", "a/../../b", "..", "/", "x/" * 3000, "./.."],
)
def test_a_link_that_leads_out_is_left_out(origin: Origin, sources: Sources, goal: str):
    origin.commit({"link": goal, "a/file": b"1"})
    fetched = sources.fetch(at("v1"), PROJECT)

    assert sources.read(fetched, "link", PROJECT, max_bytes=10**6) is None
    with sources.tree(fetched, PROJECT) as tree:
        assert sorted(path.name for path in tree.iterdir()) == ["a"]


def test_a_link_that_leads_out_by_way_of_others_is_left_out(origin: Origin, sources: Sources):
    # By its words alone each stays inside: a/b/up is the root, and up/../.. is above it.
    origin.commit(
        {
            "a/b/file": b"1",
            "a/b/up": "../..",
            "first": "a/b/up/../secret",
            "second": "first/../../x",
            "third": "a/b/up",
        }
    )
    fetched = sources.fetch(at("v1"), PROJECT)

    with sources.tree(fetched, PROJECT) as tree:
        (tree.parent / "secret").write_text("outside")
        for link in (path for path in tree.rglob("*") if path.is_symlink()):
            assert link.resolve().is_relative_to(tree.resolve()), link
        assert (tree / "third").is_symlink()
        assert not (tree / "first").is_symlink()
    for path in ("first", "second"):
        assert sources.read(fetched, path, PROJECT, max_bytes=100) is None


def test_links_in_a_ring_are_no_files(origin: Origin, sources: Sources):
    origin.commit({"a": "b", "b": "a", "self": "self"})
    fetched = sources.fetch(at("v1"), PROJECT)

    assert sources.read(fetched, "a", PROJECT, max_bytes=100) is None
    with sources.tree(fetched, PROJECT):
        pass


@pytest.mark.parametrize("name", [".git", ".GIT", ".git ", ".git.", "git~1", "..", "."])
def test_a_name_that_no_file_may_have_is_refused(origin: Origin, sources: Sources, name: str):
    config = origin.blob(b"[core]\n\tfsmonitor = touch pwned\n")
    inner = origin.tree(("100644", config, "config"))
    origin.commit_tree(origin.tree(("40000", inner, name)))

    with pytest.raises(SourceError):
        sources.fetch(at("v1"), PROJECT)


def test_a_file_below_a_link_is_not_written_through_it(
    origin: Origin, sources: Sources, tmp_path: Path
):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = origin.blob(str(outside).encode())
    inner = origin.tree(("100644", origin.blob(b"pwned"), "file"))
    raw = b"".join(
        mode + b" link\0" + bytes.fromhex(each)
        for mode, each in ((b"120000", link), (b"40000", inner))
    )
    tree = origin.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    origin.commit_tree(tree)

    try:
        fetched = sources.fetch(at("v1"), PROJECT)
        with sources.tree(fetched, PROJECT):
            pass
    except SourceError:
        pass
    assert list(outside.iterdir()) == []


def test_two_files_of_one_name_are_refused(origin: Origin, sources: Sources):
    one, two = origin.blob(b"1"), origin.blob(b"2")
    raw = b"".join(b"100644 twin\0" + bytes.fromhex(each) for each in (one, two))
    origin.commit_tree(
        origin.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    )
    fetched = sources.fetch(at("v1"), PROJECT)

    with (
        pytest.raises(TreeRefused, match="two files of one name: twin"),
        sources.tree(fetched, PROJECT),
    ):
        pass


def test_a_submodule_is_an_empty_folder(origin: Origin, sources: Sources):
    modules = origin.blob(
        b'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% pwned\n\tupdate = !touch pwned\n'
    )
    origin.commit_tree(origin.tree(("100644", modules, ".gitmodules"), ("160000", "1" * 40, "x")))
    fetched = sources.fetch(at("v1"), PROJECT)

    assert sources.read(fetched, "x", PROJECT, max_bytes=100) is None
    with sources.tree(fetched, PROJECT) as tree:
        assert list((tree / "x").iterdir()) == []


def test_a_tag_of_something_else_than_a_commit_is_refused(origin: Origin, sources: Sources):
    blob = origin.blob(b"1")
    origin.git("update-ref", "refs/tags/blob", blob)
    origin.git("update-ref", "refs/tags/tree", origin.tree(("100644", blob, "a")))

    for tag in ("blob", "tree"):
        with pytest.raises(SourceError):
            sources.fetch(at(tag), PROJECT)


def test_a_million_files_are_refused_at_once(origin: Origin, sources: Sources):
    tree = origin.tree(*(("100644", origin.blob(b""), f"{n:03}") for n in range(100)))
    for _ in range(3):
        tree = origin.tree(*(("40000", tree, f"{n:03}") for n in range(100)))
    origin.commit_tree(tree)
    begun = time.monotonic()

    with pytest.raises(TreeRefused, match="more than 50000 files"):
        sources.fetch(at("v1"), PROJECT)

    assert time.monotonic() - begun < 10


def test_a_bottomless_tree_is_refused(origin: Origin, sources: Sources):
    tree = origin.tree(("100644", origin.blob(b""), "a"))
    for _ in range(200):
        tree = origin.tree(("40000", tree, "d"))
    origin.commit_tree(tree)

    with pytest.raises(TreeRefused, match="too long or too deep"):
        sources.fetch(at("v1"), PROJECT)


def test_a_huge_file_is_refused_though_it_is_packed_small(origin: Origin, make_sources: Make):
    origin.commit({"zeros": b"\0" * 20_000_000})
    sources = make_sources(git_file_bytes=10_000_000)

    with pytest.raises(TreeRefused, match="zeros has 20000000 bytes"):
        sources.fetch(at("v1"), PROJECT)


def test_files_that_are_too_much_together_are_refused(origin: Origin, make_sources: Make):
    blob = origin.blob(b"\0" * 1_000_000)
    origin.commit_tree(origin.tree(*(("100644", blob, f"{n}") for n in range(50))))
    sources = make_sources(git_tree_bytes=20_000_000)

    with pytest.raises(TreeRefused, match="over 20000000 bytes"):
        sources.fetch(at("v1"), PROJECT)


def test_a_large_repository_is_cut_off_while_it_is_fetched(origin: Origin, make_sources: Make):
    origin.commit({"noise": random.Random(7).randbytes(3_000_000)})
    sources = make_sources(git_fetched_bytes=1_000_000)

    with pytest.raises(TreeRefused, match=r"larger than|over 1000000 bytes"):
        sources.fetch(at("v1"), PROJECT)


def test_what_was_refused_leaves_nothing_behind(origin: Origin, make_sources: Make, data: Path):
    origin.commit({"zeros": b"\0" * 1_000_000})
    sources = make_sources(git_file_bytes=1000)

    for _ in range(2):
        with pytest.raises(TreeRefused):
            sources.fetch(at("v1"), PROJECT)

    assert [path for path in (data / "sources").rglob("*") if path.is_file()] == [
        data / "sources" / "mirrors.gitconfig"
    ]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield int(server.getsockname()[1])
        for each in held:
            each.close()


def test_a_repository_that_never_answers_holds_nobody_for_ever(make_sources: Make, silent: int):
    mirrors = GitMirrors((("https://git.example.com/", f"http://127.0.0.1:{silent}/"),))
    sources = make_sources(git_mirrors=mirrors, git_seconds=0.5)
    begun = time.monotonic()

    with pytest.raises(FetchTimeout) as late:
        sources.fetch(at("v1"), PROJECT)

    assert time.monotonic() - begun < 5
    assert late.value.transient


def test_no_hook_and_no_configuration_of_the_user_is_run(
    origin: Origin, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pwned = tmp_path / "pwned"
    home = tmp_path / "home"
    home.mkdir()
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {pwned}\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {tmp_path}\n\tfsmonitor = {hook}\n\tsshCommand = {hook}\n"
        f'[uploadpack]\n\tpackObjectsHook = {hook}\n[url "ext::{hook} "]\n\tinsteadOf = /\n'
    )
    for name in ("reference-transaction", "post-checkout", "pre-receive"):
        (origin.folder / "hooks").mkdir(exist_ok=True)
        (origin.folder / "hooks" / name).symlink_to(hook)
        (tmp_path / name).symlink_to(hook)
    origin.git("config", "uploadpack.packObjectsHook", str(hook))
    origin.git("config", "core.fsmonitor", str(hook))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_EXEC_PATH", str(tmp_path))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(hook))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path))
    (home / ".gitconfig").touch()
    blob = origin.blob(b"1")
    commit = origin.git("commit-tree", origin.tree(("100644", blob, "a")), "-m", "x")
    pwned.unlink(missing_ok=True)
    (origin.folder / "refs" / "tags").mkdir(exist_ok=True)
    (origin.folder / "refs" / "tags" / "v1").write_text(commit + "\n")

    fetched = sources.fetch(at("v1", URL), PROJECT)
    with sources.tree(fetched, PROJECT):
        pass

    assert not pwned.exists()
