"""Where applications answer: on this machine without DNS, and under a domain."""

import asyncio
import socket
import subprocess
import sys
import urllib.parse

import httpx
import pytest

from connectory.gateway.addresses import Addresses, NoPortFree
from connectory.gateway.server import Gateway
from tests.gateway.conftest import SLUG, Scene, route

PORTS = range(23_000, 23_100)


def slugs(count):
    return [f"{number:024d}" for number in range(count)]


def test_a_domain_has_a_name_for_each_application(tmp_path):
    addresses = Addresses(tmp_path / "ports.json", url="https://apps.example.com/")
    assert addresses.url_of(route()) == f"https://service-{SLUG}.apps.example.com"
    assert addresses.url_of(route(prefix="mc-app")).startswith("https://mc-app-")
    assert addresses.listened_on(route()) is None


def test_without_a_domain_each_application_has_an_origin_that_stays(tmp_path):
    file = tmp_path / "ports.json"
    one, other = (Addresses(file, ports=PORTS) for _ in range(2))
    urls = [one.url_of(route(slug=slug)) for slug in slugs(50)]
    assert len(set(urls)) == 50
    assert [other.url_of(route(slug=slug)) for slug in reversed(slugs(50))] == urls[::-1]
    assert [Addresses(file, ports=PORTS).url_of(route(slug=slug)) for slug in slugs(50)] == urls


def test_cookies_are_apart_where_the_machine_has_all_of_loopback(tmp_path):
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8")
    addresses = Addresses(tmp_path / "ports.json", ports=PORTS)
    hosts = {
        urllib.parse.urlsplit(addresses.url_of(route(slug=slug))).hostname for slug in slugs(20)
    }
    assert len(hosts) == 20
    assert "127.0.0.1" not in hosts


def test_a_port_that_others_have_is_given_to_nobody(tmp_path):
    ports = range(23_200, 23_203)
    with socket.create_server(("", ports[1])):
        addresses = Addresses(tmp_path / "ports.json", ports=ports)
        given = {addresses.listened_on(route(slug=slug))[1] for slug in slugs(2)}
        assert given == {ports[0], ports[2]}
        with pytest.raises(NoPortFree, match="CONNECTORY_GATEWAY_PORTS"):
            addresses.url_of(route(slug=slugs(3)[2]))
        addresses.forget(route(slug=slugs(1)[0]))
        assert addresses.url_of(route(slug=slugs(3)[2]))


def test_a_damaged_file_is_made_anew(tmp_path):
    file = tmp_path / "ports.json"
    file.write_text("{")
    assert Addresses(file, ports=PORTS).url_of(route())


@pytest.fixture
def local(tmp_path, node):
    """Run a scene with a gateway that has no domain."""

    def run(act):
        async def main():
            scene = Scene(tmp_path, node)
            addresses = Addresses(tmp_path / "ports.json", ports=PORTS)
            scene.gateway = Gateway(scene.runtime, addresses, answered=scene.told.append)
            await scene.gateway.serve("127.0.0.1", scene.port)
            try:
                await act(scene)
            finally:
                await scene.end()

        asyncio.run(asyncio.wait_for(main(), 60))

    return run


def test_curl_node_and_python_reach_it_at_its_url(local, node):
    async def act(scene):
        await scene.application()
        url = f"{scene.gateway.url_of(route())}/sized"
        commands = {
            "node": [node, "-e", f"fetch('{url}').then((r) => r.text()).then(console.log)"],
            "curl": ["curl", "-sS", url],
        }
        for command in commands.values():
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=20, check=False
            )
            assert (done.stdout.strip(), done.stderr) == ("hello", "")
        answer = await asyncio.to_thread(httpx.get, url)
        assert answer.text == "hello"

    local(act)


def test_it_answers_by_its_name_on_the_common_port_too(local):
    async def act(scene):
        await scene.application()
        url = f"http://127.0.0.1:{scene.port}/sized"
        headers = {"Host": f"service-{SLUG}.localhost:7071"}
        assert (await asyncio.to_thread(httpx.get, url, headers=headers)).text == "hello"
        assert (await asyncio.to_thread(httpx.get, url)).status_code == 404

    local(act)


def test_what_is_gone_is_listened_for_no_more(local):
    async def act(scene):
        await scene.application()
        url = scene.gateway.url_of(route())
        assert (await asyncio.to_thread(httpx.get, f"{url}/sized")).text == "hello"
        scene.gateway.drop_route("a-1")
        await asyncio.sleep(0.1)
        with pytest.raises(httpx.ConnectError):
            await asyncio.to_thread(httpx.get, f"{url}/sized")

    local(act)


def test_the_url_answers_as_soon_as_the_route_is_set(local):
    async def act(scene):
        scene.gateway.set_route(route())
        url = scene.gateway.url_of(route())
        address = urllib.parse.urlsplit(url)
        # The loop has taken no turn since.
        socket.create_connection((address.hostname, address.port), timeout=5).close()
        answer = await asyncio.to_thread(httpx.get, url)
        assert answer.status_code == 503  # nothing runs there yet

    local(act)
