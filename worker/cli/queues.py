"""`queues`, `pause`, `resume` and `strays`."""

from typing import Annotated, Any, Literal

import typer

from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, Limit, first, print_json, print_rows, print_table, say
from worker.cli.session import reading, session
from worker.cli.show import duration, moment, plain
from worker.store import reading as store
from worker.work import queues as work

app = typer.Typer()


@app.command()
def queues(*, as_json: AsJson = False) -> None:
    """How much work is due, waiting, in progress and dead, by route."""
    with reading() as connection:
        found = work.queues(connection)
        strays = work.count_strays(connection)
    if as_json:
        print_json({"queues": found, "strays": strays})
        return
    print_table(
        (
            "route",
            "due#",
            "waiting#",
            "for",
            "in progress#",
            "dead#",
            "oldest#",
            "overdue#",
            "paused",
        ),
        (
            (
                row["route"],
                str(row["due"]),
                str(row["waiting"]),
                _waiting_for(row),
                str(row["in_progress"]),
                str(row["dead"]),
                duration(row["oldest_s"]),
                duration(row["overdue_s"]),
                _paused(row),
            )
            for row in found
        ),
    )
    say(f"strays: {strays}")


Route = Annotated[Literal["commands", "labels", "refunds", "emails"], typer.Argument()]


@app.command()
def pause(
    route: Route,
    *,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for others.")] = None,
) -> None:
    """Let no worker start work of a route, in the whole cluster; what is begun is finished."""
    with session() as opened, opened.engine.begin() as connection:
        work.pause(connection, route, reason)
    say(f"{route}: paused")


@app.command()
def resume(route: Route) -> None:
    """Let the work of a paused route go on."""
    with session() as opened:
        with opened.engine.begin() as connection:
            was_paused = work.resume(connection, route)
        opened.hint()
    if not was_paused:
        raise Failure(f"{route} is not paused", Code.NOT_FOUND)
    say(f"{route}: goes on")


def _paused(row: dict[str, Any]) -> str:
    return plain(row["paused"]["reason"]) or "yes" if row["paused"] else ""


def _waiting_for(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in row["waiting_for"].items())


strays_app = typer.Typer(
    name="strays",
    no_args_is_help=True,
    help="What came in and could not be accepted as a command.",
)


@strays_app.command("list")
def strays(*, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List what came in and could not be accepted as a command, the latest first."""
    with reading() as connection:
        found = store.strays(connection, limit=limit + 1)
    rows = first(found, limit)
    print_rows(
        rows,
        as_json=as_json,
        headings=("stray#", "when", "reason", "command", "problem", "body"),
        table=(
            (
                str(row["stray_id"]),
                moment(row["at"]),
                row["reason"],
                plain(row["command_id"]),
                plain(row["problem"]),
                _short(plain(row["body"])),
            )
            for row in rows
        ),
    )


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


app.add_typer(strays_app)
