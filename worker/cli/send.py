"""`ship`, `complete`, `cancel`, `refund` and what sends the others: one command, one transaction.

Without `--wait` the receipt is the result: accepted means decided, sooner or later, exactly once.
With `--dry-run` nothing is sent, and the result is what would become of it.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn
from uuid import UUID

import orjson
import typer

from messages import Command, new_command_id, parse
from messages.fields import MAX_WEIGHT_G
from worker.carriers import table as carriers
from worker.cli import preview as preview_view
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, note, print_json, say
from worker.cli.session import Session, session
from worker.cli.show import outcome, plain, why
from worker.cli.times import utc_time
from worker.cli.waiting import outcomes
from worker.orders.money import BadAmount, to_minor
from worker.store import reading
from worker.work.accept import Receipt, accept
from worker.work.preview import preview

app = typer.Typer()

Order = Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")]
Items = Annotated[
    list[str],
    typer.Option(
        "--item",
        metavar="LINE=QTY",
        help="Units of a line; may be repeated. None: all that remains. 0 leaves the line.",
    ),
]
Clamp = Annotated[
    bool, typer.Option("--clamp", help="Take what is left instead of refusing what is more.")
]
NoNotify = Annotated[bool, typer.Option("--no-notify", help="Write no e-mail to the customer.")]
ExpectedVersion = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=2**31 - 1,
        help="Refuse unless N commands have been applied to the order.",
    ),
]
After = Annotated[
    UUID | None, typer.Option(help="Decide only once this command of the order is applied.")
]
NotBefore = Annotated[
    str | None,
    typer.Option(metavar="DATE|TIME", help="Decide it then or later, not before; UTC."),
]
CommandId = Annotated[
    UUID | None,
    typer.Option(help="The command's own id: sent again, it changes nothing. Default: a new one."),
]
IssuedBy = Annotated[str | None, typer.Option(metavar="WHO", help="Who asks, for the history.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Send nothing; say what would happen, to the minor unit."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the outcome.")]
Timeout = Annotated[float, typer.Option(min=0, metavar="S", help="Stop waiting after S seconds.")]
CarrierCode = Annotated[str | None, typer.Option(metavar="CODE", help="A known carrier.")]
AddedCarrier = Annotated[
    str | None, typer.Option(metavar="CODE=NAME", help="A carrier to add on the way.")
]
AddedCarrierUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Its tracking page; {number} is the tracking number."),
]
TrackingNumber = Annotated[str | None, typer.Option(metavar="NUMBER")]
TrackingUrl = Annotated[str | None, typer.Option(metavar="URL")]
IncludeShipping = Annotated[
    bool, typer.Option("--include-shipping", help="Refund the shipping fee as well.")
]
WhyOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the history.")
]

DEFAULT_TIMEOUT_S = 30.0

_MONEY = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,40})?)(?: +([A-Za-z]{3}))?")
"""As people write it. What else Python takes for a decimal is rather a slip: `1_000`, `1e2`."""


@app.command()
def ship(
    order: Order,
    *,
    item: Items = [],  # noqa: B006  # typer copies it
    carrier: CarrierCode = None,
    new_carrier: AddedCarrier = None,
    new_carrier_url: AddedCarrierUrl = None,
    tracking_number: TrackingNumber = None,
    tracking_url: TrackingUrl = None,
    service: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The carrier's service, for the label.")
    ] = None,
    label: Annotated[bool, typer.Option("--label", help="Make a shipping label.")] = False,
    weight: Annotated[
        int | None,
        typer.Option(
            metavar="G",
            min=0,
            max=MAX_WEIGHT_G,
            help="What the parcel weighs in grams, for the carrier.",
        ),
    ] = None,
    clamp: Clamp = False,
    no_notify: NoNotify = False,
    expected_version: ExpectedVersion = None,
    after: After = None,
    not_before: NotBefore = None,
    command_id: CommandId = None,
    issued_by: IssuedBy = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Ship physical lines of an order, all that remains unless items are named."""
    body = envelope(
        "ship",
        order,
        clamp=clamp,
        no_notify=no_notify,
        expected_version=expected_version,
        after=after,
        not_before=not_before,
        command_id=command_id,
        issued_by=issued_by,
    )
    body |= {
        "items": _items(item),
        "carrier": carrier,
        "new_carrier": new_carrier_of(new_carrier, new_carrier_url),
        "tracking_number": tracking_number,
        "tracking_url": tracking_url,
        "service": service,
        "label": "generate" if label else None,
        "weight_g": weight,
    }
    with session() as opened:
        if carrier:
            suggest_carrier(opened, carrier)
        send(
            opened,
            body,
            timeout_s=timeout if wait else None,
            dry_run=dry_run,
            as_json=as_json,
        )


