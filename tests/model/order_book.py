"""One order as plain numbers: what commands, and news of refunds, do to it. It shares nothing with
the worker but the JSON of commands and the names of reasons.

What is counted there is summed here: of the refunds that stand, of the parcels that were not called
back.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

RESERVING = ("open", "settled")
"""Parts whose money is taken from what is left; open is pending or unknown."""
DOES = {"ship": "shipped", "complete": "completed", "cancel": "cancelled", "void": "voided"}


class Refused(Exception):
    """A rule says no; the reason is the argument."""


@dataclass
class Refund:
    """Units and money by line, the shipping fee, and by payment its share and how that ended."""

    lines: dict[str, tuple[int, int]]
    shipping: int
    parts: dict[str, list[Any]]

    @property
    def stands(self) -> bool:
        return any(state in RESERVING for _, state in self.parts.values())


@dataclass
class OrderBook:
    lines: dict[str, tuple[str, int, int]]
    """Type, units, and what they cost together."""
    payments: dict[str, int]
    shipping: int
    total: int
    hold: str | None
    version: int = 1
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Units by what was done with them, and line."""
    parcels: dict[str, list[Any]] = field(default_factory=dict)
    """Units by line, the number, whether it was called back, whether it has a label."""
    refunds: dict[str, Refund] = field(default_factory=dict)

    def left(self, line: str) -> int:
        gone = sum(self.done[how, line] for how in ("shipped", "completed", "cancelled"))
        return self.lines[line][1] - gone

    def refunded(self, line: str) -> tuple[int, int]:
        """Units, and what was paid for them."""
        found = [one.lines.get(line, (0, 0)) for one in self.refunds.values() if one.stands]
        return sum(units for units, _ in found), sum(paid for _, paid in found)

    def shipping_refunded(self) -> int:
        return sum(one.shipping for one in self.refunds.values() if one.stands)

    def given(self, payment: str, *states: str) -> int:
        shares = [one.parts.get(payment, (0, "")) for one in self.refunds.values()]
        return sum(share for share, state in shares if state in states)

    def money_left(self, payment: str) -> int:
        return self.payments[payment] - self.given(payment, *RESERVING)

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: C901 - a branch for each kind
        """What the command came to: units by line, money by payment, whether it changed anything.

        Raises:
          Refused: A rule says no; nothing has changed.
        """
        kind, row_id = body["kind"], body["command_id"]
        if body.get("expected_version", self.version) != self.version:
            raise Refused("version_mismatch")
        if kind == "place":
            return {"changed": False, "items": {}, "refund": None}
        if kind == "update_tracking":
            parcel = self.parcel(body)
            is_new = parcel[1] != body["tracking_number"]
            parcel[1] = body["tracking_number"]
            self.version += is_new
            return {"changed": is_new, "items": {}, "refund": None}
        if kind in {"hold", "release"}:
            return self.held(None if kind == "release" else body["reason"])
        if kind in {"ship", "complete"} and self.hold is not None:
            raise Refused("on_hold")
        units: dict[str, int] = {}
        refund = None
        match kind:
            case "ship":
                units = self.take(body, "nothing_to_ship", lambda of: of == "physical")
                self.parcels[row_id] = [units, None, False, body.get("label") == "generate"]
            case "complete":
                units = self.take(body, "nothing_to_complete", lambda of: of != "physical")
            case "cancel":
                units, refund = self.cancel(body)
            case "refund":
                refund = self.grant(body, self.refund_lines(body), body.get("amount"))
            case "void":
                parcel = self.parcel(body)
                units, parcel[2] = parcel[0], True
        for line, quantity in units.items():
            self.done[DOES[kind], line] += quantity
            self.done["shipped", line] -= quantity * (kind == "void")
        if refund:
            self.refunds[row_id] = refund
        self.version += 1
        parts = {name: share for name, (share, _) in refund.parts.items()} if refund else None
        return {"changed": True, "items": units, "refund": parts}

    def held(self, reason: str | None) -> dict[str, Any]:
        if reason is None and self.hold is None:
            raise Refused("not_on_hold")
        is_new, self.hold = reason != self.hold, reason
        self.version += is_new
        return {"changed": is_new, "items": {}, "refund": None}

    def parcel(self, body: dict[str, Any]) -> list[Any]:
        """The one that is named, if it has not been called back."""
        parcel = self.parcels.get(body["shipment_id"])
        if parcel is None:
            raise Refused("shipment_not_found")
        if parcel[2]:
            raise Refused("already_voided")
        return parcel

    def take(
        self, body: dict[str, Any], nothing: str | None, fits: Callable[[str], bool]
    ) -> dict[str, int]:
        """Units by line: those that are named, or all that remain of fitting lines."""
        named = self.named(body)
        units = {}
        for line, (kind, _, _) in self.lines.items():
            asked = named.get(line, 0) if named else self.left(line) * fits(kind)
            if asked and not fits(kind):
                raise Refused("wrong_item_type")
            if asked > self.left(line) and body.get("policy") != "clamp":
                raise Refused("more_than_remains")
            units[line] = min(asked, self.left(line))
        units = {line: quantity for line, quantity in units.items() if quantity}
        if nothing and not units:
            raise Refused(nothing)
        return units

    def named(self, body: dict[str, Any]) -> dict[str, int]:
        named = {one["line_id"]: one["quantity"] for one in body.get("items", [])}
        if named.keys() - self.lines.keys():
            raise Refused("unknown_line")
        return named

    def cancel(self, body: dict[str, Any]) -> tuple[dict[str, int], Refund | None]:
        named, asked = self.named(body), body.get("refund", "none")
        money, fee = asked if isinstance(asked, dict) else None, "include_shipping" in body
        is_money_only = bool(named) and not any(named.values()) and (money is not None or fee)
        units = self.take(body, None if is_money_only else "nothing_to_cancel", lambda _: True)
        lines = self.priced(units) if asked == "full" else {}
        if not (money is not None or fee or any(paid for _, paid in lines.values())):
            return units, None
        try:
            return units, self.grant(body, lines, money)
        except Refused as refused:
            is_nothing_left = refused.args[0] in {"nothing_captured", "nothing_to_refund"}
            if is_money_only or body.get("policy") != "clamp" or not is_nothing_left:
                raise
            return units, None

    def refund_lines(self, body: dict[str, Any]) -> dict[str, tuple[int, int]]:
        named, is_clamp = self.named(body), body.get("policy") == "clamp"
        for line, units in named.items():
            if units + self.refunded(line)[0] > self.lines[line][1] and not is_clamp:
                raise Refused("units_already_refunded")
        return self.priced(named, everything=not is_clamp)

    def priced(
        self, units: dict[str, int], *, everything: bool = False
    ) -> dict[str, tuple[int, int]]:
        """The penny rule: all that the first so many units cost, less what was paid for them; of
        units that were not refunded before.
        """
        found = {}
        for line, (_, quantity, gross) in self.lines.items():
            before, paid = self.refunded(line)
            more = min(units.get(line, 0), quantity - before)
            cost = sum(gross // quantity + (k < gross % quantity) for k in range(before + more))
            if more:
                found[line] = (more, max(0, cost - paid))
        return found if everything else cut(found, sum(map(self.money_left, self.payments)))

    def grant(
        self, body: dict[str, Any], lines: dict[str, tuple[int, int]], money: dict[str, Any] | None
    ) -> Refund:
        """Lines, fee and amount, in this order, as far as there is money."""
        is_strict = body.get("policy") != "clamp"
        if money and money["currency"] != "EUR":
            raise Refused("other_currency")
        if not any(self.payments.values()):
            raise Refused("nothing_captured")
        fee = 0
        if "include_shipping" in body:
            fee = 0 if self.shipping_refunded() else self.shipping
            if not fee and is_strict:
                raise Refused("shipping_already_refunded" if self.shipping else "no_shipping_fee")
        wanted = sum(paid for _, paid in lines.values()) + fee
        wanted += money["amount_minor"] if money else 0
        rest = left = sum(map(self.money_left, self.payments))
        if wanted > left and is_strict:
            raise Refused("refund_too_large")
        rest = payable = min(wanted, left)
        if not payable:
            raise Refused("nothing_to_refund")
        lines = cut(lines, payable)
        fee = min(fee, payable - sum(paid for _, paid in lines.values()))
        parts = {}
        for payment in self.payments:
            if share := min(rest, self.money_left(payment)):
                parts[payment] = [share, "open"]
                rest -= share
        return Refund(lines, fee, parts)

    def end(self, refund_id: str, payment: str, news: str) -> bool:
        """News of a part, however late; whether it is any."""
        part = self.refunds[refund_id].parts[payment]
        before, part[1] = part[1], news
        if news == "settled" and not self.fits():
            part[1] = "overpaid"
        return part[1] != before

    def fits(self) -> bool:
        return (
            all(self.money_left(payment) >= 0 for payment in self.payments)
            and all(
                self.refunded(line)[0] <= quantity and self.refunded(line)[1] <= gross
                for line, (_, quantity, gross) in self.lines.items()
            )
            and self.shipping_refunded() <= self.shipping
        )

    def shown(self) -> dict[str, Any]:
        """The order as the tables should have it."""
        done = {line: [self.done[how, line] for how in DOES.values()] for line in self.lines}
        active = sum(quantity for _, quantity, _ in self.lines.values()) - sum(
            counts[2] for counts in done.values()
        )
        sent = sum(shipped + completed for shipped, completed, *_ in done.values())
        settled = sum(self.given(payment, "settled") for payment in self.payments)
        captured = sum(self.payments.values())
        paid = "unpaid" if captured == 0 else "partially_paid"
        if captured >= self.total:
            paid = "paid"
        if settled:
            paid = "refunded" if settled == captured else "partially_refunded"
        fulfilled = "fulfilled" if sent == active else "partially_fulfilled"
        if sent == 0:
            fulfilled = "unfulfilled" if active else "cancelled"
        return {
            "version": self.version,
            "hold": self.hold,
            "fulfillment": fulfilled,
            "payment": paid,
            "pending": any(self.given(payment, "open") for payment in self.payments),
            "shipping_refunded": self.shipping_refunded(),
            "lines": {line: [*counts, *self.refunded(line)] for line, counts in done.items()},
            "payments": {
                payment: [
                    self.given(payment, *RESERVING),
                    self.given(payment, "settled"),
                    self.given(payment, "overpaid"),
                ]
                for payment in self.payments
            },
            "parcels": {
                parcel: [units, number, is_voided]
                for parcel, (units, number, is_voided, _) in self.parcels.items()
            },
            "refunds": {
                refund_id: [dict(one.parts), one.shipping, {k: [*v] for k, v in one.lines.items()}]
                for refund_id, one in self.refunds.items()
            },
        }


def cut(lines: dict[str, tuple[int, int]], left: int) -> dict[str, tuple[int, int]]:
    """As far as the money goes, earlier lines first; units for which nothing is left are out."""
    found = {}
    for line, (units, due) in lines.items():
        if due == 0 or left:
            found[line] = (units, min(due, left))
            left -= min(due, left)
    return found
