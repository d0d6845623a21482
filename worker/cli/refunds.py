"""`refunds list | check | settle | fail | acknowledge`."""

from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import typer

from messages.wire import EMAILS
from worker.cli.audit import LONGEST_NOTE, By, actor, because, text
from worker.cli.chosen import seconds
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, money, plain
from worker.refunds import by_hand
from worker.refunds.look_up import Looked, asked_parts, look_up

app = typer.Typer(
    name="refunds",
    no_args_is_help=True,
    help="Money on its way back: what is open, and how it went.",
)


Late = Annotated[
    bool, typer.Option("--late", help="Although it had been said to have ended the other way.")
]
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
    state: Annotated[
        Literal["unknown", "failed", "overpaid"] | None,
        typer.Option(
            help="Asked and not heard; given up; or paid although it had been given up, and its "
            "balance given out."
        ),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the parts of refunds that are open, the longest first. A part is what goes back on one
    payment.
    """
    if order and state:
        raise Failure("--order lists every state of its parts: leave --state out", Code.USAGE)
    with reading() as connection:
        found = by_hand.parts(connection, order_id=order, state=state, limit=limit + 1)
    rows = first(found, limit)
    print_rows(
        rows,
        as_json=as_json,
        headings=("part", "order", "payment", "amount#", "requested", "state", "since", ""),
        table=(
            (
                str(row["part_id"]),
                row["order_id"],
                " ".join(filter(None, (row["payment_id"], plain(row["method"])))),
                money(row["amount_minor"], row["currency"]),
                moment(row["requested_at"]),
                row["state"],
                moment(row["ended_at"] or row["asked_at"]),
                _remark(row),
            )
            for row in rows
        ),
    )


def _remark(row: dict[str, Any]) -> str:
    at = row["provider"] and " ".join(filter(None, (row["provider"], row["provider_id"])))
    if row["ended_at"]:
        told = [at and f"at {at}", row["ended_by"] and f"by {row['ended_by']}", row["note"]]
    elif row["waits_for"] == "hand":
        told = ["waits for a person"]
    elif row["state"] == "unknown":
        told = [f"asked {at}, not heard"]
    else:
        told = [at and f"under way at {at}"]
    if row["dead_reason"]:
        told.append(f"dead: {row['dead_reason']}")
    return plain("; ".join(filter(None, told)))


@app.command()
def check(
    ids: Annotated[
        list[UUID] | None,
        typer.Argument(metavar="[PART...]", help="In any state; or a refund: all of its parts."),
    ] = None,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Open parts asked for so long ago, such as 30m or 2h."),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Ask the providers what became of parts, and book what they say. Without any named: of the
    open ones that were asked for.
    """
    if ids and older_than:
        raise Failure("name parts or --older-than, not both", Code.USAGE)
    older_s = seconds(older_than) if older_than else 0
    with session() as opened:
        providers = opened.providers
        with opened.engine.connect() as connection:
            parts = (
                by_hand.find(connection, ids)
                if ids
                else asked_parts(connection, older_s=older_s, limit=limit)
            )
        if ids and not parts:
            raise Failure("no such part or refund", Code.NOT_FOUND)
        looked = []
        for part_id in parts:
            looked.append(look_up(opened.engine, providers, part_id))
            _say_looked(looked[-1], as_json=as_json)
        if any(one.changed for one in looked):
            opened.hint(EMAILS)
    if not looked:
        note("nothing")
    if any(one.answer == "not_told" for one in looked):
        raise typer.Exit(Code.FAILURE)


def _say_looked(one: Looked, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(one))
        return
    say(said_of(one))


def said_of(one: Looked) -> str:
    """A look-up in a line."""
    told = _LOOKED[one.answer] + (f" ({one.why})" if one.why else "")
    return f"{one.part_id}: {plain(told)}{'; booked' if one.changed else ''}"


_LOOKED: Final = {
    "settled": "settled",
    "failed": "failed",
    "underway": "under way",
    "nothing": "the provider does not know it",
    "unasked": "no provider was asked",
    "not_told": "it cannot be told",
}


@app.command()
def settle(
    ids: Ids,
    *,
    remark: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="A reference, for the history.")
    ] = None,
    late: Late = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say that the money has gone back. The customer is told when a refund's last part ended."""
    remark = remark if remark is None else text("--note", remark, LONGEST_NOTE)
    _end(ids, "settled", remark, actor(by), late=late, as_json=as_json)


@app.command()
def fail(
    ids: Ids,
    *,
    why: Annotated[
        str | None, typer.Option("--because", metavar="TEXT", help="Why, for the history.")
    ] = None,
    late: Late = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say that the money cannot go back this way: it can be refunded anew."""
    _end(ids, "failed", because(why), actor(by), late=late, as_json=as_json)


@app.command()
def acknowledge(
    part: Annotated[UUID, typer.Argument(metavar="PART")],
    *,
    remark: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="What was done about it.")
    ] = None,
    by: By = None,
) -> None:
    """Say that somebody has seen to an overpaid part: its dead letter ends, and the books keep
    what was paid beside the balance.
    """
    if remark is None:
        raise Failure("--note: say what was done about it", Code.USAGE)
    remark, who = text("--note", remark, LONGEST_NOTE), actor(by)
    with session() as opened, opened.engine.begin() as connection:
        is_done = by_hand.acknowledge(connection, part, by=who, note=remark)
    if not is_done:
        raise Failure(f"{part} is no overpaid part that waits for a person", Code.NOT_FOUND)
    say(f"{part}: acknowledged")


def _end(
    ids: list[UUID],
    state: Literal["settled", "failed"],
    remark: str | None,
    by: str,
    *,
    late: bool,
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
                answer = by_hand.end_by_hand(
                    connection, part_id, state, by=by, note=remark, late=late
                )
            answers[answer] += 1
            if as_json:
                print_json({"part_id": part_id, "state": state, "answer": answer})
            else:
                say(f"{part_id}: {_SAID[answer].format(state=state)}")
        opened.hint(EMAILS)
    if len(parts) < len(set(ids)):
        note("some of the ids are neither a part nor a refund")
    if answers.keys() - {"done", "known"}:
        raise typer.Exit(Code.FAILURE)


_SAID: dict[by_hand.Answer, str] = {
    "done": "{state}",
    "known": "{state} already",
    "ended": "has ended the other way; nothing is changed; see --late",
    "overpaid": "overpaid: it had been given up, and its balance is given out",
    "in_progress": "a worker is asking the provider at this moment; try again",
}
