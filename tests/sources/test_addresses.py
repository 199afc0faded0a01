"""Addresses and tags are read alike by us and by git, whatever they are."""

import os
import re
import string
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectory.sources.address import check_tag, covers, parse_address, parse_repository
from connectory.sources.model import AddressRefused, TagRefused

#: What the official client asks of addresses and tags.
OFFICIAL_URL = re.compile(r"^((https)|(git@[\w.]+))(:(\/\/)?)([\w.@:/\-~]+)(\.git)$", re.ASCII)
OFFICIAL_TAG = re.compile(r"^(?!.*\.{2,})(?!\*)[^\W_][\w.@/-]{0,254}$", re.ASCII)

TEXTS = st.text(st.sampled_from(string.printable + "äß\u202e\x7f"), max_size=60)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://github.com/acme/x.git", "https://github.com/acme/x.git"),
        ("https://github.com/acme/x", "https://github.com/acme/x"),
        ("HTTPS://GitHub.com:443/acme/X.git/", "https://github.com/acme/X.git"),
        ("https://git.acme.example:8443/x.git", "https://git.acme.example:8443/x.git"),
        ("git@github.com:acme/x.git", "ssh://git@github.com/acme/x.git"),
        ("git@github.com:/acme/x.git", "ssh://git@github.com/acme/x.git"),
        ("git@github.com:~ada/x.git", "ssh://git@github.com/~ada/x.git"),
        ("ssh://github.com/acme/x.git", "ssh://git@github.com/acme/x.git"),
        ("ssh://ada@git.acme.example:2222/x.git", "ssh://ada@git.acme.example:2222/x.git"),
        ("git@ssh.dev.azure.com:v3/acme/p/x", "ssh://git@ssh.dev.azure.com/v3/acme/p/x"),
        ("https://dev.azure.com/acme/My%20P/_git/x", "https://dev.azure.com/acme/My%20P/_git/x"),
    ],
)
def test_the_forms_that_are_taken(url: str, canonical: str):
    assert str(parse_repository(url)) == canonical


def test_git_gets_the_spelling_that_starts_from_the_users_folder_as_it_is():
    assert parse_repository("git@git.acme.example:x.git").for_git == "git@git.acme.example:x.git"
    absolute = parse_repository("git@git.acme.example:/x.git")
    assert absolute.for_git == "ssh://git@git.acme.example/x.git"


PARTS = st.sampled_from(
    [
        *("https", "ssh", "http", "git@", "://", ":", "/", "//", "h.example", "acme", ".git", ".."),
        *("%2e", "%00", "-x", "@", ":443", "u:p@", "127.0.0.1", "ext::", "~", " ", "é", ".", "\n"),
    ]
)


@given(st.lists(PARTS, max_size=9).map("".join) | TEXTS)
@example("git@h.example:x.git")
@example("ssh://h.example/x")
@example("https://github.com/--upload-pack=x")
@settings(max_examples=200, deadline=None)
def test_what_is_read_is_harmless_and_read_again_the_same(url: str):
    try:
        address = parse_repository(url)
    except AddressRefused:
        return

    spelled = address.for_git
    assert re.fullmatch(r"[!-~]+", spelled)
    assert re.match(r"(https|ssh)://[a-z0-9]|[A-Za-z0-9_.-]+@[a-z0-9]", spelled)
    assert not spelled.startswith("-")
    assert ".." not in spelled.split("/")
    assert str(parse_address(str(address))) == str(address)


WORD = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "_.~-"), min_size=1, max_size=9
)


@given(st.lists(WORD, min_size=1, max_size=4).map("/".join))
@settings(max_examples=100, deadline=None)
def test_ordinary_addresses_of_the_official_client_are_taken(path: str):
    for url in (f"https://h.example/{path}.git", f"git@h.example:{path}.git"):
        assert OFFICIAL_URL.fullmatch(url)
        is_odd = path.startswith("-") or {".", ".."} & set(f"{path}.git".split("/"))
        if not is_odd:
            parse_repository(url)


def check_by_git(tag: str) -> bool:
    done = subprocess.run(
        ["git", "check-ref-format", f"refs/tags/{tag}"],
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    return done.returncode == 0


@given(
    st.text(st.sampled_from("ab1.-/@{}~^:?*[]\\ \t\x7f_=,!$&'()+;<>|`\"#%äé"), max_size=8)
    | st.lists(st.sampled_from(["v1", ".lock", "/", ".", "@{", "@", "-", "x"]), max_size=6).map(
        "".join
    )
)
@example("@")
@example("a.lock/b")
@example("ä")
@settings(max_examples=100, deadline=None)
def test_a_tag_is_judged_as_git_does(tag: str):
    """Except for a leading -, which is refused though git takes it."""
    legal = check_by_git(tag)
    try:
        check_tag(tag)
    except TagRefused:
        assert not legal or tag.startswith("-"), tag
    else:
        assert legal, tag


@given(st.lists(WORD | st.sampled_from("/@"), min_size=1, max_size=4).map("".join))
@settings(max_examples=50, deadline=None)
def test_a_tag_of_the_official_client_is_refused_only_where_git_does(tag: str):
    if not OFFICIAL_TAG.fullmatch(tag):
        return
    try:
        check_tag(tag)
    except TagRefused:
        assert not check_by_git(tag)


@pytest.mark.parametrize(
    ("prefix", "address", "is_covered"),
    [
        ("https://h/acme", "https://h/acme/x.git", True),
        ("https://h/acme", "https://h/acme", True),
        ("https://h/acme", "https://h/acme.git", True),
        ("https://h/acme", "https://h/acme-two/x.git", False),
        ("https://h/acme", "https://h/acmetwo.git", False),
        ("https://h", "https://h.evil.example/x.git", False),
        ("https://h", "https://h:8443/x.git", False),
        ("https://h/acme/x.git", "https://h/acme/x", False),
        ("ssh://git@h/acme", "https://h/acme/x.git", False),
    ],
)
def test_a_prefix_ends_where_a_part_of_the_address_does(
    prefix: str, address: str, is_covered: bool
):
    assert covers(prefix, address) is is_covered


@pytest.mark.parametrize(
    "text", ["a" * 10**6, "a/" * 10**5, "https://" + "a." * 10**5, "@" * 10**5]
)
def test_long_texts_take_no_time(text: str):
    with pytest.raises(AddressRefused):
        parse_repository(text)
    with pytest.raises(TagRefused):
        check_tag(text)
