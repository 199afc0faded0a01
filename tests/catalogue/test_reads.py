"""The three reads over HTTP: representation, visibility, filters, order, paging, errors."""

from typing import Any

import httpx
import pytest

from tests.catalogue.conftest import Shop

ID_WITHOUT_KEY = "5ab3edcd-9d23-4934-8f48-256805253119"


def search(client: httpx.Client, **parameters: Any) -> dict[str, Any]:
    answer = client.get("/connectors/search", params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["count"] == len(body["results"])
    return body


def keys(client: httpx.Client, **parameters: Any) -> list[str | None]:
    return [each.get("key") for each in search(client, **parameters)["results"]]


def test_a_connector_is_shown_as_it_was_imported(shop: Shop) -> None:
    by_key = shop.stranger.get("/connectors/key=pay")
    shown = by_key.json()
    assert shown == {
        "id": shown["id"],
        "version": 1,
        "key": "pay",
        "name": "Payments",
        "description": "Größe of a payment",
        "integrationTypes": ["psp", "tax"],
        "creator": {"email": "a@b.example", "company": "Béla & Co"},
        "repository": {"url": "https://github.com/acme/connector.git", "tag": "v1.0.0"},
        "configurations": [],
        "private": False,
        "supportedRegions": [],
        "certified": True,
    }
    assert shop.stranger.get(f"/connectors/{shown['id']}").content == by_key.content
    assert search(shop.stranger, key="pay")["results"] == [shown]


def test_fields_that_are_not_set_are_left_out(shop: Shop) -> None:
    shown = shop.stranger.get(f"/connectors/{ID_WITHOUT_KEY}").json()
    assert "key" not in shown
    assert "description" not in shown


def test_an_id_may_be_written_in_capitals(shop: Shop) -> None:
    answer = shop.stranger.get(f"/connectors/{ID_WITHOUT_KEY.upper()}")
    assert answer.json()["id"] == ID_WITHOUT_KEY


@pytest.mark.parametrize("key", ["secret", "owned"])
def test_a_private_connector_does_not_exist_for_a_stranger(shop: Shop, key: str) -> None:
    id_ = shop.owner.get(f"/connectors/key={key}").json()["id"]
    missing = shop.stranger.get("/connectors/key=there-is-none")
    for path in (f"/connectors/key={key}", f"/connectors/{id_}"):
        answer = shop.stranger.get(path)
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "ResourceNotFound"
        assert answer.json().keys() == missing.json().keys()
    assert search(shop.stranger, key=key)["total"] == 0
    assert search(shop.stranger, id=id_)["total"] == 0
    assert search(shop.stranger, text="secret")["total"] == 0
    assert search(shop.stranger)["total"] == 3


def test_a_private_connector_exists_for_its_owner_and_the_projects_it_is_assigned_to(
    shop: Shop,
) -> None:
    assert shop.owner.get("/connectors/key=secret").status_code == 200
    assert shop.owner.get("/connectors/key=owned").status_code == 200
    assert shop.assigned.get("/connectors/key=secret").status_code == 200
    assert shop.assigned.get("/connectors/key=owned").status_code == 404
    assert search(shop.owner)["total"] == 5
    assert search(shop.assigned)["total"] == 4
    assert "privateProjects" not in shop.owner.get("/connectors/key=secret").json()


def test_private_true_finds_only_what_is_private_to_the_project(shop: Shop) -> None:
    assert keys(shop.owner, private="true") == ["owned", "secret"]
    assert keys(shop.assigned, private="true") == ["secret"]
    assert keys(shop.stranger, private="true") == []
    assert search(shop.assigned, private="false")["total"] == 4


def test_without_sort_the_newest_come_first_and_names_before_descriptions(shop: Shop) -> None:
    assert keys(shop.owner) == ["owned", "pay", "secret", "tax-eu", None]
    assert keys(shop.owner, text="GRÖSSE") == ["secret", "tax-eu", "pay"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("größe", ["tax-eu", "pay"]),
        ("100% of", ["tax-eu"]),
        ("them_all", ["tax-eu"]),
        ("them-all", []),
        ("%", ["tax-eu"]),
        ("", ["pay", "tax-eu", None]),
    ],
)
def test_a_text_is_found_literally_whatever_its_case(
    shop: Shop, text: str, found: list[str | None]
) -> None:
    assert keys(shop.stranger, text=text) == found


