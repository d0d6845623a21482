"""A Square `Order` as a `place` command, with everything that is done upstream imported as done.

What was decided where Square leaves a choice:

- **Net.** Square's discount is on the price as it is marked and a line's `total_money` holds all
  of its tax, whether added or included. So net = total + discount - tax, without tax either way.
  A line whose price, discount and taxes do not come to its total is refused, and so are
  `total_tax_money` and `total_discount_money` that differ from the sum of the lines'.
- **Fees.** A service charge is the shipping fee if `metadata.fee` is `shipping` or its name has a
  word of `SHIPPING_WORDS` in it, else a service fee. A line item is the shipping fee if its
  `metadata.fee` is `shipping`, or if it is a CUSTOM_AMOUNT so named; it is no line then. An
  apportioned charge is in its lines' totals already and is not counted again.
- **Item type.** GIFT_CARD -> gift_card; in a DIGITAL fulfillment -> digital; else
  `metadata.item_type` of the line; else physical.
- **Done.** Only COMPLETED fulfillments count, of every type: their physical units become a
  shipment, the others are completed. The state COMPLETED of an *order* says paid and closed, so
  what no completed fulfillment holds stays to be done. In a CANCELED order all of that is
  cancelled.
- **Returns.** Units returned are taken from those handed over first; what is returned beyond them
  is cancelled. A return of another order is refused; import it with that one.
- **Refunds.** COMPLETED, APPROVED and also PENDING ones count as done: money that is on its way
  must not be paid twice. A pending one says so in its reason. REJECTED, FAILED and CANCELED ones
  paid nothing. Square does not say which refund pays for which return: a return takes the first
  refund of exactly its amount, else the first ones until it is covered. What was not paid (a
  restocking fee, a failed refund) is not counted as refunded, later lines first.
- **Payments.** A CARD tender must be CAPTURED; others count unless they say that they are not. A
  payment goes by `payment_id`, for that is what a refund is asked of, else by the tender's `id`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from babel.numbers import list_currencies

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Item,
    OrderLine,
    Payment,
    Place,
    PlacedOrder,
)
from messages.order import ItemType
from worker.intake.ids import is_id, place
from worker.intake.node import Node, make
from worker.intake.people import address_of, country_of, locale_of
from worker.intake.refusal import OrderRefused, Why
from worker.orders.model import RefundLine
from worker.orders.refunds import cut

SHIPPING_WORDS: Final = ("shipping", "delivery", "postage", "livraison", "frais de port")
NOT_CAPTURED: Final = frozenset({"AUTHORIZED", "PENDING", "VOIDED", "FAILED"})
PAID_BACK: Final = frozenset({"COMPLETED", "APPROVED", "PENDING"})
NOT_PAID_BACK: Final = frozenset({"REJECTED", "FAILED", "CANCELED"})
STATES: Final = frozenset({"OPEN", "COMPLETED", "CANCELED"})


def to_place(order: Mapping[str, Any]) -> Place:
    """The command that places this Square order.

    Raises:
      OrderRefused: It is a draft, lacks an id or totals, does not tie, or holds what our fields
        forbid; the message says where and by how much.
    """
    root = Node(order)
    order_id = _order_id(root)
    if root.text("state") == "DRAFT":
        raise OrderRefused(Why.DRAFT, "is a draft: it is not ordered yet")
    if (root.text("state") or "OPEN") not in STATES:
        raise OrderRefused(Why.INVALID, "state: must be OPEN, COMPLETED, CANCELED or DRAFT")
    items = root.nodes("line_items")
    if not items:
        raise OrderRefused(Why.NO_LINES, _no_lines(root))
    root = Node(order, currency=_currency(root))
    return place(order_id, _Reading(root).placed(order_id))


def _order_id(root: Node) -> str:
    order_id = root.text("id")
    if order_id is None:
        raise OrderRefused(Why.NO_ID, "id: is missing; only an order that was created has one")
    if not is_id(order_id):
        raise OrderRefused(Why.INVALID, "id: must be letters, digits and ._:-, at most 64")
    return order_id


def _no_lines(root: Node) -> str:
    for one in root.nodes("returns"):
        source = one.text("source_order_id")
        if is_id(source):
            return f"line_items: there are none; it is a return of order {source}"
    return "line_items: there are none"


def _currency(root: Node) -> str:
    if not root.has("total_money"):
        raise OrderRefused(Why.NO_TOTAL, "total_money: is missing")
    currency = root.node("total_money").text("currency")
    if currency not in list_currencies():
        raise OrderRefused(Why.INVALID, "total_money.currency: must be an ISO 4217 code")
    return currency


@dataclass(frozen=True, slots=True)
class _Amounts:
    """What a line item or a charge costs; total = net - discount + tax."""

    total: int
    discount: int
    tax: int

    @property
    def net(self) -> int:
        return self.total + self.discount - self.tax


class _Reading:
    """One order while it is read: what several parts of it need to know of each other."""

    def __init__(self, root: Node) -> None:
        self.root = root
        items = root.nodes("line_items")
        ids = _ids(items, "uid")
        self.lines = {uid: item for uid, item in ids.items() if not _is_shipping_line(item)}
        self.shipping_lines = {uid: item for uid, item in ids.items() if uid not in self.lines}
        if not self.lines:
            raise OrderRefused(Why.NO_LINES, "line_items: there is nothing but a shipping fee")
        self.quantities = {uid: item.quantity() for uid, item in self.lines.items()}
        self.charges = {
            uid: charge
            for uid, charge in _ids(root.nodes("service_charges"), "uid").items()
            if not _is_apportioned(charge)
        }
        self.inclusive = {
            tax.text("uid") for tax in root.nodes("taxes") if tax.text("type") == "INCLUSIVE"
        }
        self.amounts = {uid: self._line_amounts(item) for uid, item in ids.items()}
        self.charge_amounts = {uid: _charge_amounts(one) for uid, one in self.charges.items()}
        self.fulfillments = root.nodes("fulfillments")
        self.covered = [self._covered(one) for one in self.fulfillments]
        self.types = {uid: self._item_type(uid, item) for uid, item in self.lines.items()}
        self.captured = {
            payment_id: tender
            for payment_id, tender in _payments(root.nodes("tenders")).items()
            if _is_captured(tender)
        }

    def placed(self, order_id: str) -> PlacedOrder:
        self._check_sums()
        root, number = self.root, self.root.text("reference_id")
        completed, shipments = self._done()
        returned = self._returned()
        recipient, ship_to = self._recipient()
        return make(
            PlacedOrder,
            {
                "total_minor": "total_money.amount",
                "lines": "line_items",
                "fees": "service_charges",
                "payments": "tenders",
                "number": "reference_id",
                "shipments": "fulfillments",
                "upstream_version": "version",
            },
            currency=root.currency,
            total_minor=root.money("total_money"),
            lines=tuple(
                self._line(uid, item, shipments, completed, returned)
                for uid, item in self.lines.items()
            ),
            fees=self._fees(),
            payments=tuple(
                make(
                    Payment,
                    {
                        "payment_id": tender.at("id"),
                        "captured_minor": tender.at("amount_money.amount"),
                        "method": tender.at("type"),
                    },
                    payment_id=payment_id,
                    captured_minor=_required(tender, "amount_money"),
                    method=(tender.text("type") or "").lower() or None,
                    captured_at=tender.moment("created_at"),
                )
                for payment_id, tender in self.captured.items()
            ),
            number=None if number == order_id else number,
            placed_at=root.moment("created_at"),
            customer=self._customer(recipient),
            ship_to=ship_to,
            shipments=shipments,
            refunds=self._refunds(order_id),
            upstream_version=self._version(),
            updated_at=root.moment("updated_at"),
        )

    def _version(self) -> int | None:
        version = self.root.value.get("version")
        if version is not None and type(version) is not int:  # True is an int, too
            raise OrderRefused(Why.INVALID, "version: must be a whole number")
        return version

    # Amounts

    def _line_amounts(self, item: Node) -> _Amounts:
        amounts = _Amounts(
            total=_required(item, "total_money"),
            discount=item.money("total_discount_money") or 0,
            tax=item.money("total_tax_money") or 0,
        )
        price = item.money("gross_sales_money")
        if price is not None:
            base = price - amounts.discount + (item.money("total_service_charge_money") or 0)
            added = base + amounts.tax - self._included_tax(item, amounts.tax)
            # In the US, Canada and Japan Square takes included tax out of gross sales, elsewhere
            # it leaves it inside: both come to the same total, and both are right.
            if amounts.total not in {added, base + amounts.tax}:
                raise OrderRefused(
                    Why.TOTAL_MISMATCH,
                    f"{item.path}: price, discount and tax come to {added}, the total says "
                    f"{amounts.total}: a difference of {added - amounts.total} minor units of "
                    f"{item.currency}",
                )
        return amounts

    def _included_tax(self, item: Node, tax: int) -> int:
        applied = item.nodes("applied_taxes")
        if not applied:
            return tax  # not said which kind; either is accepted
        return sum(
            one.money("applied_money") or 0
            for one in applied
            if one.text("tax_uid") in self.inclusive
        )

    def _check_sums(self) -> None:
        every = (*self.amounts.values(), *self.charge_amounts.values())
        sums = {
            "total_tax_money": sum(one.tax for one in every),
            "total_discount_money": sum(one.discount for one in every),
        }
        for key, found in sums.items():
            said = self.root.money(key)
            if said is not None and said != found:
                raise OrderRefused(
                    Why.TOTAL_MISMATCH,
                    f"{key}: lines and charges sum to {found}, it says {said}: a difference of "
                    f"{found - said} minor units of {self.root.currency}",
                )

    def _fees(self) -> tuple[Fee, ...]:
        fees = [
            _fee("shipping", item, self.amounts[uid]) for uid, item in self.shipping_lines.items()
        ]
        fees += [
            _fee(
                "shipping" if _names_shipping(charge) else "service",
                charge,
                self.charge_amounts[uid],
            )
            for uid, charge in self.charges.items()
        ]
        if tip := self.root.money("total_tip_money"):
            fees.append(make(Fee, {"net_minor": "total_tip_money"}, kind="tip", net_minor=tip))
        rounding = self.root.node("rounding_adjustment")
        if minor := rounding.money("amount_money"):
            names = {"net_minor": rounding.at("amount_money"), "name": rounding.at("name")}
            name = rounding.text("name")
            fees.append(make(Fee, names, kind="rounding", name=name, net_minor=minor))
        return tuple(fees)

    # Lines and what is done with them

    def _item_type(self, uid: str, item: Node) -> str:
        if item.text("item_type") == "GIFT_CARD":
            return "gift_card"
        if any(
            one.text("type") == "DIGITAL" and units[uid]
            for one, units in zip(self.fulfillments, self.covered, strict=True)
        ):
            return "digital"
        metadata = item.node("metadata")
        item_type = metadata.text("item_type") or "physical"
        if item_type not in get_args(ItemType):
            allowed = ", ".join(get_args(ItemType))
            raise OrderRefused(Why.INVALID, f"{metadata.at('item_type')}: must be one of {allowed}")
        return item_type

    def _line(
        self,
        uid: str,
        item: Node,
        shipments: Sequence[DoneShipment],
        completed: Counter[str],
        returned: Counter[str],
    ) -> OrderLine:
        quantity, amounts = self.quantities[uid], self.amounts[uid]
        shipped = sum(
            one.quantity for shipment in shipments for one in shipment.items if one.line_id == uid
        )
        done = shipped + completed[uid]
        canceled = self.root.text("state") == "CANCELED"
        cancelled = quantity - done if canceled else returned[uid] - done
        return make(
            OrderLine,
            {
                "line_id": item.at("uid"),
                "name": item.at("name"),
                "sku": item.at("metadata.sku"),
                "quantity": item.at("quantity"),
                "net_minor": item.at("total_money"),
                "discount_minor": item.at("total_discount_money"),
                "tax_minor": item.at("total_tax_money"),
                "completed": "fulfillments",
            },
            line_id=uid,
            name=_line_name(item),
            sku=item.node("metadata").text("sku"),
            item_type=self.types[uid],
            quantity=quantity,
            net_minor=amounts.net,
            discount_minor=amounts.discount,
            tax_minor=amounts.tax,
            completed=completed[uid],
            cancelled=max(0, cancelled),
        )

    def _covered(self, fulfillment: Node) -> Counter[str]:
        """Units of each line that a fulfillment is about."""
        entries = fulfillment.nodes("entries")
        if fulfillment.text("line_item_application") != "ENTRY_LIST" and not entries:
            return Counter(self.quantities)
        units: Counter[str] = Counter()
        for entry in entries:
            uid = entry.text("line_item_uid")
            if uid in self.shipping_lines:
                continue
            if uid not in self.lines:
                raise OrderRefused(Why.INVALID, f"{entry.at('line_item_uid')}: names no line item")
            units[uid] += entry.quantity()
        return units

    def _done(self) -> tuple[Counter[str], tuple[DoneShipment, ...]]:
        """Completed units of lines that are not physical, and the parcels that have left."""
        completed: Counter[str] = Counter()
        shipments = []
        for fulfillment, units in zip(self.fulfillments, self.covered, strict=True):
            if fulfillment.text("state") != "COMPLETED":
                continue
            parcel = {}
            for uid, quantity in units.items():
                if self.types[uid] == "physical":
                    parcel[uid] = quantity
                else:
                    completed[uid] += quantity
            if parcel := {uid: quantity for uid, quantity in parcel.items() if quantity}:
                shipments.append(_shipment(fulfillment, parcel))
        return completed, tuple(shipments)

    def _returned(self) -> Counter[str]:
        units: Counter[str] = Counter()
        for one in self.root.nodes("returns"):
            for item in one.nodes("return_line_items"):
                uid = item.text("source_line_item_uid")
                if uid in self.lines:
                    units[uid] += item.quantity()
        return units

    # Refunds

    def _refunds(self, order_id: str) -> tuple[DoneRefund, ...]:
        open_refunds = [one for one in self.root.nodes("refunds") if self._is_paid_back(one)]
        done = []
        for one in self.root.nodes("returns"):
            source = one.text("source_order_id")
            if source not in {None, order_id}:
                named = f"{source}, another order" if is_id(source) else "another order"
                raise OrderRefused(Why.OTHER_ORDER, f"{one.path}: is a return of {named}")
            lines, shipping = self._return_lines(one)
            amount = one.node("return_amounts").money("total_money")
            if amount is None:
                amount = sum(line.gross_minor for line in lines) + shipping
            taken = _pays_for(amount, open_refunds)
            if taken:
                done.append(self._refund(taken, lines, shipping))
            open_refunds = [refund for refund in open_refunds if refund not in taken]
        done += [self._refund([refund], [], 0) for refund in open_refunds]
        return tuple(done)

    def _is_paid_back(self, refund: Node) -> bool:
        status = refund.text("status")
        if status not in PAID_BACK | NOT_PAID_BACK:
            allowed = ", ".join(sorted(PAID_BACK | NOT_PAID_BACK))
            raise OrderRefused(Why.INVALID, f"{refund.at('status')}: must be one of {allowed}")
        return status in PAID_BACK and _required(refund, "amount_money") != 0

    def _return_lines(self, one: Node) -> tuple[list[RefundLine], int]:
        """What a return gives back by line, and of the shipping fee."""
        lines: dict[str, RefundLine] = {}
        shipping = 0
        for item in one.nodes("return_line_items"):
            uid = item.text("source_line_item_uid")
            gross = _required(item, "total_money")
            if uid in self.shipping_lines:
                shipping += gross
            elif uid in self.lines:
                so_far = lines.get(uid, RefundLine(uid, 0, 0, 0, 0))
                lines[uid] = RefundLine(
                    line_id=uid,
                    quantity=so_far.quantity + item.quantity(),
                    gross_minor=so_far.gross_minor + gross,
                    tax_minor=so_far.tax_minor + (item.money("total_tax_money") or 0),
                    discount_minor=so_far.discount_minor
                    + (item.money("total_discount_money") or 0),
                )
            elif uid is not None:  # without a source it is an amount by itself
                message = f"{item.at('source_line_item_uid')}: names no line item"
                raise OrderRefused(Why.INVALID, message)
        for charge in one.nodes("return_service_charges"):
            source = self.charges.get(charge.text("source_service_charge_uid") or "")
            if source is not None and _names_shipping(source):
                shipping += _required(charge, "total_money")
        return list(lines.values()), shipping

    def _refund(self, refunds: list[Node], lines: list[RefundLine], shipping: int) -> DoneRefund:
        parts: Counter[str] = Counter()
        for refund in refunds:
            parts[self._payment_of(refund)] += _required(refund, "amount_money")
        left = sum(parts.values())
        items = []
        for line in lines:
            paid = cut(line, left)
            left -= paid.gross_minor
            items.append(
                make(
                    DoneRefundItem,
                    {"gross_minor": "returns", "quantity": "returns"},
                    line_id=line.line_id,
                    quantity=line.quantity,
                    gross_minor=paid.gross_minor,
                    tax_minor=paid.tax_minor,
                    discount_minor=paid.discount_minor,
                )
            )
        first = refunds[0]
        return make(
            DoneRefund,
            {"reason": first.at("reason"), "shipping_minor": "returns"},
            parts=tuple(
                make(
                    DoneRefundPart,
                    {"amount_minor": first.at("amount_money.amount")},
                    payment_id=payment_id,
                    amount_minor=amount,
                )
                for payment_id, amount in parts.items()
            ),
            items=tuple(items),
            shipping_minor=min(shipping, left),
            reason=_reason(refunds),
            refunded_at=first.moment("created_at"),
        )

    def _payment_of(self, refund: Node) -> str:
        wanted = {refund.text("tender_id"), refund.text("payment_id")} - {None}
        if not wanted and len(self.captured) == 1:
            return next(iter(self.captured))
        for payment_id, tender in self.captured.items():
            if wanted & {payment_id, tender.text("id")}:
                return payment_id
        raise OrderRefused(
            Why.INVALID, f"{refund.at('tender_id')}: names no captured tender of the order"
        )

    # People and places

    def _recipient(self) -> tuple[Node, Address | None]:
        """The first recipient, and the address of the first that parcels go to."""
        recipients = [
            (one.text("type"), _details(one).node("recipient")) for one in self.fulfillments
        ]
        recipients = [(kind, recipient) for kind, recipient in recipients if recipient.value]
        first = recipients[0][1] if recipients else Node({}, "recipient")
        for kind, recipient in recipients:
            if kind in {"SHIPMENT", "DELIVERY"} and recipient.node("address").value:
                return first, address_of(recipient)
        return first, None

    def _customer(self, recipient: Node) -> Customer:
        metadata = self.root.node("metadata")
        return make(
            Customer,
            {
                "name": recipient.at("display_name"),
                "email": recipient.at("email_address"),
                "phone": recipient.at("phone_number"),
                "locale": metadata.at("locale"),
            },
            name=recipient.text("display_name"),
            email=recipient.text("email_address"),
            phone=recipient.text("phone_number"),
            locale=metadata.text("locale") or locale_of(country_of(recipient.node("address"))),
        )


def _required(node: Node, key: str) -> int:
    minor = node.money(key)
    if minor is None:
        raise OrderRefused(Why.NO_TOTAL, f"{node.at(key)}: is missing")
    return minor


def _ids(nodes: Sequence[Node], *keys: str) -> dict[str, Node]:
    """Nodes by their id; one without an id gets its position, which no other has."""
    given = [next((text for key in keys if (text := node.text(key))), None) for node in nodes]
    found: dict[str, Node] = {}
    for position, (node, one) in enumerate(zip(nodes, given, strict=True), start=1):
        if one in found:
            raise OrderRefused(Why.INVALID, f"{node.at(keys[-1])}: is there more than once")
        uid = one or str(position)
        while one is None and (uid in given or uid in found):
            uid += ".1"
        found[uid] = node
    return found


def _is_shipping_line(item: Node) -> bool:
    if item.node("metadata").text("fee") == "shipping":
        return True
    return item.text("item_type") == "CUSTOM_AMOUNT" and _names_shipping(item)


def _names_shipping(node: Node) -> bool:
    if node.node("metadata").text("fee") == "shipping":
        return True
    name = (node.text("name") or "").casefold()
    return any(word in name for word in SHIPPING_WORDS)


def _is_apportioned(charge: Node) -> bool:
    phase = charge.text("calculation_phase") or ""
    return charge.text("treatment_type") == "APPORTIONED_TREATMENT" or phase.startswith(
        "APPORTIONED_"
    )


def _charge_amounts(charge: Node) -> _Amounts:
    return _Amounts(
        total=_required(charge, "total_money"),
        discount=0,
        tax=charge.money("total_tax_money") or 0,
    )


def _fee(kind: str, node: Node, amounts: _Amounts) -> Fee:
    return make(
        Fee,
        {
            "name": node.at("name"),
            "net_minor": node.at("total_money"),
            "discount_minor": node.at("total_discount_money"),
            "tax_minor": node.at("total_tax_money"),
        },
        kind=kind,
        name=node.text("name"),
        net_minor=amounts.net,
        discount_minor=amounts.discount,
        tax_minor=amounts.tax,
    )


def _line_name(item: Node) -> str:
    """The item with its variation, for whoever picks it must not guess the size."""
    name, variation = item.text("name"), item.text("variation_name")
    if name is None:
        name, variation = variation, None
    if name is None:
        return "Custom amount" if item.text("item_type") == "CUSTOM_AMOUNT" else "Item"
    return name if variation in {None, "Regular", name} else f"{name} ({variation})"


def _shipment(fulfillment: Node, parcel: Mapping[str, int]) -> DoneShipment:
    details = _details(fulfillment)
    moments = ("shipped_at", "delivered_at", "completed_at", "picked_up_at")
    return make(
        DoneShipment,
        {
            "items": fulfillment.at("entries"),
            "carrier": details.at("carrier"),
            "tracking_number": details.at("tracking_number"),
            "tracking_url": details.at("tracking_url"),
        },
        items=tuple(Item(line_id=uid, quantity=quantity) for uid, quantity in parcel.items()),
        carrier=details.text("carrier") or details.text("courier_provider_name"),
        tracking_number=details.text("tracking_number"),
        tracking_url=details.text("tracking_url"),
        shipped_at=next((at for key in moments if (at := details.moment(key))), None),
    )


def _details(fulfillment: Node) -> Node:
    """`shipment_details`, `pickup_details`, `delivery_details`, ..."""
    return fulfillment.node(f"{(fulfillment.text('type') or '').lower()}_details")


def _payments(tenders: Sequence[Node]) -> dict[str, Node]:
    return _ids(tenders, "payment_id", "id")


def _is_captured(tender: Node) -> bool:
    if tender.money("amount_money") == 0:
        return False
    if tender.text("type") == "CARD":
        return tender.node("card_details").text("status") == "CAPTURED"
    details = [tender.node(key) for key in tender.value if key.endswith("_details")]
    return not any(one.text("status") in NOT_CAPTURED for one in details)


def _pays_for(amount: int, refunds: Sequence[Node]) -> list[Node]:
    """The refunds that pay for a return of this amount, as far as there are any."""
    for refund in refunds:
        if refund.money("amount_money") == amount:
            return [refund]
    taken: list[Node] = []
    for refund in refunds:
        if amount <= 0:
            break
        taken.append(refund)
        amount -= _required(refund, "amount_money")
    return taken


def _reason(refunds: Sequence[Node]) -> str | None:
    """The reasons given, each once, and that a refund is still pending upstream."""
    reasons = [reason for refund in refunds if (reason := refund.text("reason"))]
    if any(refund.text("status") == "PENDING" for refund in refunds):
        reasons.insert(0, "pending at Square")
    return "; ".join(dict.fromkeys(reasons)) or None
