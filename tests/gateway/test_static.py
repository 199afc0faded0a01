"""Static applications: the files of a folder, as browsers and caches want them."""

import gzip
import json
import os

import pytest

from connectory.gateway.files import Conditions, look_up
from tests.gateway.conftest import route

INDEX = b"<!doctype html><title>app</title>" + b"<p>words</p>" * 200
SCRIPT = b"console.log('hello');\n" * 200


@pytest.fixture
def public(tmp_path):
    folder = tmp_path / "public"
    (folder / "assets").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "index.html").write_bytes(INDEX)
    (folder / "assets" / "index-B2x4Qf9_.js").write_bytes(SCRIPT)
    (folder / "assets" / "logo.svg").write_bytes(b"<svg/>")
    (folder / "data.bin").write_bytes(bytes(range(256)))
    (folder / "docs" / "index.html").write_bytes(b"docs")
    (folder / "naïve file.txt").write_bytes(b"text")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "public-too").mkdir()
    (tmp_path / "public-too" / "a.txt").write_bytes(b"secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "out").symlink_to(tmp_path)
    return folder


@pytest.fixture
def served(play, public):
    """Ask for files through a gateway."""

    def run(act):
        async def main(scene):
            scene.gateway.set_route(route(static=public))
            await act(await scene.caller(), scene)

        play(main)

    return run


def test_files_have_their_types_and_caches_are_told_how_long(served):
    async def act(caller, _scene):
        hashed = await caller.ask("/assets/index-B2x4Qf9_.js")
        assert hashed.body == SCRIPT
        assert hashed.headers["content-type"] == "text/javascript; charset=utf-8"
        assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
        page = await caller.ask("/")
        assert (page.body, page.headers["cache-control"]) == (INDEX, "no-cache")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        logo = await caller.ask("/assets/logo.svg")
        assert (logo.headers["content-type"], logo.body) == ("image/svg+xml", b"<svg/>")
        assert (await caller.ask("/na%C3%AFve%20file.txt")).body == b"text"

    served(act)


@pytest.mark.parametrize(
    ("name", "immutable"),
    [
        ("index-B2x4Qf9_.js", True),
        ("main.3f2a1b4c.chunk.js", True),
        ("style.0123456789abcdef0123456789abcdef.css", True),
        ("connector-component.js", False),
        ("connector-enabler.es.js", False),
        ("jquery-3.6.0.min.js", False),
        ("report-20250101.csv", False),
        ("index.html", False),
        ("page-B2x4Qf9_.html", False),
    ],
)
def test_only_names_that_change_with_their_contents_are_kept_for_ever(tmp_path, name, immutable):
    (tmp_path / name).write_bytes(b"x")
    headers = dict(look_up(tmp_path, b"/" + name.encode(), Conditions()).headers)
    assert (b"immutable" in headers[b"Cache-Control"]) is immutable


def test_what_has_not_changed_is_not_sent_again(served):
    async def act(caller, _scene):
        first = await caller.ask("/data.bin")
        tag, date = first.headers["etag"], first.headers["last-modified"]
        for line in (
            f"If-None-Match: {tag}",
            f'If-None-Match: "x", W/{tag}',
            "If-None-Match: *",
            f"If-Modified-Since: {date}",
        ):
            answer = await caller.ask("/data.bin", line)
            assert (answer.status, answer.headers["etag"]) == (304, tag)
        for line in ('If-None-Match: "x"', "If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT"):
            assert (await caller.ask("/data.bin", line)).status == 200
        both = await caller.ask("/data.bin", 'If-None-Match: "x"', f"If-Modified-Since: {date}")
        assert both.status == 200

    served(act)


def test_the_same_file_of_another_artifact_has_another_tag(tmp_path):
    tags = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.js").write_bytes(name.encode())
        os.utime(tmp_path / name / "a.js", (0, 0))
        tags.add(dict(look_up(tmp_path / name, b"/a.js", Conditions()).headers)[b"ETag"])
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-3", 206, bytes(range(4))),
        ("bytes=250-", 206, bytes(range(250, 256))),
        ("bytes=-2", 206, bytes([254, 255])),
        ("bytes=-999", 206, bytes(range(256))),
        ("bytes=255-999", 206, bytes([255])),
        ("bytes=256-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=3-1", 200, bytes(range(256))),
        ("bytes=0-1,4-5", 200, bytes(range(256))),
        ("lines=1-2", 200, bytes(range(256))),
    ],
)
def test_ranges(served, asked, status, expected):
    async def act(caller, _scene):
        answer = await caller.ask("/data.bin", f"Range: {asked}")
        assert (answer.status, answer.body) == (status, expected)
        if status == 416:
            assert answer.headers["content-range"] == "bytes */256"
        elif status == 206:
            first, last = expected[0], expected[-1]
            assert answer.headers["content-range"] == f"bytes {first}-{last}/256"

    served(act)


