"""What a form asks for: fields as they were typed, and the command that they make. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from anyascii import anyascii

from messages import Command, InvalidCommand, new_command_id, parse
from worker.carriers.registry import letters
from worker.console.forms import Form
from worker.console.order import Seen
from worker.orders.money import decimals, to_decimal, to_minor
from worker.store.reading import Document

Kind = Literal["ship", "complete", "cancel", "refund", "hold", "release", "void", "update_tracking"]
TAKES_UNITS: Final[frozenset[Kind]] = frozenset({"ship", "complete", "cancel", "refund"})
OF_A_PARCEL: Final[frozenset[Kind]] = frozenset({"void", "update_tracking"})
TELLS_NOBODY: Final[frozenset[Kind]] = frozenset({"hold", "release"})
NEW_CARRIER: Final = "+"
"""In the list of carriers; no carrier's code."""

_LINE: Final = "line"
_QUANTITY: Final = "quantity."
_FIELDS: Final = (
    "command_id",
    "version",
    "shipment",
    "carrier",
    "new_carrier",
    "new_carrier_url",
    "tracking_number",
    "service",
    "label",
    "refund",
    "amount",
    "shipping",
    "reason",
    "force",
    "notify",
)
_LONGEST_CODE: Final = 32


class Wrong(ValueError):
    """A field cannot be what it is: `code` is `number`, `amount`, of which `detail` is an example,
    `missing`, or `other`, of which it says more.
    """

    def __init__(self, field: str, code: str, detail: str = "") -> None:
        super().__init__(f"{field}: {code} {detail}")
        self.field = field
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Units:
    """Of a line: whether it is ticked, and how many."""

    is_chosen: bool
    quantity: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A form's content. Its command's id was made with it: sent twice, it is one command."""

    kind: Kind
    fields: Mapping[str, str]
    units: Mapping[str, Units]
    """By line; of each line that is offered."""

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "").strip()

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Names and values, as a form has them."""
        yield from self.fields.items()
        for line_id, units in self.units.items():
            yield f"{_QUANTITY}{line_id}", units.quantity
            if units.is_chosen:
                yield _LINE, line_id


def fresh(kind: Kind, seen: Seen, shipment: Document | None) -> Draft:
    """The form as it is first shown: all that can be shipped, completed or cancelled is chosen."""
    fields = {"command_id": str(new_command_id()), "version": str(seen.explained.version)}
    if shipment:
        fields["shipment"] = shipment["shipment_id"]
    if kind == "update_tracking" and shipment:
        fields["carrier"] = shipment["carrier"] or ""
        fields["tracking_number"] = shipment["tracking_number"] or ""
    elif kind not in TELLS_NOBODY:
        fields["notify"] = "true"
    if kind == "cancel":
        fields["refund"] = "full"
    units = {}
    if kind in TAKES_UNITS:
        for line in seen.order["lines"]:
            possible = seen.of_line(line["line_id"], kind)
            if possible.units:
                units[line["line_id"]] = Units(kind != "refund", str(possible.units))
    return Draft(kind, fields, units)


def of_form(kind: Kind, form: Form) -> Draft:
    """What was sent."""
    chosen = set(form.getlist(_LINE))
    return Draft(
        kind,
        {name: form[name] for name in _FIELDS if name in form},
        {
            line_id: Units(line_id in chosen, quantity)
            for name, quantity in form.items()
            if (line_id := name.removeprefix(_QUANTITY)) != name
        },
    )


def command_of(
    draft: Draft, order: Document, carriers: Mapping[str, str], *, issued_by: str
) -> Command:
    """The command that the draft makes; `carriers` are names by code.

    Raises:
      Wrong: It makes none.
    """
    body = {
        "kind": draft.kind,
        "command_id": draft["command_id"],
        "order_id": order["order_id"],
        "expected_version": _whole(draft["version"], "version"),
        "issued_by": issued_by,
        "notify_customer": draft.kind in TELLS_NOBODY or draft["notify"] == "true",
        **_own(draft, order["currency"], carriers),
    }
    given = {name: value for name, value in body.items() if value not in (None, "")}
    try:
        return parse(orjson.dumps(given))
    except InvalidCommand as error:
        field, detail = error.problems[0]
        raise Wrong(field.partition(".")[0], "other", detail) from None


