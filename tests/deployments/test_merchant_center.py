"""Merchant Center applications and views: built with a Deployment's values, and served."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.deployments.shops import Shop, example, url_of
from tests.staging.conftest import Platform


@pytest.fixture(scope="module")
def hosted(staging_on_sqlite: Platform) -> Iterator[Shop]:
    """One Project on the embedded database; what is deployed does not mind which one it is."""
    with staging_on_sqlite.creator() as made:
        yield Shop(made, staging_on_sqlite)


def call(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, timeout=30, trust_env=False, **options)


def test_merchant_center_applications_and_views_are_built_with_their_values_and_url(
    hosted: Shop,
) -> None:
    keys = {
        "application": ("CUSTOM_APPLICATION_ID", "ENTRY_POINT_URI_PATH", "CLOUD_IDENTIFIER"),
        "view": ("CUSTOM_VIEW_ID", "CLOUD_IDENTIFIER"),
    }
    yaml, files, configurations = "deployAs:\n", {}, []
    for name, wanted in keys.items():
        yaml += f"  - name: {name}\n    applicationType: merchant-center-custom-{name}\n"
        yaml += "    configuration:\n      standardConfiguration:\n"
        for key in wanted:
            yaml += f"        - {{key: {key}, description: Its {key}, required: true}}\n"
        values = [{"key": key, "value": f"{key} of {name}"} for key in wanted]
        configurations.append({"applicationName": name, "standardConfiguration": values})
        files[f"{name}/package.json"] = '{"name": "x", "scripts": {"build": "node build.js"}}'
        files[f"{name}/build.js"] = (
            "const fs = require('node:fs');\n"
            "fs.mkdirSync('public', { recursive: true });\n"
            "fs.writeFileSync('public/index.html', JSON.stringify(process.env));\n"
        )
    connector = hosted.published(files | {"connect.yaml": yaml}, name="merchant-centers")
    found = hosted.deployed(connector, configurations=configurations)
    for name, wanted in keys.items():
        url = url_of(found, name)
        built_with = call(f"{url.rstrip('/')}/my-shop/page", headers={"Accept": "text/html"}).json()
        assert built_with["APPLICATION_URL"].rstrip("/") == url.rstrip("/")
        assert {key: built_with[key] for key in wanted} == {
            key: f"{key} of {name}" for key in wanted
        }
    hosted.delete(found["id"])


VISIT = {"Accept": "text/html"}


@contextlib.contextmanager
def built_by_its_scripts(
    hosted: Shop, name: str, application: str, **values: str
) -> Iterator[tuple[str, str, str]]:
    """An example of mc-scripts, deployed: its URL, its page and the script of that."""
    connector = hosted.published(example(name), name=name)
    standard = [{"key": key, "value": value} for key, value in values.items()]
    configuration = {"applicationName": application, "standardConfiguration": standard}
    found = replace(hosted, seconds=800).deployed(connector, configurations=[configuration])
    url = url_of(found, application)
    page = call(url)
    assert page.status_code == 200
    (script,) = re.findall(r'src="([^"]*/app\.[0-9a-f]+\.js)"', page.text)
    # What was built knows where it is served.
    assert script.startswith(url.rstrip("/"))
    yield url.rstrip("/"), page.text, call(script).text
    hosted.delete(found["id"])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_merchant_center_application_is_built_by_its_own_scripts_and_served(hosted: Shop) -> None:
    id_ = "cl5a0qzzz000001l4f9b7h8k2"
    values = {"CUSTOM_APPLICATION_ID": id_, "ENTRY_POINT_URI_PATH": "gift-cards"}
    with built_by_its_scripts(hosted, "merchant-center", "application", **values) as built:
        url, page, script = built
        assert f'"applicationId":"{id_}:gift-cards"' in page
        assert "Gift cards of" in script
        # Its own routes are the page's, where a browser goes to them.
        assert call(f"{url}/my-shop/gift-cards", headers=VISIT).text == page


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_merchant_center_view_is_built_by_its_own_scripts_and_served(hosted: Shop) -> None:
    id_ = "cl5a0qzzz000001l4f9b7h8k3"
    with built_by_its_scripts(hosted, "merchant-center-view", "view", CUSTOM_VIEW_ID=id_) as built:
        url, page, script = built
        assert f'"customViewId":"{id_}"' in page
        assert "Stock, shown by" in script
        assert call(f"{url}/custom-views/{id_}/projects/my-shop", headers=VISIT).text == page
