"""Whose forwarded headers are believed."""

from ipaddress import ip_network

from connectory.http.proxies import client_address, request_origin

PROXIES = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32"))


def scope(client: str, *headers: tuple[str, str]) -> dict[str, object]:
    return {
        "client": (client, 1),
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


def test_nobody_is_believed_by_default() -> None:
    asked = scope("10.0.0.1", ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https"))
    assert client_address(asked, ()) == "10.0.0.1"
    assert request_origin(asked, {b"host": b"h:1"}, (), "") == "http://h:1"


def test_a_trusted_proxy_is_believed_up_to_the_first_stranger() -> None:
    forwarded = ("x-forwarded-for", "1.1.1.1, 6.6.6.6, 10.0.0.7")
    assert client_address(scope("10.0.0.1", forwarded), PROXIES) == "6.6.6.6"
    assert client_address(scope("7.7.7.7", forwarded), PROXIES) == "7.7.7.7"


def test_repeated_headers_are_one_list() -> None:
    asked = scope("127.0.0.1", ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "10.1.1.1"))
    assert client_address(asked, PROXIES) == "6.6.6.6"


def test_an_address_of_ipv4_in_ipv6_is_the_same() -> None:
    asked = scope("::ffff:10.0.0.1", ("x-forwarded-for", "6.6.6.6"))
    assert client_address(asked, PROXIES) == "6.6.6.6"


def test_the_origin_is_what_the_client_used() -> None:
    forwarded = (("x-forwarded-proto", "https"), ("x-forwarded-host", "connect.example"))
    headers = {b"host": b"inner:7070"}
    assert request_origin(scope("10.0.0.1", *forwarded), headers, PROXIES, "") == (
        "https://connect.example"
    )
    assert request_origin(scope("7.7.7.7", *forwarded), headers, PROXIES, "") == "http://inner:7070"
    assert request_origin(scope("7.7.7.7"), headers, PROXIES, "https://public.example") == (
        "https://public.example"
    )


def test_a_scheme_that_is_none_is_not_believed() -> None:
    asked = scope("10.0.0.1", ("x-forwarded-proto", "javascript"))
    assert request_origin(asked, {b"host": b"h"}, PROXIES, "") == "http://h"
