"""A Shopify order (REST Admin API) as a `place` command, with what is done upstream as done.

What was decided where Shopify leaves a choice:

- **Money** is the shop's (`currency`). Amounts are read from `price`, else from
  `price_set.shop_money`. A transaction in another currency is refused: ask Shopify for
  `in_shop_currency`.
- **Discounts.** `discount_allocations` of a line or a shipping line, else the line's
  `total_discount`, else `discounted_price` of the shipping line. What remains of
  `total_discounts` is the order's own. Where the lines alone come to `total_discounts`, those of
  the shipping lines stand beside it.
- **Taxes.** `tax_lines` of lines, shipping lines and duties. They must sum to `total_tax`; only
  where no line has any is the rest the order's tax. With `taxes_included` all of it is taken out
  of the prices first, an order's own from the lines before the shipping fee.
- **Fees.** Shipping lines that were not removed; a line with `tip_payment_gateway` is a tip and no
  line, and so is what `total_tip_received` names beyond such lines; duties (unless
  `duties_included`) and additional fees are service fees. Shopify keeps the rounding of cash
  outside the total, so the total here is `total_price` with it.
- **Item type.** `gift_card` -> gift_card; `requires_shipping` false -> digital; else physical.
- **Payments.** `transactions`, where they are merged into the order: each successful sale or
  capture is a payment of its own, less its `change`; a successful void takes it back; an
  authorization is none. Without them `financial_status` tells: all or nothing, or the total less
  `total_outstanding`. That one payment has the id that the refunds name as parent, else the
  order's.
- **Done.** Fulfillments with status `success` only, each one parcel with its first tracking
  number. With `cancelled_at` what remains is cancelled.
- **Refunds.** Units with restock type `cancel` are cancelled. Of the others those beyond what was
  handed over are, too: Shopify does not let refunded units be fulfilled. Money is what the
  transactions say. Pending ones count: money that is on its way must not be paid twice, and the
  reason says so. What lines and shipping were paid less is taken from the later lines first, if a
  `refund_discrepancy` explains it; else the order is refused. What was paid beyond them is an
  amount. A refund without a transaction paid nothing.
- **Refunded, but how.** A status `refunded` without refunds is one refund over all of it;
  `partially_refunded` without refunds is refused, for it does not say how much.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

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
from worker.intake.ids import is_id, place
from worker.intake.node import Node, make
from worker.intake.people import address_by, locale_of
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify_money import Cost, captured_by_status, mismatch, required, take_out
from worker.orders.model import RefundLine
from worker.orders.refunds import cut

ADDRESS: Final = {
    "name": "name",
    "company": "company",
    "line_1": "address1",
    "line_2": "address2",
    "city": "city",
    "district": "province",
    "district_code": "province_code",
    "postal_code": "zip",
    "country": "country_code",
    "phone": "phone",
}
KINDS: Final = frozenset(
    {
        "authorization",
        "capture",
        "change",
        "emv_authorization",
        "refund",
        "sale",
        "suggested_refund",
        "void",
    }
)
STATUSES: Final = frozenset(
    {"awaiting_response", "error", "failure", "pending", "success", "unknown"}
)
PAID_BACK: Final = frozenset({"pending", "success"})


def is_shopify(order: Mapping[str, Any]) -> bool:
    """Whether it is Shopify's and not Square's, whose ids are text and whose money is objects."""
    if "total_money" in order:
        return False
    lines = order.get("line_items")
    has_prices = isinstance(lines, list) and any(
        isinstance(line, Mapping) and "price" in line for line in lines
    )
    return "total_price" in order or type(order.get("id")) is int or has_prices


def shopify_to_place(order: Mapping[str, Any]) -> Place:
    """The command that places this Shopify order.

    Raises:
      OrderRefused: It is a draft, lacks an id or totals, does not tie, or holds what our fields
        forbid or we cannot carry exactly; the message says where and by how much.
    """
    root = Node(order)
    order_id = root.id("id")
    if order_id is None:
        raise OrderRefused(Why.NO_ID, "id: is missing; only an order that was created has one")
    if not is_id(order_id):
        raise OrderRefused(Why.INVALID, "id: must be letters, digits and ._:-, at most 64")
    if "invoice_url" in order:
        raise OrderRefused(Why.DRAFT, "is a draft: it is not ordered yet")
    if not root.nodes("line_items"):
        raise OrderRefused(Why.NO_LINES, "line_items: there are none")
    currency = root.text("currency")
    if currency not in list_currencies():
        raise OrderRefused(Why.INVALID, "currency: must be an ISO 4217 code")
    return place(order_id, _Reading(Node(order, currency=currency), order_id).placed())


@dataclass(frozen=True, slots=True)
class _Captured:
    """A payment and the transaction that tells of it, if one does."""

    amount_minor: int
    node: Node
    method: str | None = None


class _Reading:
    """One order while it is read: what several parts of it need to know of each other."""

    def __init__(self, root: Node, order_id: str) -> None:
        self.root = root
        self.order_id = order_id
        self.is_included = bool(root.flag("taxes_included"))
        items = _ids(root.nodes("line_items"))
        self.tips = {
            uid: item for uid, item in items.items() if "tip_payment_gateway" in item.value
        }
        self.lines = {uid: item for uid, item in items.items() if uid not in self.tips}
        if not self.lines:
            raise OrderRefused(Why.NO_LINES, "line_items: there is nothing but a tip")
        self.quantities = {uid: item.quantity() for uid, item in items.items()}
        self.shipping_lines = [
            one for one in root.nodes("shipping_lines") if not one.flag("is_removed")
        ]
        self.costs = {uid: self._line_cost(uid, item) for uid, item in items.items()}
        self.shipping_costs = [self._shipping_cost(one) for one in self.shipping_lines]
        self.fulfillments = [
            one for one in root.nodes("fulfillments") if one.text("status") == "success"
        ]
        self.refunds = root.nodes("refunds")
        self.transactions = _ids(root.nodes("transactions"))
        self.paid_back = [self._paid_back(one.nodes("transactions")) for one in self.refunds]
        self.captured = self._captured()

    def placed(self) -> PlacedOrder:
        root, number = self.root, self.root.text("name")
        discount_minor = self._own_discount()
        fees = self._other_fees()
        tax_minor = self._own_tax(fees, discount_minor)
        fees = (*self._shipping_fees(), *fees)
        completed, shipments = self._done()
        ship_to = address_by(root.node("shipping_address"), ADDRESS)
        billing = address_by(root.node("billing_address"), ADDRESS)
        rounding = _amount(root, "total_cash_rounding_payment_adjustment") or 0
        total_minor = _amount(root, "total_price")
        if total_minor is None:
            raise OrderRefused(Why.NO_TOTAL, "total_price: is missing")
        if rounding:
            fees += (make(Fee, {}, kind="rounding", net_minor=rounding),)
        return make(
            PlacedOrder,
            {
                "total_minor": "total_price",
                "discount_minor": "total_discounts",
                "tax_minor": "total_tax",
                "lines": "line_items",
                "fees": "shipping_lines",
                "payments": "transactions",
                "number": "name",
                "placed_at": "processed_at",
                "shipments": "fulfillments",
            },
            currency=root.currency,
            total_minor=total_minor + rounding,
            lines=tuple(
                self._line(uid, item, shipments, completed) for uid, item in self.lines.items()
            ),
            fees=fees,
            payments=tuple(
                make(
                    Payment,
                    {
                        "payment_id": one.node.at("id"),
                        "captured_minor": one.node.at("amount"),
                        "method": one.node.at("gateway"),
                        "captured_at": one.node.at("processed_at"),
                    },
                    payment_id=payment_id,
                    captured_minor=one.amount_minor,
                    method=one.method,
                    captured_at=_when(one.node) if one.node is not root else None,
                )
                for payment_id, one in self.captured.items()
            ),
            discount_minor=discount_minor,
            tax_minor=tax_minor,
            number=None if number == self.order_id else number,
            placed_at=_when(root),
            customer=self._customer(billing, ship_to),
            billing_address=billing,
            ship_to=ship_to,
            shipments=shipments,
            refunds=self._refunds(),
            updated_at=root.moment("updated_at"),
        )

    # Amounts

    def _line_cost(self, uid: str, item: Node) -> Cost:
        allocated = _sum(item.nodes("discount_allocations"), "amount")
        return Cost(
            price_minor=_required(item, "price") * self.quantities[uid],
            discount_minor=(
                _amount(item, "total_discount") or 0 if allocated is None else allocated
            ),
            tax_minor=_sum(item.nodes("tax_lines"), "price") or 0,
            is_tax_included=self.is_included,
        )

    def _shipping_cost(self, line: Node) -> Cost:
        price = _required(line, "price")
        discount = _sum(line.nodes("discount_allocations"), "amount")
        if discount is None:
            discounted = _amount(line, "discounted_price")
            discount = 0 if discounted is None else price - discounted
        return Cost(
            price_minor=price,
            discount_minor=discount,
            tax_minor=_sum(line.nodes("tax_lines"), "price") or 0,
            is_tax_included=self.is_included,
        )

    def _own_discount(self) -> int:
        """What of `total_discounts` is not in the lines."""
        total = _amount(self.root, "total_discounts")
        of_lines = sum(one.discount_minor for one in self.costs.values())
        found = of_lines + sum(one.discount_minor for one in self.shipping_costs)
        if total is None or total == of_lines:
            return 0
        if total < found:
            raise mismatch(
                "total_discounts: those of the lines sum", found, total, self.root.currency
            )
        return total - found

    def _own_tax(self, fees: Sequence[Fee], discount_minor: int) -> int:
        """The tax that is told for the order only; an included one is moved into the lines."""
        of_lines = sum(one.tax_minor for one in self.costs.values())
        found = of_lines + sum(one.tax_minor for one in self.shipping_costs)
        found += sum(fee.tax_minor for fee in fees if fee.kind == "service")
        total = _amount(self.root, "total_tax")
        left = 0 if total is None else total - found
        if left and (left < 0 or of_lines):
            raise mismatch("total_tax: tax lines sum", found, found + left, self.root.currency)
        if not self.is_included:
            return left
        lines = [self.costs[uid] for uid in self.lines]
        lines, self.shipping_costs = take_out(left, lines, self.shipping_costs, discount_minor)
        self.costs |= dict(zip(self.lines, lines, strict=True))
        return 0

    def _shipping_fees(self) -> tuple[Fee, ...]:
        return tuple(
            _fee("shipping", line, "title", cost)
            for line, cost in zip(self.shipping_lines, self.shipping_costs, strict=True)
        )

    def _other_fees(self) -> tuple[Fee, ...]:
        fees = [_fee("tip", tip, "title", self.costs[uid]) for uid, tip in self.tips.items()]
        tipped = sum(fee.net_minor - fee.discount_minor for fee in fees)
        if (tip := _amount(self.root, "total_tip_received") or 0) > tipped:
            fees.append(make(Fee, {}, kind="tip", net_minor=tip - tipped))
        return (*fees, *self._duties())

    def _duties(self) -> list[Fee]:
        fees = []
        duties = [one for item in self.lines.values() for one in item.nodes("duties")]
        if not self.root.flag("duties_included"):
            net = _amount(self.root, "original_total_duties")
            if net is None:
                net = sum(required(one.node("shop_money"), "amount") for one in duties)
            tax = sum(_sum(one.nodes("tax_lines"), "price") or 0 for one in duties)
            if net or tax:
                names = {"net_minor": "original_total_duties_set"}
                fees.append(
                    make(Fee, names, kind="service", name="Duties", net_minor=net, tax_minor=tax)
                )
        if more := _amount(self.root, "original_total_additional_fees"):
            names = {"net_minor": "original_total_additional_fees_set"}
            fees.append(make(Fee, names, kind="service", name="Additional fees", net_minor=more))
        return fees

    # Lines and what is done with them

    def _line(
        self,
        uid: str,
        item: Node,
        shipments: Sequence[DoneShipment],
        completed: Counter[str],
    ) -> OrderLine:
        cost = self.costs[uid]
        shipped = sum(
            one.quantity for shipment in shipments for one in shipment.items if one.line_id == uid
        )
        return make(
            OrderLine,
            {
                "line_id": item.at("id"),
                "name": item.at("name"),
                "sku": item.at("sku"),
                "quantity": item.at("quantity"),
                "net_minor": item.at("price"),
                "discount_minor": item.at("discount_allocations"),
                "tax_minor": item.at("tax_lines"),
                "completed": "fulfillments",
                "cancelled": "refunds",
            },
            line_id=uid,
            name=_line_name(item),
            sku=item.text("sku"),
            item_type=_item_type(item),
            quantity=self.quantities[uid],
            net_minor=cost.net_minor,
            discount_minor=cost.discount_minor,
            tax_minor=cost.tax_minor,
            completed=completed[uid],
            cancelled=self._cancelled(uid, shipped + completed[uid]),
        )

    def _cancelled(self, uid: str, done: int) -> int:
        quantity = self.quantities[uid]
        if self.root.has("cancelled_at"):
            return max(0, quantity - done)
        units: Counter[bool] = Counter()
        for refund in self.refunds:
            for item in refund.nodes("refund_line_items"):
                if item.id("line_item_id") == uid:
                    units[item.text("restock_type") == "cancel"] += item.quantity()
        return units[True] + max(0, units[False] - done)

    def _done(self) -> tuple[Counter[str], tuple[DoneShipment, ...]]:
        """Completed units of lines that are not physical, and the parcels that have left."""
        completed: Counter[str] = Counter()
        shipments = []
        for fulfillment in self.fulfillments:
            parcel: Counter[str] = Counter()
            for item in fulfillment.nodes("line_items"):
                uid = self._line_of(item, "id")
                if uid is not None:
                    is_physical = _item_type(self.lines[uid]) == "physical"
                    (parcel if is_physical else completed)[uid] += item.quantity()
            if parcel := +parcel:
                shipments.append(_shipment(fulfillment, parcel))
        return completed, tuple(shipments)

    def _line_of(self, node: Node, key: str) -> str | None:
        """The line that is named there; None when it is a tip."""
        uid = node.id(key)
        if uid in self.tips:
            return None
        if uid not in self.lines:
            raise OrderRefused(Why.INVALID, f"{node.at(key)}: names no line item")
        return uid

    # Payments

    def _captured(self) -> dict[str, _Captured]:
        if not self.transactions:
            return self._captured_by_status()
        captured: dict[str, _Captured] = {}
        takes: list[tuple[str, Node]] = []
        for uid, one in _in_time(self.transactions):
            kind, is_success = _kind(one), _status(one) == "success"
            if is_success and kind in {"sale", "capture"} and (minor := self._money(one)):
                captured[uid] = _Captured(minor, one, one.text("gateway"))
            elif is_success and kind in {"void", "change"}:
                takes.append((kind, one))
        for kind, one in takes:
            for payment_id in self._related(one, captured):
                paid = captured[payment_id]
                left = paid.amount_minor - self._money(one) if kind == "change" else 0
                captured[payment_id] = replace(paid, amount_minor=left)
        return {uid: paid for uid, paid in captured.items() if paid.amount_minor}
        return captured

    def _captured_by_status(self) -> dict[str, _Captured]:
        total = _amount(self.root, "total_price") or 0
        minor = captured_by_status(
            self.root,
            "financial_status",
            "total_outstanding",
            total_minor=total,
            is_changed=bool(self.refunds),
        )
        if minor == total:
            minor += _amount(self.root, "total_cash_rounding_payment_adjustment") or 0
        if not minor:
            return {}
        parents = {one.id("parent_id") for refund in self.paid_back for one in refund} - {None}
        if len(parents) > 1:
            message = "refunds: they are of several payments; the order's transactions are needed"
            raise OrderRefused(Why.INVALID, message)
        gateways = self.root.value.get("payment_gateway_names")
        method = gateways[0] if isinstance(gateways, list) and len(gateways) == 1 else None
        if not isinstance(method, str):
            method = self.root.text("gateway")
        payment_id = next((one for one in parents if one), self.order_id)
        return {payment_id: _Captured(minor, self.root, method)}

    def _related(self, one: Node, captured: Mapping[str, _Captured]) -> list[str]:
        """Captured payments that descend from the transaction's parent, or are it."""
        parent = one.id("parent_id")
        return [uid for uid in captured if parent is not None and parent in self._line_up(uid)]

    def _line_up(self, uid: str | None) -> set[str]:
        """A transaction and those that it follows from: a capture and its authorization."""
        found: set[str] = set()
        while uid is not None and uid not in found:
            found.add(uid)
            uid = self.transactions[uid].id("parent_id") if uid in self.transactions else None
        return found

    def _money(self, transaction: Node) -> int:
        currency = transaction.text("currency") or self.root.currency
        if currency != self.root.currency:
            message = f"{transaction.at('currency')}: is not {self.root.currency}, the shop's; "
            raise OrderRefused(Why.OTHER_CURRENCY, message + "ask for amounts in shop currency")
        return required(transaction, "amount")

    # Refunds

    def _paid_back(self, transactions: Sequence[Node]) -> list[Node]:
        """Those by which money went back, or is on its way."""
        return [
            one
            for one in transactions
            if _kind(one) == "refund" and _status(one) in PAID_BACK and self._money(one)
        ]

    def _refunds(self) -> tuple[DoneRefund, ...]:
        told = {one.id("id") for paid in self.paid_back for one in paid}
        untold = [
            one
            for one in self._paid_back(list(self.transactions.values()))
            if one.id("id") not in told
        ]
        asked = [*zip(self.refunds, self.paid_back, strict=True), *((one, [one]) for one in untold)]
        status = self.root.text("financial_status")
        if not any(paid for _, paid in asked):
            if status == "refunded" and not self.transactions:
                return (_whole_refund(self.captured),) if self.captured else ()
            if status in {"refunded", "partially_refunded"}:
                message = f"financial_status: is {status}; what was refunded is not known "
                raise OrderRefused(Why.INVALID, f"{message}without the order's refunds")
        parts = self._parts([paid for _, paid in asked])
        return tuple(
            self._refund(refund, paid, of_payments)
            for (refund, paid), of_payments in zip(asked, parts, strict=True)
            if paid
        )

    def _parts(self, refunds: Sequence[Sequence[Node]]) -> list[Counter[str]]:
        """What each refund gave back on each payment: on the parent that its transactions name,
        else in order of capture on what the named ones leave.
        """
        parts: list[Counter[str]] = [Counter() for _ in refunds]
        left = {payment_id: one.amount_minor for payment_id, one in self.captured.items()}
        unnamed = []
        for number, transactions in enumerate(refunds):
            for one in transactions:
                payment_id = self._payment_of(one)
                if payment_id is None:
                    unnamed.append((number, one))
                else:
                    parts[number][payment_id] += self._money(one)
                    left[payment_id] -= self._money(one)
        for number, one in unnamed:
            open_minor = self._money(one)
            for payment_id, room in left.items():
                share = min(open_minor, max(0, room))
                parts[number] += Counter({payment_id: share})
                left[payment_id] -= share
                open_minor -= share
            if open_minor:
                message = f"{one.at('amount')}: is {open_minor} more than was captured"
                raise OrderRefused(Why.INVALID, message)
        return parts

    def _payment_of(self, transaction: Node) -> str | None:
        if transaction.has("parent_id") and not self.transactions and len(self.captured) == 1:
            return next(iter(self.captured))
        if not transaction.has("parent_id"):
            return None
        related = self._related(transaction, self.captured)
        if len(related) != 1:
            message = f"{transaction.at('parent_id')}: names no captured payment of the order"
            raise OrderRefused(Why.INVALID, message)
        return related[0]

    def _refund(
        self, refund: Node, transactions: Sequence[Node], parts: Counter[str]
    ) -> DoneRefund:
        amount = sum(parts.values())
        lines, shipping = self._refund_lines(refund), self._refunded_shipping(refund)
        itemised = sum(line.gross_minor for line in lines) + shipping
        less = itemised - amount
        if less > 0 and less != -self._adjusted(refund, "refund_discrepancy"):
            raise mismatch(
                f"{refund.at('transactions')}: lines and shipping sum",
                itemised,
                amount,
                self.root.currency,
            )
        left = amount
        items = []
        for line in lines:
            paid = cut(line, left)
            left -= paid.gross_minor
            items.append(
                make(
                    DoneRefundItem,
                    {
                        "gross_minor": refund.at("refund_line_items"),
                        "tax_minor": refund.at("refund_line_items"),
                        "quantity": refund.at("refund_line_items"),
                    },
                    line_id=line.line_id,
                    quantity=line.quantity,
                    gross_minor=paid.gross_minor,
                    tax_minor=paid.tax_minor,
                    discount_minor=paid.discount_minor,
                )
            )
        return make(
            DoneRefund,
            {"reason": refund.at("note"), "shipping_minor": refund.at("order_adjustments")},
            parts=tuple(
                make(
                    DoneRefundPart,
                    {"amount_minor": refund.at("transactions")},
                    payment_id=payment_id,
                    amount_minor=minor,
                )
                for payment_id, minor in parts.items()
            ),
            items=tuple(items),
            shipping_minor=min(shipping, left),
            reason=_reason(refund, transactions),
            refunded_at=_when(refund),
        )

    def _refund_lines(self, refund: Node) -> list[RefundLine]:
        lines: dict[str, RefundLine] = {}
        for item in refund.nodes("refund_line_items"):
            uid = self._line_of(item, "line_item_id")
            quantity = item.quantity()
            if uid is None or quantity == 0:
                continue
            subtotal, tax = _required(item, "subtotal"), _amount(item, "total_tax") or 0
            full = _required(self.lines[uid], "price") * quantity
            so_far = lines.get(uid, RefundLine(uid, 0, 0, 0, 0))
            lines[uid] = RefundLine(
                line_id=uid,
                quantity=so_far.quantity + quantity,
                gross_minor=so_far.gross_minor + subtotal + (0 if self.is_included else tax),
                tax_minor=so_far.tax_minor + tax,
                discount_minor=so_far.discount_minor + max(0, full - subtotal),
            )
        return list(lines.values())

    def _refunded_shipping(self, refund: Node) -> int:
        """Older versions of the API tell it as an adjustment, newer ones as shipping lines."""
        if adjusted := self._adjusted(refund, "shipping_refund"):
            return adjusted
        minor = 0
        for one in refund.nodes("refund_shipping_lines"):
            subtotal = _required(one, "subtotal_amount")
            cost = self._shipping_cost(one.node("shipping_line")) if subtotal else Cost(0)
            minor += subtotal
            if cost.tax_minor and not cost.is_tax_included:
                if subtotal != cost.price_minor - cost.discount_minor:
                    message = f"{one.path}: is part of a taxed shipping line; its tax is not named"
                    raise OrderRefused(Why.INVALID, message)
                minor += cost.tax_minor
        return minor

    def _adjusted(self, refund: Node, kind: str) -> int:
        """What adjustments of a kind gave back; Shopify writes that as an amount below zero."""
        return -sum(
            _required(one, "amount") + (_amount(one, "tax_amount") or 0)
            for one in refund.nodes("order_adjustments")
            if one.text("kind") == kind
        )

    # People

    def _customer(self, billing: Address | None, ship_to: Address | None) -> Customer:
        root, customer = self.root, self.root.node("customer")
        addresses = [one for one in (billing, ship_to) if one is not None]
        parts = (customer.text("first_name"), customer.text("last_name"))
        named = " ".join(part for part in parts if part)
        country = next((one.country for one in reversed(addresses) if one.country), None)
        return make(
            Customer,
            {
                "name": customer.at("first_name"),
                "email": "email",
                "phone": "phone",
                "locale": "customer_locale",
            },
            name=named or next((one.name for one in addresses if one.name), None),
            email=root.text("email") or root.text("contact_email") or customer.text("email"),
            phone=root.text("phone")
            or customer.text("phone")
            or next((one.phone for one in reversed(addresses) if one.phone), None),
            locale=root.text("customer_locale") or locale_of(country),
        )