@app.command()
def complete(
    order: Order,
    *,
    item: Items = [],  # noqa: B006  # typer copies it
    clamp: Clamp = False,
    no_notify: NoNotify = False,
    expected_version: ExpectedVersion = None,
    after: After = None,
    not_before: NotBefore = None,
    command_id: CommandId = None,
    issued_by: IssuedBy = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Complete lines that are not physical, all that remains unless named."""
    body = envelope(
        "complete",
        order,
        clamp=clamp,
        no_notify=no_notify,
        expected_version=expected_version,
        after=after,
        not_before=not_before,
        command_id=command_id,
        issued_by=issued_by,
    )
    body["items"] = _items(item)
    with session() as opened:
        send(
            opened,
            body,
            timeout_s=timeout if wait else None,
            dry_run=dry_run,
            as_json=as_json,
        )


@app.command()
def cancel(
    order: Order,
    *,
    item: Items = [],  # noqa: B006  # typer copies it
    refund: Annotated[
        str,
        typer.Option(
            metavar="none|full|AMOUNT",
            help="What is paid back: full is the price of what is cancelled; '12.50' an amount.",
        ),
    ] = "none",
    include_shipping: IncludeShipping = False,
    reason: WhyOption = None,
    clamp: Clamp = False,
    no_notify: NoNotify = False,
    expected_version: ExpectedVersion = None,
    after: After = None,
    not_before: NotBefore = None,
    command_id: CommandId = None,
    issued_by: IssuedBy = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Cancel unfulfilled units, all that remains unless items are named."""
    body = envelope(
        "cancel",
        order,
        clamp=clamp,
        no_notify=no_notify,
        expected_version=expected_version,
        after=after,
        not_before=not_before,
        command_id=command_id,
        issued_by=issued_by,
    )
    body |= {"items": _items(item), "include_shipping": include_shipping, "reason": reason}
    with session() as opened:
        is_word = refund in {"none", "full"}
        body["refund"] = refund if is_word else _money(opened, "refund", refund, order)
        send(
            opened,
            body,
            timeout_s=timeout if wait else None,
            dry_run=dry_run,
            as_json=as_json,
        )


@app.command()
def refund(
    order: Order,
    *,
    amount: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="'12.50', in the order's currency, or '12.50 EUR'."),
    ] = None,
    item: Annotated[
        list[str],
        typer.Option("--item", metavar="LINE=QTY", help="Units of a line; may be repeated."),
    ] = [],  # noqa: B006  # typer copies it
    include_shipping: IncludeShipping = False,
    reason: WhyOption = None,
    clamp: Clamp = False,
    no_notify: NoNotify = False,
    expected_version: ExpectedVersion = None,
    after: After = None,
    not_before: NotBefore = None,
    command_id: CommandId = None,
    issued_by: IssuedBy = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Refund an amount, or units of lines; and / or the shipping fee."""
    if amount is None and not item and not include_shipping:
        raise Failure("give --amount, --item or --include-shipping", Code.USAGE)
    body = envelope(
        "refund",
        order,
        clamp=clamp,
        no_notify=no_notify,
        expected_version=expected_version,
        after=after,
        not_before=not_before,
        command_id=command_id,
        issued_by=issued_by,
    )
    body |= {"items": _items(item), "include_shipping": include_shipping, "reason": reason}
    with session() as opened:
        if amount is not None:
            body["amount"] = _money(opened, "amount", amount, order)
        send(
            opened,
            body,
            timeout_s=timeout if wait else None,
            dry_run=dry_run,
            as_json=as_json,
        )


def envelope(
    kind: Literal[
        "ship", "complete", "cancel", "refund", "void", "update_tracking", "hold", "release"
    ],
    order: str,
    *,
    clamp: bool = False,
    no_notify: bool = False,
    expected_version: int | None,
    after: UUID | None,
    not_before: str | None,
    command_id: UUID | None,
    issued_by: str | None,
) -> dict[str, Any]:
    """What every command carries, as its body."""
    return {
        "kind": kind,
        "command_id": command_id or new_command_id(),
        "order_id": order,
        "issued_at": datetime.now(UTC),
        "issued_by": issued_by,
        "policy": "clamp" if clamp else None,
        "notify_customer": False if no_notify else None,
        "expected_version": expected_version,
        "after": after,
        "not_before": utc_time("--not-before", not_before),
    }


def _items(given: list[str]) -> list[dict[str, Any]]:
    found = []
    for one in given:
        line_id, is_there, quantity = one.rpartition("=")
        if not (is_there and line_id and quantity.isascii() and quantity.isdigit()):
            raise Failure(f"--item {plain(one)}: must be LINE=QUANTITY, such as A=2", Code.USAGE)
        found.append({"line_id": line_id, "quantity": int(quantity[:12])})
    return found


def suggest_carrier(opened: Session, code: str) -> None:
    """Ask whether another carrier is meant. Only a note: a command on its way may bring the carrier
    before this one is decided.
    """
    with opened.engine.connect() as connection:
        close = carriers.close_to(connection, code)
    if close:
        note(f"carrier {plain(code)} is not known; did you mean {' or '.join(close)}?")


def new_carrier_of(given: str | None, url: str | None) -> dict[str, Any] | None:
    """The carrier in `CODE=NAME` and its tracking page."""
    if given is None:
        if url is not None:
            raise Failure("--new-carrier-url: needs --new-carrier", Code.USAGE)
        return None
    code, is_there, name = given.partition("=")
    if not is_there:
        raise Failure("--new-carrier: must be CODE=NAME, such as dhl=DHL", Code.USAGE)
    return {"code": code, "name": name} | ({"tracking_url": url} if url else {})


def _money(opened: Session, option: str, given: str, order_id: str) -> dict[str, Any]:
    found = _MONEY.fullmatch(given.strip())
    if not found:
        words = "none, full, or " if option == "refund" else ""
        raise Failure(f"--{option}: must be {words}like '12.50' or '12.50 EUR'", Code.USAGE)
    amount, currency = found[1], found[2]
    currency = currency.upper() if currency else _currency(opened, option, order_id)
    try:
        return {"amount_minor": to_minor(amount, currency), "currency": currency}
    except BadAmount as error:
        raise Failure(f"--{option}: {error}", Code.USAGE) from None


def _currency(opened: Session, option: str, order_id: str) -> str:
    with opened.engine.connect() as connection:
        found = reading.order_currency(connection, order_id)
    if found is None:
        hint = f"name the currency to send it all the same: --{option} '12.50 EUR'"
        raise Failure(f"order {plain(order_id)} is not here; {hint}", Code.NOT_FOUND)
    return found


def send(
    opened: Session,
    body: dict[str, Any],
    *,
    timeout_s: float | None,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    """Send one command, or say what it would do; ends with its exit code."""
    raise typer.Exit(
        send_each(opened, [body], timeout_s=timeout_s, dry_run=dry_run, as_json=as_json)
    )


def send_each(
    opened: Session,
    bodies: Sequence[dict[str, Any]],
    *,
    timeout_s: float | None,
    dry_run: bool,
    as_json: bool,
) -> Code:
    """Send commands one after the other, or say what they would do; the first exit code that is not
    0.
    """
    commands = [_command(body) for body in bodies]
    if dry_run:
        codes = _preview(opened, commands, as_json=as_json)
    else:
        codes = [_sent(opened, one, timeout_s=timeout_s, as_json=as_json) for one in commands]
    return next(filter(None, codes), Code.OK)


def _sent(opened: Session, command: Command, *, timeout_s: float | None, as_json: bool) -> Code:
    with opened.engine.begin() as connection:
        (receipt,) = accept(connection, [command])
    if receipt.answer == "accepted":
        opened.hint()
    if timeout_s is not None and receipt.state == "pending" and not as_json:
        note(_receipt(command, receipt))
    ended = None
    if receipt.state and (timeout_s is not None or receipt.state != "pending"):
        found = outcomes(opened.engine, [command.command_id], timeout_s=timeout_s or 0)
        ended = next(found, None)
    if as_json:
        print_json(_result(command, receipt, ended))
    elif ended:
        say(outcome(ended.state, ended.outcome, ended.dead_reason))
        if ended.state == "dead":
            note(f"look: fulfillment dead show {command.command_id}")
    elif timeout_s is not None and receipt.state:
        say(f"still waiting {_why(opened, command)}".rstrip())
        note(f"look again: fulfillment commands show {command.command_id}")
    else:
        say(_receipt(command, receipt))
    return _code(receipt, ended, waited=timeout_s is not None)


def _preview(opened: Session, commands: Sequence[Command], *, as_json: bool) -> list[Code]:
    found = preview(opened.engine, commands, grace_s=opened.settings.grace_s, rules=opened.rules)
    for one in found:
        if as_json:
            print_json(preview_view.document(one))
        else:
            say(preview_view.text(one))
    if not as_json:
        note("nothing was sent")
    return [preview_view.code(one) for one in found]


def _command(body: dict[str, Any]) -> Command:
    try:
        return parse(orjson.dumps({k: v for k, v in body.items() if v is not None and v != []}))
    except orjson.JSONEncodeError:
        raise Failure("the arguments must be valid UTF-8", Code.USAGE) from None


def _receipt(command: Command, receipt: Receipt) -> str:
    name = f"{command.kind} {command.order_id}, command {command.command_id}"
    match receipt.answer:
        case "id_reused":
            return f"refused: {name}: this id belongs to another command; nothing was changed"
        case "refused":
            return f"refused: {name}: {receipt.problem}"
        case answer:
            return f"{answer}: {name}"


def _result(command: Command, receipt: Receipt, ended: reading.Ended | None) -> dict[str, Any]:
    return {
        "command_id": command.command_id,
        "kind": command.kind,
        "order_id": command.order_id,
        "answer": receipt.answer,
        "state": ended.state if ended else receipt.state,
        "outcome": ended.outcome if ended else receipt.outcome,
        "dead_reason": ended.dead_reason if ended else None,
        "problem": receipt.problem,
    }


def _why(opened: Session, command: Command) -> str:
    with opened.engine.connect() as connection:
        found = reading.command(connection, command.command_id)
    return why(found) if found else ""


def _code(receipt: Receipt, ended: reading.Ended | None, *, waited: bool) -> Code:
    if receipt.answer in {"id_reused", "refused"}:
        return Code.REJECTED
    if not waited:
        return Code.OK
    match ended and ended.state:
        case None:
            return Code.WAITING
        case "applied":
            return Code.OK
        case "rejected":
            return Code.REJECTED
        case _:
            return Code.DEAD
