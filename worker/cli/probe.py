"""`probe`: the worker's health, for a platform that runs a command to ask.

Imports next to nothing, not even what other commands print with: it runs every few seconds.
"""

from typing import Annotated, Literal

import typer

from worker import probe as health
from worker.settings import Settings

app = typer.Typer()


@app.command()
def probe(
    question: Annotated[
        Literal["live", "ready"],
        typer.Argument(help="live: the processes turn. ready: the database answers, too."),
    ],
) -> None:
    """Ask whether the worker on this machine is live or ready; exit code 1 and why if not."""
    config = Settings()
    if question == "live":
        found = health.live(config)
    else:
        found = health.ready(config, health.known_servers(config))
    typer.echo(found.text)
    raise typer.Exit(0 if found.is_ok else 1)
