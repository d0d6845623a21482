"""`dead list | show | replay`."""

from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, plain
from worker.work.dead import Chosen, dead
from worker.work.dead import replay as replay_dead

app = typer.Typer(
    name="dead",
    no_args_is_help=True,
    help="Failures that wait for a person: look, and try again.",
)

Reason = Annotated[str | None, typer.Option(help="Only those with this reason.")]
Order = Annotated[str | None, typer.Option(metavar="ORDER", help="Only this order's.")]
Route = Annotated[
    Literal["commands", "labels", "refunds", "emails"] | None,
    typer.Option(help="Only this route's."),
]


@app.command("list")
def list_(
    *,
    reason: Reason = None,
    order: Order = None,
    route: Route = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the oldest first."""
    chosen = Chosen(reason=reason, order_id=order, route=route)
    with reading() as connection:
        found = dead(connection, chosen, limit=limit + 1)
    rows = first(found, limit)
    print_rows(
        rows,
        as_json=as_json,
        headings=("id", "route", "what", "order", "reason", "failed", "last error"),
        table=(
            (
                str(row["id"]),
                row["route"],
                row["name"],
                row["order_id"],
                plain(row["reason"]),
                moment(row["failed_at"]),
                plain(row["errors"][-1]["message"]) if row["errors"] else "",
            )
            for row in rows
        ),
    )


@app.command()
def show(letter: Annotated[UUID, typer.Argument(metavar="ID")], *, as_json: AsJson = False) -> None:
    """Show a dead letter with its last errors."""
    with reading() as connection:
        found = dead(connection, Chosen(ids=[letter]), limit=1)
    if not found:
        raise Failure(f"{letter} is no dead letter", Code.NOT_FOUND)
    if as_json:
        print_json(found[0])
    else:
        say(_text(found[0]))


def _text(row: dict[str, Any]) -> str:
    values = {
        "id": str(row["id"]),
        "what": f"{row['name']} of order {row['order_id']}, route {row['route']}",
        "reason": plain(row["reason"]),
        "failed": moment(row["failed_at"]),
        "attempts": f"{row['attempts']} failed, {row['crashes']} crashed",
        "body": plain(row["body"]),
    }
    lines = [f"{name:<10}{value}" for name, value in values.items() if value]
    lines += [
        f"{'error':<10}{moment(error.get('at'))} {error['reason']}: {plain(error['message'])}"
        for error in row["errors"]
    ]
    return "\n".join([*lines, f"{'replay':<10}fulfillment dead replay {row['id']}"])


@app.command()
def replay(
    ids: Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...")] = None,
    *,
    reason: Reason = None,
    order: Order = None,
    route: Route = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try dead letters again, under the same ids; what is not dead is left alone.

    Exit code 4 if one of the ids is no dead letter, or nothing matches.
    """
    if not (ids or reason or order or route or everything):
        raise Failure("name ids, --reason, --order, --route or --all", Code.USAGE)
    chosen = Chosen(ids=ids or None, reason=reason, order_id=order, route=route)
    with session() as opened:
        with opened.engine.begin() as connection:
            replayed = replay_dead(connection, chosen)
        for one in sorted({letter.route for letter in replayed}):
            opened.hint(one)
    for letter in replayed:
        if as_json:
            print_json(letter)
        else:
            say(f"replayed: {letter.route} {letter.id}")
    missing = set(ids or ()) - {letter.id for letter in replayed}
    for one_id in sorted(missing):
        note(f"{one_id} is no dead letter")
    if not replayed and not missing:
        note("nothing")
    raise typer.Exit(Code.NOT_FOUND if missing or not replayed else Code.OK)
