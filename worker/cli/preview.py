"""What a dry run prints: the outcome a command would have, with every amount it would pay back."""

from collections.abc import Iterator

from messages import Ship, UpdateTracking
from messages.outcomes import RefundGranted
from worker.cli.exits import Code
from worker.cli.show import count, moment, money, outcome, plain
from worker.orders.model import Decision, FollowUp, Rejection, Shipment
from worker.work.accept import Receipt
from worker.work.judging import Dead, Wait
from worker.work.preview import Preview
from worker.work.previewed import document, state, tracked

__all__ = ["code", "document", "state", "text", "why"]


def code(one: Preview) -> Code:
    """The exit code that sending the command with `--wait` would have, once it is decided."""
    match state(one):
        case "applied" | "known":
            return Code.OK
        case "waiting":
            return Code.WAITING
        case _:
            return Code.REJECTED


def text(one: Preview) -> str:
    """The preview for a person: the outcome, then line by line what it pays back and sets going."""
    return "\n".join(_lines(one))


def why(one: Preview) -> str:
    """The preview in one line."""
    if one.scheduled_at:
        return f"would be decided at {moment(one.scheduled_at)}; now it {_verdict(one)}"
    return _verdict(one)


def _verdict(one: Preview) -> str:
    verdict = one.verdict
    match verdict:
        case Decision() if not verdict.outcome.changed:
            return "would change nothing"
        case Decision() | Rejection():
            ended = verdict.outcome.model_dump(mode="json")
            return f"would be {outcome(ended['state'], ended)}"
        case Wait():
            waits_for = {"order": f"order {one.command.order_id}, which is not here"}
            waits_for["predecessor"] = f"command {one.command.after}, which is not applied"
            return f"would wait for {waits_for.get(verdict.waits_for or '', 'its order')}"
        case Dead():
            return f"would be dead: {verdict.message}"
        case Receipt(answer="id_reused"):
            return "would be refused: this id belongs to another command"
        case Receipt():
            was = outcome(verdict.state or "pending", verdict.outcome)
            return f"was sent before and would change nothing: {was}"


def _lines(one: Preview) -> Iterator[str]:
    yield why(one)
    if isinstance(one.verdict, Decision):
        granted = one.verdict.outcome.refund
        if granted:
            yield from _refund(granted)
        for work in one.verdict.followups:
            yield from _followup(work)
        for shipment in tracked(one.verdict):
            if isinstance(one.command, Ship | UpdateTracking):
                yield from _carrier(one.command, shipment)
    if one.undecided:
        yield f"undecided commands of this order come first: {one.undecided}; not counted in"


def _refund(granted: RefundGranted) -> Iterator[str]:
    def row(what: str, amount_minor: int, more: str = "") -> str:
        return f"  {what:<24}{money(amount_minor, granted.currency):>16}{more}"

    rest_minor = granted.amount_minor - granted.shipping_minor
    for line in granted.lines:
        rest_minor -= line.gross_minor
        taxed = f"  of it tax {money(line.tax_minor, granted.currency)}" if line.tax_minor else ""
        yield row(f"line {line.line_id}, {count(line.quantity)}", line.gross_minor, taxed)
    if granted.shipping_minor:
        yield row("shipping fee", granted.shipping_minor)
    if rest_minor:
        yield row("amount", rest_minor)
    for part in granted.parts:
        yield row(f"to payment {plain(part.payment_id)}", part.amount_minor)
    yield row("total", granted.amount_minor)


def _carrier(command: Ship | UpdateTracking, shipment: Shipment) -> Iterator[str]:
    is_named = command.carrier or command.new_carrier
    if shipment.carrier and not is_named and isinstance(command, Ship):
        yield f"  carrier {shipment.carrier}, guessed from the tracking number"
    if shipment.warning:
        yield f"  warning: {plain(shipment.warning)}"


def _followup(work: FollowUp) -> Iterator[str]:
    if work.route == "emails":
        skipped = f": none, {work.skipped}" if work.skipped else ""
        yield f"  e-mail {work.name}{skipped}"
    elif work.route == "labels":
        words = {"void": "bought label to be voided", "relabel": "label to be made anew"}
        yield f"  {words.get(work.name, 'label to be made')}"
