"""The `connectory` command: finds the command that was asked for, and says faults in one line.

Modules of commands are imported when one of theirs is called: `connectory serve` need not wait
for what `connectory import` needs.
"""

import gc
import importlib
import os
import sys
import traceback
from types import ModuleType
from typing import Any

import click

from connectory import __version__

#: Command → (module of `connectory.cli`, attribute, what it does).
COMMANDS = {
    "serve": ("serving", "serve", "Run the server: API and OAuth."),
    "worker": ("worker", "worker", "Do background work, without an API."),
    "validate": ("validating", "validate", "Judge connectors, and say what is wrong and where."),
    "project": ("projects", "project", "Create and list Projects."),
    "client": ("clients", "client", "Create, list, rotate and revoke API Clients."),
    "git-credential": (
        "repositories",
        "git_credential",
        "Add, list and remove what opens private git repositories.",
    ),
    "operator": ("operators", "operator", "Create, list and revoke operators of the HTTP API."),
    "deployment": (
        "deployments",
        "deployment",
        "Deploy Connectors, over HTTP, on any server of the contract.",
    ),
    "send": ("messages", "send", "Send a message to an event application, of any server."),
    "message": (
        "messages",
        "message",
        "List, show, replay and drop messages to event applications.",
    ),
    "run-job": ("jobs", "run_job", "Run a job application now, of any server."),
    "job": ("jobs", "job", "List jobs and their runs."),
    "webhook": ("webhooks", "webhook", "Have a Project told what happens, on any server."),
    "certification": (
        "certifying",
        "certification",
        "Review Connectors that are to be certified.",
    ),
    "import": ("catalogue", "import_", "Publish Connectors in bulk from a JSON lines file."),
    "export": ("catalogue", "export", "Write all Connectors to a JSON lines file."),
    "migrate": ("databases", "migrate", "Bring the database to the schema of this program."),
    "backup": ("databases", "backup", "Write a backup, while the server runs."),
    "restore": ("databases", "restore", "Read a backup into an empty installation."),
    "secrets": ("secrets", "secrets", "Rotate the keys that secrets are encrypted with."),
    "logs": ("logs", "logs", "Show the log of a Deployment, of any server."),
    "work": ("working", "work", "List and cancel background work."),
    "audit": ("operating", "audit", "Show who did what, newest first."),
    "settings": ("operating", "settings", "Show every setting, its value and its meaning."),
    "doctor": ("doctor", "doctor", "Show what holds on this machine, and how to get the rest."),
    "official-cli-env": (
        "official",
        "official_cli_env",
        "Print the exports that make the official CLI talk to this server.",
    ),
}


class _Commands(click.Group):
    """The commands by name, each imported when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(_imported(f"connectory.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, meaning) for name, (_, _, meaning) in COMMANDS.items()])


def _imported(name: str) -> ModuleType:
    """A module, imported without looking for garbage: it makes none, and the look takes long."""
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="connectory")
def root() -> None:
    """Connectory: the open, self-hostable implementation of the commercetools Connect platform."""


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; exit 0 when it did what was asked, 1 when it could not, 2 on wrong use."""
    try:
        root.main(arguments, prog_name="connectory", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "connectory"
        _fail(f"{error.format_message()} (`{where} --help` shows the use)", 2)
    except click.ClickException as error:
        _fail(error.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        # Whoever reads our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except UnicodeEncodeError as error:
        # Of an argument; names of files may be spelled in any way, and are used as they come.
        _fail(f"{error.object!a} is no text in UTF-8", 2)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line, no traceback
        _explain(error)


def _explain(error: Exception) -> None:
    """Say what went wrong in one line."""
    from connectory.cli.faults import EXPECTED  # noqa: PLC0415 - costs imports that success needs not

    if os.environ.get("CONNECTORY_TRACEBACK"):
        traceback.print_exception(error)
    if isinstance(error, EXPECTED):
        _fail(str(error), 1)
    _fail(
        f"a fault of the program: {type(error).__name__}: {error}"
        " (CONNECTORY_TRACEBACK=1 shows where; please report it)",
        1,
    )


def _fail(message: str, status: int) -> None:
    click.echo("connectory: " + " ".join(message.split()), err=True)
    sys.exit(status)
