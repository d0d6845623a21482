"""`orders forget`: whom an order belonged to is not known any more."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.audit import By, actor
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, note, print_json, say
from worker.cli.session import Session, session
from worker.cli.show import plain
from worker.errors import Transient

if TYPE_CHECKING:
    from worker.retention.forgetting import OpenWork

_SHOWN = 5


def forget(
    orders: Annotated[list[str], typer.Argument(metavar="ORDER...")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Really; nothing brings it back.")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Forget whom orders belonged to: names, addresses, notes, labels, e-mails. The books stay.

    Outcomes, lines, amounts, refunds and history stay, and so do ids: a command that is sent again
    gets its stored outcome. Upstream cannot place the order again. It takes the login of the
    database's owner, for history is rewritten, which no role may. Exit code 5 if work of one is
    open, 4 if one is not here, 1 if files could not be removed; the others are forgotten.
    """
    who = actor(by)
    if not yes:
        raise Failure("--yes: needed to forget, for nothing brings it back", Code.USAGE)
    met: Counter[Code] = Counter()
    with session() as opened:
        for order in dict.fromkeys(orders):
            code, why = _forget(opened, order, who)
            met[code] += 1
            if as_json:
                is_forgotten = code in {Code.OK, Code.FAILURE}
                print_json({"order_id": order, "forgotten": is_forgotten, "why": why})
            elif why:
                note(why)
            else:
                say(f"forgotten: {plain(order)}")
    worst = (Code.FAILURE, Code.REJECTED, Code.NOT_FOUND)
    raise typer.Exit(next((code for code in worst if met[code]), Code.OK))


def _forget(opened: Session, order: str, who: str) -> tuple[Code, str | None]:
    """How it went, and what there is to say of it."""
    from worker.labels.files import files  # noqa: PLC0415  # other commands of orders do without
    from worker.retention import forgetting  # noqa: PLC0415  # likewise

    try:
        with opened.engine.begin() as connection:
            forgotten = forgetting.forget(connection, order, actor=who)
    except forgetting.NotHere:
        return Code.NOT_FOUND, f"order {plain(order)} is not here"
    except forgetting.StillOpen as error:
        return Code.REJECTED, f"order {plain(order)} is not forgotten: {_open(error.work)}"
    try:
        forgetting.remove_files(opened.engine, opened.settings, files(opened.settings), forgotten)
    except Transient as error:
        return Code.FAILURE, f"order {order} is forgotten, but not its files: {error}; run it again"
    return Code.OK, None


def _open(work: "list[OpenWork]") -> str:
    """What is to end first, and how."""
    named = [f"{one.name} {one.id} in {one.route} is {one.state}" for one in work[:_SHOWN]]
    more = f" and {len(work) - _SHOWN} more" * (len(work) > _SHOWN)
    dead = any(one.state == "dead" for one in work)
    advice = "; end what is dead: fulfillment dead replay, dead discard, refunds settle" * dead
    return f"{', '.join(named)}{more}{advice}"
