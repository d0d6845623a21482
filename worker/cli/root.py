"""The root: every command's name and place. A command's module is imported when it is called, so
that `--help` does not wait for the database's driver.
"""

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from worker import __version__

COMMANDS: Final = {
    "ship": ("send", "Ship physical lines of an order, all that remains unless items are named."),
    "complete": ("send", "Complete lines that are not physical, all that remains unless named."),
    "cancel": ("send", "Cancel unfulfilled units, all that remains unless items are named."),
    "refund": ("send", "Refund an amount, or units of lines; and / or the shipping fee."),
    "void": (
        "shipments",
        "Call shipments back: their units are unfulfilled again, bought labels are voided.",
    ),
    "update-tracking": (
        "shipments",
        "Correct how a shipment is tracked; the customer is told only with --notify.",
    ),
    "hold": ("holding", "Let nothing of an order be shipped or completed until it is released."),
    "release": ("holding", "Take an order's hold off, whoever put it on."),
    "bulk": ("bulk", "Ship what a file says, one shipment per parcel."),
    "jobs": (
        "jobs",
        "Files of shipments: how far each is; stop one, go on, get back what was not applied.",
    ),
    "orders": ("orders", "Take orders in, list them, show one."),
    "commands": ("commands", "What was asked for, and what became of it."),
    "refunds": ("refunds", "Money on its way back: what is open, and how it went."),
    "webhooks": ("webhooks", "Receive what payment providers tell of refunds, until SIGTERM."),
    "labels": ("labels", "Print labels and packing slips, list them, remove orphans."),
    "emails": ("emails", "What customers are told: look at it before they do."),
    "queues": (
        "queues",
        "How much work is due, waiting, in progress and dead; how fast, and who does what of it.",
    ),
    "pause": ("queues", "Let no worker start work of a queue, in the whole cluster."),
    "resume": ("queues", "Let the work of a paused queue go on."),
    "dead": ("dead", "Failures that wait for a person: look, mend, try again, give up."),
    "strays": (
        "strays",
        "What came in and could not be accepted as a command: look, mend, take in, give up.",
    ),
    "audit": ("audit", "List what operators did with work, the latest first."),
    "events": ("events", "What became of it all, one event after the other, for others to follow."),
    "export": ("export", "Orders, their history and outcomes, as CSV or JSON lines."),
    "carriers": ("carriers", "The carriers that shipments may name."),
    "schema": ("schema", "Print the JSON Schema of commands, for producers in other languages."),
    "prune": ("prune", "Empty and remove what is old; ids, outcomes and amounts stay."),
    "migrate": ("service", "Bring the database's schema to this version."),
    "worker": ("service", "Run worker processes until SIGTERM or Ctrl-C."),
    "web": ("web", "Take commands and tell of orders over HTTP, until SIGTERM or Ctrl-C."),
    "keys": ("keys", "Keys of the HTTP door: who may do what with it."),
    "users": ("users", "Users of the console: who may do what there."),
    "probe": ("probe", "Ask whether the worker on this machine is live or ready."),
    "doctor": ("service", "Check each part, and say what to do."),
    "demo": ("service", "Watch orders being fulfilled, on servers of its own."),
}
"""Module and first line of help, in the order of the listing."""


class LazyGroup(TyperGroup):
    """Imports a command when it is called, and turns errors into sentences and exit codes."""

    _is_listing = False

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # What "no such command" makes its suggestions from.
        self.commands = {name: _stub(name) for name in COMMANDS}

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._is_listing or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        module, _ = COMMANDS[cmd_name]
        group = get_group(import_module(f"worker.cli.{module}").app)
        return group if group.name == cmd_name else group.get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._is_listing = True
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            from worker.cli.exits import failure  # noqa: PLC0415  # only errors need it
            from worker.cli.show import printable  # noqa: PLC0415  # only errors need it

            known = failure(error)
            if known is None:
                raise
            sentence = "\n".join(
                map(printable, str(known).split("\n"))
            )  # it may repeat an argument
            typer.echo(f"error: {sentence}", err=True)
            raise typer.Exit(known.code) from None


def _stub(name: str) -> TyperCommand:
    return TyperCommand(name, help=COMMANDS[name][1])


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, and those hold names and URLs
    rich_markup_mode=None,  # plain help: quick, and a line can be searched for
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer's callback
    if wanted:
        typer.echo(f"fulfillment {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Ship, complete, cancel and refund orders: each command is applied exactly once.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 database unreachable, 4 not found,
    5 rejected, 6 dead, 7 still waiting, 130 interrupted.
    """
    del version
