"""`audit`: what operators did; and what every act of theirs says: who, and why."""

import getpass
import os
from typing import Annotated

import typer

from messages.fields import clean_text
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, Limit, first, print_rows
from worker.cli.session import reading
from worker.cli.show import moment, plain
from worker.work.audit import audit as acts

app = typer.Typer()

By = Annotated[
    str | None,
    typer.Option(metavar="WHO", help="Who does it, for the audit. Default: the system's user."),
]

_LONGEST_NAME = 255
LONGEST_NOTE = 500


def actor(by: str | None) -> str:
    """Who acts: as told, or the user of the operating system.

    Raises:
      Failure: The name cannot be stored.
    """
    return text("--by", by, _LONGEST_NAME) if by is not None else _user()


def because(given: str | None) -> str:
    """Why something is given up.

    Raises:
      Failure: No reason is given, or it cannot be stored.
    """
    if given is None:
        raise Failure("--because: say why, for the audit and the order's history", Code.USAGE)
    return text("--because", given, LONGEST_NOTE)


def text(option: str, given: str, longest: int) -> str:
    """A line of text that the database, a terminal and a page can hold.

    Raises:
      Failure: It is empty, too long, or holds what is not to be printed.
    """
    try:
        cleaned = clean_text(given)
    except ValueError as error:
        raise Failure(f"{option}: {error}", Code.USAGE) from None
    if len(cleaned) > longest:
        raise Failure(f"{option}: must be at most {longest} characters long", Code.USAGE)
    return cleaned


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user often has no name
        return f"uid {os.getuid()}"


@app.command()
def audit(
    *,
    order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="Only on this order's work.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what operators did with work, the latest first."""
    with reading() as connection:
        found = acts(connection, order_id=order, limit=limit + 1)
    rows = first(found, limit)
    print_rows(
        rows,
        as_json=as_json,
        headings=("when", "who", "act", "queue", "order", "id", "details"),
        table=(
            (
                moment(row["at"]),
                plain(row["actor"]),
                row["act"],
                plain(row["route"]),
                plain(row["order_id"]),
                str(row["work_id"] or ""),
                plain(row["details"] or None),
            )
            for row in rows
        ),
    )