def test_a_range_of_what_has_changed_is_the_whole(served):
    async def act(caller, _scene):
        tag = (await caller.ask("/data.bin")).headers["etag"]
        same = await caller.ask("/data.bin", "Range: bytes=0-3", f"If-Range: {tag}")
        other = await caller.ask("/data.bin", "Range: bytes=0-3", 'If-Range: "x"')
        assert (same.status, other.status) == (206, 200)

    served(act)


def test_text_is_compressed_for_those_who_ask(served):
    async def act(caller, _scene):
        packed = await caller.ask("/", "Accept-Encoding: br, gzip;q=0.5")
        plain = await caller.ask("/", "Accept-Encoding: gzip;q=0")
        assert gzip.decompress(packed.body) == plain.body == INDEX
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert packed.headers["etag"] != plain.headers["etag"]
        binary = await caller.ask("/data.bin", "Accept-Encoding: gzip")
        assert "content-encoding" not in binary.headers

    served(act)


def test_pages_that_are_no_files_are_the_index(served):
    async def act(caller, _scene):
        page = await caller.ask("/orders/1", "Accept: text/html,*/*;q=0.8")
        assert (page.status, page.body) == (200, INDEX)
        script = await caller.ask("/missing.js", "Accept: */*")
        assert script.status == 404
        assert json.loads(script.body)["message"] == "There is no such file"
        folder = await caller.ask("/docs?a")
        assert (folder.status, folder.headers["location"]) == (301, "/docs/?a")
        assert (await caller.ask("/docs/")).body == b"docs"

    served(act)


@pytest.mark.parametrize(
    "target",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/docs/../../secret.txt",
     "/..%5csecret.txt", "/link.txt", "/out/secret.txt", "/../public-too/a.txt",
     "//etc/passwd", "/%2fetc/passwd", "/a%00", "/%ff"],
)  # fmt: skip
def test_nothing_outside_of_the_folder_is_reached(served, target):
    async def act(caller, _scene):
        answer = await caller.ask(target)
        assert answer.status == 404
        assert b"secret" not in answer.body

    served(act)


def test_a_folder_redirects_to_itself_and_nowhere_else(public):
    found = look_up(public, b"//docs", Conditions())
    assert dict(found.headers)[b"Location"] == b"/docs/"


def test_head_has_the_length_and_other_methods_are_refused(served):
    async def act(caller, scene):
        head = await caller.ask("/data.bin", method="HEAD")
        assert head.headers["content-length"] == "256"
        refused = await caller.ask("/data.bin", method="POST", body=b"abc")
        assert refused.status == 405
        assert (await caller.ask("/data.bin")).status == 200
        assert [told.status for told in scene.told] == [200, 405, 200]

    served(act)


def test_a_large_file_is_read_as_fast_as_it_is_taken(served, public):
    (public / "large.bin").write_bytes(b"x" * 20_000_000)

    async def act(caller, scene):
        answer = await caller.ask("/large.bin")
        assert len(answer.body) == 20_000_000
        await caller.request("/large.bin")
        await caller.reader.readexactly(1000)
        caller.close()
        await scene.until(lambda: len(scene.told) == 2)
        assert scene.told[1].response_bytes < 20_000_000

    served(act)
