"""`commands list | show | start | withdraw`."""

from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

import typer

from worker.cli.audit import By, actor, because
from worker.cli.exits import Code, Failure, check_words
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import facts, moment, outcome, plain, why
from worker.store import lists
from worker.store import reading as store
from worker.work import schedule

Scheduled = Annotated[
    list[UUID], typer.Argument(metavar="ID...", help="Scheduled commands, by their ids.")
]

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
                plain(row["reason"] or _waits(row)),
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


@app.command()
def start(commands: Scheduled, *, by: By = None) -> None:
    """Let scheduled commands be decided now, before their time.

    Exit code 4 if one of them is not scheduled, or due already.
    """
    who = actor(by)
    with session() as opened:
        with opened.engine.begin() as connection:
            found = schedule.start(connection, commands, actor=who)
        if found:
            opened.hint()
    say(f"due now: {len(found)}")
    _check_all(commands, found)


@app.command()
def withdraw(
    commands: Scheduled,
    *,
    why: Annotated[
        str | None, typer.Option("--because", metavar="TEXT", help="Why; needed.")
    ] = None,
    by: By = None,
) -> None:
    """Take scheduled commands back: they end undone, and commands that come after are refused.

    Exit code 4 if one of them is not scheduled, or due already.
    """
    who, said = actor(by), because(why)
    with session() as opened:
        with opened.engine.begin() as connection:
            found = schedule.withdraw(connection, commands, actor=who, because=said)
        if found:
            opened.hint()  # what comes after them
    say(f"taken back: {len(found)}")
    _check_all(commands, found)


def _check_all(asked: Collection[UUID], found: Collection[UUID]) -> None:
    missing = sorted(set(asked) - set(found))
    for one in missing:
        note(f"command {one} is not scheduled")
    if missing:
        raise typer.Exit(Code.NOT_FOUND)


def _waits(row: dict[str, Any]) -> str | None:
    if row["waits_for"] == "schedule":
        return f"until {moment(row['next_at'])}"
    return row["waits_for"] and f"for {row['waits_for']}"


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