def test_values_of_one_filter_are_alternatives_and_filters_go_together(shop: Shop) -> None:
    assert keys(shop.stranger, integrationTypes=["psp", "other"]) == ["pay", None]
    assert keys(shop.stranger, integrationTypes=["tax"], text="payment") == ["pay"]
    assert keys(shop.stranger, key=["pay", "tax-eu", "none"]) == ["pay", "tax-eu"]
    assert keys(shop.stranger, id=[ID_WITHOUT_KEY, "x"], key="pay") == []
    assert keys(shop.stranger, **{"creator.company": "Béla & Co"}) == ["pay"]
    assert keys(shop.stranger, **{"creator.company": "béla & co"}) == []


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("name", ["tax-eu", "pay", None]),
        ("name desc", [None, "pay", "tax-eu"]),
        ("key asc", ["pay", "tax-eu", None]),
        ("key desc", ["tax-eu", "pay", None]),
        ("createdAt", [None, "tax-eu", "pay"]),
        ("createdAt desc", ["pay", "tax-eu", None]),
        (["lastModifiedAt desc", "name desc"], [None, "pay", "tax-eu"]),
    ],
)
def test_results_are_sorted_as_asked(shop: Shop, sort: Any, found: list[str | None]) -> None:
    assert keys(shop.stranger, sort=sort) == found


def test_pages_tell_where_they_are(shop: Shop) -> None:
    page = search(shop.owner, limit=2, offset=1, sort="key")
    assert {name: page[name] for name in ("offset", "limit", "total", "count")} == {
        "offset": 1,
        "limit": 2,
        "total": 5,
        "count": 2,
    }
    assert [each["key"] for each in page["results"]] == ["pay", "secret"]
    assert search(shop.owner, limit=0)["total"] == 5
    assert search(shop.owner, offset=10_000) == {
        "offset": 10_000,
        "limit": 20,
        "total": 5,
        "count": 0,
        "results": [],
    }


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("limit=501", ["limit: expected a whole number from 0 to 500, got '501'"]),
        ("limit=-1", ["limit: expected a whole number from 0 to 500, got '-1'"]),
        ("limit=ten", ["limit: expected a whole number from 0 to 500, got 'ten'"]),
        ("limit=1&limit=2", ["limit: given 2 times; it can be given once"]),
        ("limit=", ["limit: expected a whole number from 0 to 500, got ''"]),
        ("limit=٣", ["limit: expected a whole number from 0 to 500, got '٣'"]),
        ("offset=10001", ["offset: expected a whole number from 0 to 10000, got '10001'"]),
        ("private=1", ["private: expected true or false, got '1'"]),
        (
            "sort=price%20asc&limit=x",
            [
                (
                    "sort: expected one of name, key, createdAt, lastModifiedAt,"
                    " alone or followed by a blank and asc or desc, got 'price asc'"
                ),
                "limit: expected a whole number from 0 to 500, got 'x'",
            ],
        ),
        ("sort=name%20up", None),
        ("integrationTypes=tax&integrationTypes=taxes", None),
        ("text=a%00b", ["text: the value has the character U+0000 in it"]),
        ("text=%ed%a0%80", ["text=%ed%a0%80: not UTF-8, percent-encoded"]),
    ],
)
def test_a_bad_parameter_is_named_with_its_value(
    shop: Shop, query: str, faults: list[str] | None
) -> None:
    answer = shop.stranger.get(f"/connectors/search?{query}")
    assert answer.status_code == 400
    body = answer.json()
    assert body["statusCode"] == 400
    assert body["message"] == "Request query param is not valid"
    assert {each["code"] for each in body["errors"]} == {"InvalidQueryParam"}
    if faults is not None:
        assert [each["detailedErrorMessage"] for each in body["errors"]] == faults


def test_parameters_that_the_contract_does_not_know_are_ignored(shop: Shop) -> None:
    assert search(shop.stranger, foo="bar", where="x=1")["total"] == 3


@pytest.mark.parametrize(
    "path", ["/connectors/not-a-uuid", "/connectors/key=a", "/connectors/key=%C3%BC%C3%BC"]
)
def test_a_malformed_id_or_key_is_a_400(shop: Shop, path: str) -> None:
    answer = shop.stranger.get(path)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "InvalidPathParam"


def test_a_read_is_conditional(shop: Shop) -> None:
    for path in ("/connectors/key=pay", "/connectors/search?text=pay"):
        first = shop.stranger.get(path)
        again = shop.stranger.get(path, headers={"If-None-Match": first.headers["etag"]})
        other = shop.stranger.get(path, headers={"If-None-Match": '"other"'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert other.status_code == 200


def test_an_answer_is_compressed_when_asked_for(shop: Shop) -> None:
    plain = shop.owner.get("/connectors/search", headers={"Accept-Encoding": "identity"})
    packed = shop.owner.get("/connectors/search", headers={"Accept-Encoding": "gzip"})
    refused = shop.owner.get("/connectors/search", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in refused.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


def test_head_is_get_without_the_body(shop: Shop) -> None:
    got = shop.stranger.get("/connectors/key=pay", headers={"Accept-Encoding": "identity"})
    head = shop.stranger.head("/connectors/key=pay", headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["etag"] == got.headers["etag"]