def _own(draft: Draft, currency: str, carriers: Mapping[str, str]) -> dict[str, Any]:
    """What only this kind of command has."""
    match draft.kind:
        case "ship":
            return {
                "items": _items(draft),
                **_carrier(draft, carriers),
                "tracking_number": draft["tracking_number"],
                "service": draft["service"],
                "label": "generate" if draft["label"] == "true" else None,
            }
        case "complete":
            return {"items": _items(draft)}
        case "cancel":
            refund = draft["refund"]
            if refund == "amount":
                return {
                    "items": _items(draft),
                    "refund": _money(draft, currency),
                    **_paid_back(draft),
                }
            return {"items": _items(draft), "refund": refund, **_paid_back(draft)}
        case "refund":
            return {
                "items": [one for one in _items(draft, is_needed=False) if one["quantity"]],
                "amount": _money(draft, currency) if draft["amount"] else None,
                **_paid_back(draft),
            }
        case "hold":
            return {"reason": _needed(draft, "reason")}
        case "release":
            return {}
        case "void":
            return {
                "shipment_id": draft["shipment"],
                "force": draft["force"] == "true",
                "reason": draft["reason"],
            }
        case "update_tracking":
            return {
                "shipment_id": draft["shipment"],
                **_carrier(draft, carriers),
                "tracking_number": draft["tracking_number"],
            }


def _items(draft: Draft, *, is_needed: bool = True) -> list[dict[str, Any]]:
    """Every line that was offered, with 0 for what is left: a list without any would mean all."""
    if is_needed and not draft.units:
        raise Wrong("items", "missing")
    return [
        {
            "line_id": line_id,
            "quantity": _whole(units.quantity, "items") if units.is_chosen else 0,
        }
        for line_id, units in draft.units.items()
    ]


def _carrier(draft: Draft, carriers: Mapping[str, str]) -> dict[str, Any]:
    if draft["carrier"] != NEW_CARRIER:
        return {"carrier": draft["carrier"]}
    name = _needed(draft, "new_carrier")
    url = draft["new_carrier_url"]
    added = {"code": code_of(name, carriers), "name": name} | ({"tracking_url": url} if url else {})
    return {"new_carrier": added}


def code_of(name: str, carriers: Mapping[str, str]) -> str:
    """A code for a new carrier that is no other carrier's; one that is known by this name keeps
    its own.

    Raises:
      Wrong: Nothing of the name can be in a code.
    """
    base = re.sub(r"[^a-z0-9]+", "-", anyascii(name).lower()).strip("-")[: _LONGEST_CODE - 4]
    if not base:
        raise Wrong("new_carrier", "missing")
    code, n = base, 1
    while code in carriers and letters(carriers[code]) != letters(name):
        n += 1
        code = f"{base}-{n}"
    return code


def _paid_back(draft: Draft) -> dict[str, Any]:
    return {"include_shipping": draft["shipping"] == "true", "reason": draft["reason"]}


def _money(draft: Draft, currency: str) -> dict[str, Any]:
    """With a point or a comma before the decimals, of which there are no more than the currency
    has: so nobody's thousands are taken for them.
    """
    digits = decimals(currency)
    form = r"([0-9]{1,16})" + (rf"(?:[.,]([0-9]{{1,{digits}}}))?" if digits else "()")
    found = re.fullmatch(form, draft["amount"])
    if found is None:
        raise Wrong("amount", "amount", to_decimal(1250, currency))
    return {
        "amount_minor": to_minor(f"{found[1]}.{found[2] or 0}", currency),
        "currency": currency,
    }


def _needed(draft: Draft, name: str) -> str:
    if not draft[name]:
        raise Wrong(name, "missing")
    return draft[name]


def _whole(text: str, field: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text.strip()):
        raise Wrong(field, "number")
    return int(text)


def shipment_of(draft: Draft) -> UUID | None:
    """The parcel that it is about."""
    try:
        return UUID(draft["shipment"])
    except ValueError:
        return None
