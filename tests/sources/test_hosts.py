"""Which hosts are reached, and which never are."""

import pytest

from connectory.settings import Settings
from connectory.sources.address import parse_repository
from connectory.sources.hosts import Hosts, is_public
from connectory.sources.model import AddressRefused, HostNotReachable
from tests.sources.servers import names

PUBLIC = "140.82.121.3"


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255"),
        *("192.0.0.192", "198.18.0.1", "203.0.113.1", "240.0.0.1", "168.63.129.16", "192.88.99.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
        *("2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001::1", "2001:db8::1", "100::1", "5f00::1"),
        *("", "localhost", "1.2.3", "1.2.3.4.5"),
    ],
)
def test_what_is_not_of_the_public_internet_is_told(address: str):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "2606:50c0:8000::153", "64:ff9b::8c52:7903", "2002:8c52:7903::1"],
)
def test_what_is_of_the_public_internet_is_told(address: str):
    assert is_public(address)


def test_the_hosts_of_the_setting_are_reached_by_their_usual_ports():
    hosts = Hosts(Settings().git_hosts, resolve=lambda *_: [PUBLIC])

    for url in ("https://github.com/a/b", "git@GitLab.com:a/b.git", "https://codeberg.org/a/b"):
        assert hosts.pin(parse_repository(url)) == (PUBLIC,)
    for url in (
        "https://github.com:8443/a/b",
        "ssh://git@github.com:443/a/b",
        "https://github.com.evil.example/a/b",
        "https://evil.example/github.com/b",
        "https://api.github.com/a/b",
    ):
        with pytest.raises(AddressRefused, match="CONNECTORY_GIT_HOSTS"):
            hosts.pin(parse_repository(url))


def test_a_port_is_opened_by_its_number_and_any_host_by_a_star():
    resolve = names({"git.acme.example": [PUBLIC], "other.example": [PUBLIC]})
    hosts = Hosts(("git.acme.example:8443",), resolve=resolve)
    assert hosts.pin(parse_repository("https://git.acme.example:8443/a")) == (PUBLIC,)
    with pytest.raises(AddressRefused):
        hosts.pin(parse_repository("https://git.acme.example/a"))

    hosts = Hosts(("*",), resolve=resolve)
    assert hosts.pin(parse_repository("https://other.example/a")) == (PUBLIC,)
    with pytest.raises(AddressRefused):
        hosts.pin(parse_repository("https://other.example:8443/a"))


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["::1"], [PUBLIC, "10.0.0.1"], ["169.254.169.254", PUBLIC]]
)
def test_a_name_with_one_address_that_is_not_public_is_refused(addresses: list[str]):
    hosts = Hosts(("*",), resolve=lambda *_: addresses)

    with pytest.raises(AddressRefused, match="CONNECTORY_GIT_MIRRORS"):
        hosts.pin(parse_repository("https://innocent.example/a"))


def test_a_name_without_an_address_may_have_one_later():
    hosts = Hosts(("*",), resolve=names({}))

    with pytest.raises(HostNotReachable) as unknown:
        hosts.pin(parse_repository("https://nowhere.example/a"))

    assert unknown.value.transient
