"""`connectory official-cli-env`: the unchanged official CLI and SDK talk to this server."""

import os
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import click

from connectory.cli.installation import as_json, show, with_settings
from connectory.settings import Settings

#: What Node loads first: it redirects the hosts that the CLI and the SDK have built in.
PRELOAD = Path(__file__).with_name("official_cli_preload.cjs")


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """An address that paths can be put behind.

    Raises:
        click.BadParameter: it is none.
    """
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or any(mark in value for mark in "?#@") or len(value.split()) != 1:
        raise click.BadParameter(f"{value!r} is not an address such as http://127.0.0.1:7070")
    return value.strip().rstrip("/")


@click.command("official-cli-env")
@click.option(
    "--url",
    callback=_address,
    help="The server.  [env: CONNECTORY_PUBLIC_URL; default: http://127.0.0.1:7070]",
)
@as_json
@with_settings
def official_cli_env(settings: Settings, url: str | None, as_json: bool) -> None:
    """Print the exports that make the unchanged official CLI and SDK talk to this server.

    Use it as: eval "$(connectory official-cli-env)"
    """
    variables = {
        "CTP_CLI_CONNECT_API_URL": url or settings.public_url or "http://127.0.0.1:7070",
        "NODE_OPTIONS": _with_preload(os.environ.get("NODE_OPTIONS", "")),
    }
    if as_json:
        show(variables)
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _with_preload(node_options: str) -> str:
    """Node's options with the preload among them, once.

    Node takes a path with blanks in double quotes, with a backslash before what is special there.
    """
    path = str(PRELOAD).replace("\\", "\\\\").replace('"', '\\"')
    option = f'--require "{path}"'
    return node_options if option in node_options else f"{node_options} {option}".lstrip()
