"""Port 8080 where there is no network of its own: Node listens on another, told by a preload."""

import re
from collections.abc import Mapping
from pathlib import Path

#: A script that Node loads before the program.
PRELOAD = Path(__file__).with_name("port.cjs")
VARIABLE = "CONNECTORY_LISTEN_PORT"


def moved(environment: Mapping[str, str], port: int, preload: str) -> dict[str, str]:
    """An environment in which Node's programs that listen on 8080 listen on loopback's `port`.

    `preload` is where the program sees the script. Nothing but Node is moved.
    """
    quoted = preload if re.fullmatch(r"[\w./-]+", preload) else '"' + preload + '"'
    options = f"--require {quoted} {environment.get('NODE_OPTIONS', '')}".rstrip()
    return {**environment, "NODE_OPTIONS": options, VARIABLE: str(port)}
