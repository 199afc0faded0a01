"""The machine's resolver hangs while a webhook is sent: the server ends when it is told to."""

import contextlib
import functools
import socket
import threading
import time
from pathlib import Path
from typing import Any

from connectory.database.engine import open_database
from tests.deployments.shops import opened, own_installation
from tests.webhooks.receivers import SECONDS, Hooks
from tests.webhooks.test_sending import happen

HOST = "hangs.example"
#: Public, and nobody is asked there: the resolver hangs before the first attempt.
ADDRESS = "93.184.215.14"


def hang(asked: Path) -> None:
    """Let this process's resolver answer for a host once, and then never; a file tells of that."""
    never, resolve, answers = threading.Event(), socket.getaddrinfo, [ADDRESS]

    def resolved(host: Any, port: Any, *arguments: Any, **more: Any) -> Any:
        if host == HOST and not answers:
            asked.touch()
            never.wait()
        return resolve(answers.pop() if host == HOST else host, port, *arguments, **more)

    socket.getaddrinfo = resolved


def test_a_server_ends_although_its_resolver_hangs(tmp_path: Path) -> None:
    installation, asked = own_installation(tmp_path), tmp_path / "asked"
    installation.run("migrate")
    server = installation.start(
        settings={"CONNECTORY_DRAIN_SECONDS": "1"}, first=functools.partial(hang, asked)
    )
    try:
        with opened(installation, server) as shop:
            Hooks(shop.http, shop.creator.project).create(f"https://{HOST}/hook")
        with contextlib.closing(open_database("", installation.data)) as database:
            happen(database)
        deadline = time.monotonic() + SECONDS
        while not asked.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert server.stop(15) == 0
    finally:
        server.kill()
