"""Calls by many at once to an application, while its releases follow each other."""

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.deployments.shops import example

CALLERS = 8
#: Without it, who calls takes the whole machine, and no release comes to its start.
_PAUSE_SECONDS = 0.002
#: How long one call in so many takes: some are under way at every switch.
SLOW, SLOW_MILLISECONDS = 50, 400

#: It dies at once when it is asked to end: what is under way then is lost.
SERVICE = f"""\
const http = require('node:http');
const answer = JSON.stringify({{ greeting: process.env.GREETING }});
http.createServer((request, response) => {{
  request.resume();
  const end = () => response.end(answer);
  request.on('end', () => {{
    if (request.url.endsWith('slow')) setTimeout(end, {SLOW_MILLISECONDS});
    else end();
  }});
}}).listen(8080);
"""


def files() -> dict[str, str]:
    """A connector of that service; `GREETING` is what it answers."""
    return example("hard-coded-port") | {"service/index.js": SERVICE}


@dataclass
class Load:
    """Calls by many at once: what was answered, and what went wrong."""

    host: str
    calls: int
    greetings: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> bool:
        return self.greetings.total() + len(self.faults) >= self.calls

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Call while the block runs, and until all calls are made."""
        with ThreadPoolExecutor(CALLERS) as pool:
            calling = [pool.submit(self._call) for _ in range(CALLERS)]
            yield
            for each in calling:
                each.result()

    def _call(self) -> None:
        """Call until all calls are made, on one connection as long as it is kept."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        while (number := next(self.numbers)) < self.calls:
            path = "/slow" if number % SLOW == 0 else "/"
            method, body = ("POST", b"x" * 2_000) if number % 3 == 0 else ("GET", None)
            try:
                connection.request(method, path, body)
                answer = connection.getresponse()
                text = answer.read()
                fault = "" if answer.status == 200 else f"{method} {path}: {answer.status} {text!r}"
            except (OSError, http.client.HTTPException) as error:
                fault = f"{method} {path}: {error!r}"
                connection.close()
            with self.lock:
                if fault:
                    self.faults.append(fault)
                else:
                    self.greetings[json.loads(text)["greeting"]] += 1
            time.sleep(_PAUSE_SECONDS)
        connection.close()


def greeting_of(host: str) -> str:
    with contextlib.closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request("GET", "/")
        return str(json.loads(connection.getresponse().read())["greeting"])
