"""`refunds list | settle | fail`."""

from collections import Counter
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from messages.wire import EMAILS
from worker.cli.audit import LONGEST_NOTE, By, actor, because, text
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, money, plain
from worker.refunds import by_hand

app = typer.Typer(
    name="refunds",
    no_args_is_help=True,
    help="Money on its way back: what is open, and how it went.",
)

Ids = Annotated[
    list[UUID],
    typer.Argument(metavar="PART...", help="Parts; or a refund, which means all of its parts."),
]


@app.command("list")
def list_(
    *,
    order: Annotated[
        str | None, typer.Option(metavar="ORDER", help="This order's, ended ones as well.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the parts of refunds that are open, the longest first. A part is what goes back on one
    payment.
    """
    with reading() as connection:
        found = by_hand.parts(connection, order_id=order, limit=limit + 1)
    rows = first(found, limit)
    print_rows(
        rows,
        as_json=as_json,
        headings=("part", "order", "payment", "amount#", "asked", "state", ""),
        table=(
            (
                str(row["part_id"]),
                row["order_id"],
                " ".join(filter(None, (row["payment_id"], plain(row["method"])))),
                money(row["amount_minor"], row["currency"]),
                moment(row["requested_at"]),
                row["state"],
                _remark(row),
            )
            for row in rows
        ),
    )


def _remark(row: dict[str, Any]) -> str:
    if row["ended_at"]:
        told = [moment(row["ended_at"]), row["ended_by"] and f"by {row['ended_by']}", row["note"]]
        return plain(" ".join(filter(None, told)))
    if row["dead_reason"]:
        return f"dead: {row['dead_reason']}"
    return "waits for a person" if row["waits_for"] == "hand" else ""


@app.command()
def settle(
    ids: Ids,
    *,
    remark: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="A reference, for the history.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say that the money has gone back. The customer is told when a refund's last part ended."""
    remark = remark if remark is None else text("--note", remark, LONGEST_NOTE)
    _end(ids, "settled", remark, actor(by), as_json=as_json)


@app.command()
def fail(
    ids: Ids,
    *,
    why: Annotated[
        str | None, typer.Option("--because", metavar="TEXT", help="Why, for the history.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say that the money cannot go back this way: it can be refunded anew."""
    _end(ids, "failed", because(why), actor(by), as_json=as_json)


def _end(
    ids: list[UUID],
    state: Literal["settled", "failed"],
    remark: str | None,
    by: str,
    *,
    as_json: bool,
) -> None:
    answers: Counter[by_hand.Answer] = Counter()
    with session() as opened:
        with opened.engine.connect() as connection:
            parts = by_hand.find(connection, ids)
        if not parts:
            raise Failure("no such part or refund", Code.NOT_FOUND)
        for part_id in parts:
            # Each by itself: an order's lock is held no longer than for one part of it.
            with opened.engine.begin() as connection:
                answer = by_hand.end_by_hand(connection, part_id, state, by=by, note=remark)
            answers[answer] += 1
            if as_json:
                print_json({"part_id": part_id, "state": state, "answer": answer})
            else:
                say(f"{part_id}: {_SAID[answer].format(state=state)}")
        opened.hint(EMAILS)
    if len(parts) < len(set(ids)):
        note("some of the ids are neither a part nor a refund")
    if answers["ended"] or answers["in_progress"]:
        raise typer.Exit(Code.FAILURE)


_SAID: dict[by_hand.Answer, str] = {
    "done": "{state}",
    "known": "{state} already",
    "ended": "has ended the other way; nothing is changed",
    "in_progress": "a worker is asking the provider at this moment; try again",
}
