"""`/docs`: the whole table on one page that stands alone."""

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import playwright.sync_api as browsers
import pytest

from tests.conftest import lacking
from tests.http.conftest import Described

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def page(described: Described) -> httpx.Response:
    answer = httpx.get(f"{described.server.url}/docs")
    assert answer.status_code == 200
    return answer


def text_of(page: httpx.Response) -> str:
    """What a reader sees."""
    return unescape(re.sub(r"<[^>]+>", "", page.text.partition("</style>")[2]))


def codes_of(described: Described, response: dict[str, Any]) -> list[str]:
    """The codes of an error response; none of any other."""
    name = response.get("$ref", "").rpartition("/")[2]
    found = described.document["components"]["responses"].get(name, {})
    return list(found.get("content", {}).get("application/json", {}).get("examples", {}))


def test_it_shows_every_endpoint_with_its_scopes_parameters_and_errors(
    described: Described, page: httpx.Response
) -> None:
    articles = dict(re.findall(r'<article[^>]* id="(\w+)">(.*?)</article>', page.text, re.DOTALL))
    for path, methods in described.document["paths"].items():
        for method, operation in methods.items():
            seen = unescape(re.sub(r"<[^>]+>", "", articles[operation["operationId"]]))
            assert f"{method.upper()}{path}" in seen
            assert operation["summary"] in seen
            for each in operation["security"]:
                for scope in each.get("oauth2", []):
                    assert scope in seen
            for parameter in operation["parameters"]:
                assert "$ref" in parameter or parameter["name"] in seen
            for status, response in operation["responses"].items():
                assert status in seen
                for code in codes_of(described, response):
                    assert code in seen
            addition = operation.get("x-connectory-addition", False)
            assert ("addition" in seen.partition("\n")[0]) == addition


def test_it_shows_every_type_with_its_fields(described: Described, page: httpx.Response) -> None:
    seen = text_of(page)
    for name, schema in described.document["components"]["schemas"].items():
        shown = page.text.partition(f'id="type-{name}"')[2].partition("</summary>")[0]
        assert shown
        assert (">addition<" in shown) == schema.get("x-connectory-addition", False)
        for field in schema.get("properties", {}):
            assert field in seen
        for value in schema.get("enum", []):
            assert value in seen


def test_every_link_leads_somewhere(page: httpx.Response) -> None:
    ids = re.findall(r' id="([^"]+)"', page.text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page.text)) <= set(ids)


def test_its_requests_work_as_they_are_copied(described: Described, page: httpx.Response) -> None:
    if shutil.which("curl") is None:
        lacking("curl", "it is not installed")
    shown = [
        unescape(each)
        for each in re.findall(r'class="copy">(curl -s.*?)</code>', page.text, re.DOTALL)
    ]
    assert len(shown) > len(described.endpoints)
    environment = {
        "CLIENT_ID": described.client.client_id,
        "CLIENT_SECRET": described.client.client_secret,
        "TOKEN": described.token,
        "OPERATOR_TOKEN": described.operator_token,
    }
    for request in shown:
        if "/revoke" in request:
            continue
        done = subprocess.run(
            ["sh", "-c", request.replace("curl -s", "curl -s -o /dev/null -w '%{http_code}'")],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        # The page's example of a key names no Connector of this catalogue; a body is the reader's.
        expected = ("400", "404") if "@body.json" in request else ("200", "404")
        assert done.stdout in expected, request


def test_it_names_the_address_that_it_was_asked_under(described: Described) -> None:
    url = f"{described.server.url}/docs"
    named = httpx.get(url, headers={"Host": "connect.example:8443"})
    assert '"http://connect.example:8443/health"' in unescape(named.text)
    odd = httpx.get(url, headers={"Host": 'x"><script>alert(1)</script>'})
    assert "alert(1)" not in odd.text


def test_nothing_but_its_own_style_is_allowed(page: httpx.Response) -> None:
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in page.headers["content-security-policy"].split(";")
    )
    assert policy.pop("style-src") == f"'sha256-{digest}'"
    assert policy.pop("img-src") == "data:"
    assert set(policy.values()) == {"'none'"}
    assert {"default-src", "base-uri", "form-action", "frame-ancestors"} == set(policy)
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "style=" not in page.text
    assert "<script" not in page.text


@pytest.fixture(scope="module")
def browser() -> Iterator[browsers.Browser]:
    """The machine's own Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found is None:
        lacking("browser", "chromium is not installed")
    with browsers.sync_playwright() as playwright:
        # The sandbox wants a user that is not root; the page is our own.
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_browser_shows_it_whole_and_loads_nothing_else(
    browser: browsers.Browser, described: Described, size: browsers.ViewportSize, scheme: str
) -> None:
    url = f"{described.server.url}/docs"
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    assert page.get_by_role("heading", level=1).is_visible()
    assert page.get_by_role("article").count() == len(described.endpoints)
    # Nothing sticks out: there is nothing to scroll sideways.
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3])) / 3
    assert (brightness > 200) == (scheme == "light")
    assert not page.get_by_text("InvalidPathParam").first.is_visible()
    page.locator("#getConnectorsById summary").last.click()
    assert page.get_by_text("InvalidPathParam").first.is_visible()
    page.get_by_role("link", name="Types", exact=True).click()
    assert page.url == f"{url}#types"
    assert complaints == []
    assert [each for each in asked if not each.startswith(("data:", f"{url}"))] == []
    context.close()


def test_one_click_selects_a_whole_request(browser: browsers.Browser, described: Described) -> None:
    page = browser.new_page()
    page.goto(f"{described.server.url}/docs")
    page.locator("#getHealth .copy").first.click()
    chosen = page.evaluate("getSelection().toString()")
    assert chosen.strip() == f'curl -s \\\n  "{described.server.url}/health"'
    page.close()
