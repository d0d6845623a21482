"""`schema`: the contract for producers in other languages. Needs no server."""

import sys
from typing import Annotated, Literal

import orjson
import typer

from messages import schema as contract

app = typer.Typer()


@app.command()
def schema(
    name: Annotated[
        Literal[
            "place",
            "ship",
            "complete",
            "cancel",
            "refund",
            "void",
            "update_tracking",
            "hold",
            "release",
            "outcome",
        ]
        | None,
        typer.Argument(help="A kind of command, or how one ends. Default: any command."),
    ] = None,
) -> None:
    """Print the JSON Schema of commands, for producers in other languages."""
    text = orjson.dumps(contract.schema(name), option=orjson.OPT_INDENT_2)
    sys.stdout.write(text.decode() + "\n")
