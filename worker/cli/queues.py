"""`queues` and `strays`."""

from typing import Any

import typer

from worker.cli.output import AsJson, Limit, first, print_json, print_rows, print_table, say
from worker.cli.session import reading
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
        ("route", "due#", "waiting#", "for", "in progress#", "dead#", "oldest#", "overdue#"),
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
            )
            for row in found
        ),
    )
    say(f"strays: {strays}")


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
