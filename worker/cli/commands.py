"""`commands list | show`."""

from typing import Annotated, Any
from uuid import UUID

import typer

from worker.cli.exits import Code, Failure, check_words
from worker.cli.output import AsJson, Limit, first, print_json, print_rows, say
from worker.cli.session import reading
from worker.cli.show import facts, moment, outcome, plain, why
from worker.store import lists
from worker.store import reading as store

app = typer.Typer(
    name="commands", no_args_is_help=True, help="What was asked for, and what became of it."
)


@app.command("list")
def list_(
    *,
    state: Annotated[
        list[str], typer.Option(metavar="|".join(lists.STATES), help="May be repeated.")
    ] = [],  # noqa: B006  # typer copies it
    order: Annotated[str | None, typer.Option(metavar="ORDER", help="Only this order's.")] = None,
    after: Annotated[
        UUID | None, typer.Option(metavar="ID", help="The last command of the page before.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List commands, the latest first."""
    check_words("--state", state, lists.STATES)
    with reading() as connection:
        found = lists.commands(
            connection, states=state, order_id=order, after=after, limit=limit + 1
        )
    rows = first(found, limit, key="command_id")
    print_rows(
        rows,
        as_json=as_json,
        headings=("command", "what", "order", "state", "why", "attempts#", "accepted", "decided"),
        table=(
            (
                str(row["command_id"]),
                row["kind"],
                row["order_id"],
                row["state"],
                plain(row["reason"] or (row["waits_for"] and f"for {row['waits_for']}")),
                str(row["attempts"]),
                moment(row["accepted_at"]),
                moment(row["decided_at"]),
            )
            for row in rows
        ),
    )


@app.command()
def show(
    command: Annotated[UUID, typer.Argument(metavar="ID", help="The command's id.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a command: what it asks for, its outcome, its errors, why it waits."""
    with reading() as connection:
        found = store.command(connection, command)
    if found is None:
        raise Failure(f"command {command} is not here", Code.NOT_FOUND)
    if as_json:
        print_json({**found, "why": why(found) or None})
    else:
        say(_text(found))


def _text(command: dict[str, Any]) -> str:
    values = {
        "command": command["command_id"],
        "what": f"{command['kind']} {command['order_id']}",
        "state": outcome(command["state"], command["outcome"], command["dead_reason"]),
        "waits": why(command),
        "accepted": moment(command["accepted_at"]),
        "decided": moment(command["decided_at"]),
        "attempts": f"{command['attempts']} failed, {command['crashes']} crashed",
        "after": plain(command["after_id"]),
        "body": plain(command["body"]),
    }
    return facts(values, command["errors"])