def _amount(node: Node, key: str) -> int | None:
    """The amount there, else the shop's in its `_set`."""
    minor = node.decimal(key)
    return node.node(f"{key}_set").node("shop_money").decimal("amount") if minor is None else minor


def _required(node: Node, key: str) -> int:
    minor = _amount(node, key)
    return required(node, key) if minor is None else minor


def _sum(nodes: Sequence[Node], key: str) -> int | None:
    """None when there are none: that is not the same as nothing."""
    return sum(_required(one, key) for one in nodes) if nodes else None


def _ids(nodes: Sequence[Node]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for node in nodes:
        uid = node.id("id")
        if uid is None:
            raise OrderRefused(Why.INVALID, f"{node.at('id')}: is missing")
        if uid in found:
            raise OrderRefused(Why.INVALID, f"{node.at('id')}: is there more than once")
        found[uid] = node
    return found


def _kind(transaction: Node) -> str:
    return _word(transaction, "kind", KINDS)


def _status(transaction: Node) -> str:
    return _word(transaction, "status", STATUSES)


def _word(node: Node, key: str, allowed: frozenset[str]) -> str:
    word = node.text(key)
    if word not in allowed:
        message = f"{node.at(key)}: must be one of {', '.join(sorted(allowed))}"
        raise OrderRefused(Why.INVALID, message)
    return word


def _when(node: Node) -> datetime | None:
    """When it happened; `created_at` of what was imported is when it was imported."""
    return node.moment("processed_at") or node.moment("created_at")


def _in_time(transactions: Mapping[str, Node]) -> list[tuple[str, Node]]:
    """In order of time; as they are listed when one has no time."""
    dated = [(when, uid, one) for uid, one in transactions.items() if (when := _when(one))]
    if len(dated) < len(transactions):
        return list(transactions.items())
    return [(uid, one) for _, uid, one in sorted(dated, key=lambda each: each[0])]


def _fee(kind: str, node: Node, name_key: str, cost: Cost) -> Fee:
    return make(
        Fee,
        {
            "name": node.at(name_key),
            "net_minor": node.at("price"),
            "discount_minor": node.at("discount_allocations"),
            "tax_minor": node.at("tax_lines"),
        },
        kind=kind,
        name=node.text(name_key),
        net_minor=cost.net_minor,
        discount_minor=cost.discount_minor,
        tax_minor=cost.tax_minor,
    )


def _line_name(item: Node) -> str:
    """The product with its variant, for whoever picks it must not guess the size."""
    name, variant = item.text("name"), item.text("variant_title")
    if name is not None:
        return name
    title = item.text("title") or "Item"
    return title if variant in {None, "Default Title"} else f"{title} - {variant}"


def _item_type(item: Node) -> str:
    if item.flag("gift_card"):
        return "gift_card"
    return "digital" if item.flag("requires_shipping") is False else "physical"


def _shipment(fulfillment: Node, parcel: Mapping[str, int]) -> DoneShipment:
    return make(
        DoneShipment,
        {
            "items": fulfillment.at("line_items"),
            "carrier": fulfillment.at("tracking_company"),
            "tracking_number": fulfillment.at("tracking_number"),
            "tracking_url": fulfillment.at("tracking_url"),
        },
        items=tuple(Item(line_id=uid, quantity=quantity) for uid, quantity in parcel.items()),
        carrier=fulfillment.text("tracking_company"),
        tracking_number=fulfillment.text("tracking_number"),
        tracking_url=fulfillment.text("tracking_url"),
        shipped_at=fulfillment.moment("created_at"),
    )


def _whole_refund(captured: Mapping[str, _Captured]) -> DoneRefund:
    return DoneRefund(
        parts=tuple(
            DoneRefundPart(payment_id=payment_id, amount_minor=one.amount_minor)
            for payment_id, one in captured.items()
        )
    )


def _reason(refund: Node, transactions: Sequence[Node]) -> str | None:
    """The note, and that the money is still on its way."""
    reasons = [" ".join(note.split())] if (note := refund.text("note")) else []
    if any(one.text("status") == "pending" for one in transactions):
        reasons.insert(0, "pending at Shopify")
    return "; ".join(reasons) or None
