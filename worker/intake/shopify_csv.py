"""Shopify's orders export: a CSV with a row per line item, the order's own columns on the first.

Streamed: the rows of an order are consecutive, and one order at a time is held. What was decided
where the export leaves a choice:

- **Order.** Rows with the same `Name`; one that has a `Total` begins the order. The id is `Id`,
  else `Name` without its `#`; a JSON of the same order has the same `Id`, but other line ids.
- **Lines** have no ids in the export: theirs are their positions, from 1.
- **Twice.** An order that stands there twice (exports that overlap, joined) is read once. Rows of
  an order that are equal are lines of their own, unless the sums tie only without the repeats.
- **Discounts.** `Lineitem discount` is the line's. What the lines are more than `Subtotal` is the
  order's own discount, if `Discount Amount` says so, with or without the lines'. A
  `Discount Amount` that the lines do not have can be the shipping fee's.
- **Taxes** are the order's: their columns must sum to `Taxes`. Included in the prices when
  `Total` is `Subtotal` and `Shipping` (and `Duties`) by themselves, else added.
- **Payments.** One, by `Financial Status`: an export does not tell several apart, so an order that
  was paid by several methods is refused. Its id is `Payment ID` or `Payment Reference`, else the
  order's. `Refunded Amount` is an amount without lines on it.
- **Done.** A line that is `fulfilled` was in the one parcel that the export knows of. `partial`
  does not say how much and is refused. With `Cancelled at`, or `restocked`, what remains is
  cancelled.
- **Guards.** The apostrophe that keeps spreadsheets from eating a leading zero or plus is removed
  from postal codes and phone numbers.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from babel.numbers import list_currencies

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Item,
    OrderLine,
    Payment,
    Place,
    PlacedOrder,
)
from messages.fields import MAX_LINES
from worker.intake.ids import is_id, place
from worker.intake.node import Node, make
from worker.intake.people import address_by, locale_of
from worker.intake.refusal import OrderRefused, Refused, Why
from worker.intake.shopify_money import Cost, captured_by_status, mismatch, required, take_out

TAXES: Final = tuple(f"Tax {number} Value" for number in range(1, 6))
MAX_ROWS: Final = 2 * MAX_LINES
"""Of one order: its lines, and each of them repeated."""
FULFILLED: Final = frozenset({None, "pending", "unfulfilled", "fulfilled", "restocked"})


def is_header(line: bytes) -> bool:
    """Whether the line names the columns of an orders export."""
    return b"Lineitem quantity" in line and {"Name", "Lineitem quantity"} <= set(_names(line)[1])


def read_csv(header: bytes, number: int, lines: Iterable[bytes]) -> Iterator[Place | Refused]:
    """The orders of an export, each as the command that places it or as refused.

    `number` is that of the header's line; the position of an order is that of its first row.
    """
    rows: list[_Row] = []
    for row in _rows(header, number, lines):
        if rows and (isinstance(row, Refused) or row.name != rows[0].name):
            yield from _order(rows, is_torn=isinstance(row, Refused))
            rows = []
        if isinstance(row, Refused):
            yield row
        elif len(rows) <= MAX_ROWS:
            rows.append(row)
    if rows:
        yield from _order(rows, is_torn=False)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row, where it begins, and whether it is UTF-8 with no more cells than there are columns."""

    number: int
    cells: tuple[str, ...]
    values: Mapping[str, Any]
    problem: str | None

    @property
    def name(self) -> str:
        return str(self.values.get("Name", "")).strip()

    @property
    def begins_order(self) -> bool:
        return bool(str(self.values.get("Total", "")).strip())


def _rows(header: bytes, number: int, lines: Iterable[bytes]) -> Iterator[_Row | Refused]:
    delimiter, names = _names(header)
    reader = csv.reader(map(_text, lines), delimiter=delimiter, strict=True)
    while True:
        begin = number + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Refused(begin, None, Why.UNREADABLE, f"is no row of a CSV: {error}")
            continue
        if cells is None:
            return
        if any(map(str.strip, cells)):
            problem = None
            if any("\udc80" <= char <= "\udcff" for char in "".join(cells)):
                problem = "is not UTF-8; save the file as CSV UTF-8"
            elif len(cells) > len(names):
                problem = f"has {len(cells)} cells for {len(names)} columns"
            yield _Row(begin, tuple(cells), dict(zip(names, cells, strict=False)), problem)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _names(header: bytes) -> tuple[str, list[str]]:
    """The delimiter and the columns; spreadsheets of half of Europe write semicolons."""
    line = _text(header)
    delimiter = max(",;\t", key=line.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        names = []
    return delimiter, [name.strip() for name in names]


def _order(rows: Sequence[_Row], *, is_torn: bool) -> Iterator[Place | Refused]:
    """What these rows of one name are: an order, the same one twice, or refused."""
    placed: dict[UUID, Place] = {}
    refused: dict[tuple[str, ...], Refused] = {}
    whole: set[tuple[str, ...]] = set()
    for export in _exports(rows):
        first = export[0]
        try:
            found = _read(export, is_torn=is_torn)
        except OrderRefused as error:
            one = Refused(first.number, _known_id(first), error.reason, error.message)
            refused.setdefault(first.cells, one)
        else:
            placed.setdefault(found.command_id, found)
            whole.add(first.cells)
    yield from placed.values()
    # A first row that is repeated makes an export of itself, which is no order that was lost.
    yield from (one for cells, one in refused.items() if cells not in whole)


def _exports(rows: Sequence[_Row]) -> list[list[_Row]]:
    exports: list[list[_Row]] = []
    for row in rows:
        if row.begins_order or not exports:
            exports.append([])
        exports[-1].append(row)
    return exports


def _read(rows: Sequence[_Row], *, is_torn: bool) -> Place:
    if is_torn:
        raise OrderRefused(Why.UNREADABLE, "the row after it cannot be read, and may be one of it")
    try:
        return _place(rows)
    except OrderRefused as error:
        once = list({row.cells: row for row in reversed(rows)}.values())[::-1]
        if error.reason != Why.TOTAL_MISMATCH or len(once) == len(rows):
            raise
        try:
            return _place(once)
        except OrderRefused:
            raise error from None


def _place(rows: Sequence[_Row]) -> Place:
    if len(rows) > MAX_ROWS:
        raise OrderRefused(Why.INVALID, f"has more than {MAX_ROWS} rows")
    for row in rows:
        if row.problem:
            raise OrderRefused(Why.UNREADABLE, f"row {row.number} {row.problem}")
    order_id = _order_id(rows[0])
    currency = Node(rows[0].values).text("Currency")
    if not rows[0].begins_order:
        raise OrderRefused(Why.NO_TOTAL, "Total: is missing; the first row of an order has it")
    if currency not in list_currencies():
        raise OrderRefused(Why.INVALID, "Currency: must be an ISO 4217 code")
    return place(order_id, _Reading(rows, order_id, currency).placed())


def _order_id(row: _Row) -> str:
    node = Node(row.values)
    given = node.text("Id")
    if given is not None and not given.isdecimal():  # a spreadsheet made it 4.5E+12
        raise OrderRefused(Why.INVALID, "Id: must be digits; a spreadsheet may have rounded it")
    order_id = given or row.name.removeprefix("#")
    if not order_id:
        raise OrderRefused(Why.NO_ID, "Name: is missing")
    if not is_id(order_id):
        raise OrderRefused(Why.INVALID, "Name: must be letters, digits and ._:-, at most 64")
    return order_id


def _known_id(row: _Row) -> str | None:
    try:
        return _order_id(row)
    except OrderRefused:
        return None


class _Reading:
    """One order while it is read."""

    def __init__(self, rows: Sequence[_Row], order_id: str, currency: str) -> None:
        self.order_id = order_id
        self.first = Node(rows[0].values, currency=currency)
        items = {
            str(position): Node(row.values, f"row {row.number}", currency)
            for position, row in enumerate(rows, start=1)
        }
        self.quantities = {uid: item.quantity("Lineitem quantity") for uid, item in items.items()}
        # What was taken from an order before it was fulfilled stays there with nothing of it.
        self.lines = {uid: item for uid, item in items.items() if self.quantities[uid]}
        if not self.lines:
            raise OrderRefused(Why.NO_LINES, "Lineitem quantity: there is nothing in it")

    def placed(self) -> PlacedOrder:
        first, order_id = self.first, self.order_id
        total = required(first, "Total")
        costs, fees, discount, tax = self._amounts(total)
        captured = captured_by_status(
            first,
            "Financial Status",
            "Outstanding Balance",
            total_minor=total,
            is_changed=bool(first.decimal("Refunded Amount")),
        )
        billing, ship_to = self._address("Billing"), self._address("Shipping")
        number = first.text("Name")
        payment_id = self._payment_id()
        return make(
            PlacedOrder,
            {
                "total_minor": "Total",
                "discount_minor": "Discount Amount",
                "tax_minor": "Taxes",
                "lines": "Lineitem quantity",
                "number": "Name",
                "placed_at": "Created at",
            },
            currency=first.currency,
            total_minor=total,
            lines=tuple(self._line(uid, item, costs[uid]) for uid, item in self.lines.items()),
            fees=fees,
            payments=self._payments(payment_id, captured),
            discount_minor=discount,
            tax_minor=tax,
            number=None if number == order_id else number,
            placed_at=first.moment("Created at"),
            customer=self._customer(billing, ship_to),
            billing_address=billing,
            ship_to=ship_to,
            shipments=self._shipments(),
            refunds=self._refunds(payment_id, captured),
        )

    # Amounts

    def _amounts(self, total: int) -> tuple[dict[str, Cost], tuple[Fee, ...], int, int]:
        """What lines and fees cost, and what of the discount and the tax is the order's own."""
        first = self.first
        subtotal = required(first, "Subtotal")
        shipping, duties = first.decimal("Shipping") or 0, first.decimal("Duties") or 0
        discount, tax = self._own_discount(subtotal), self._tax()
        is_included, of_shipping = self._read_total(
            total, subtotal + shipping + duties, tax, self._unused_discount(discount)
        )
        costs = [self._cost(uid, item, is_included=is_included) for uid, item in self.lines.items()]
        fee = Cost(shipping, of_shipping, 0, is_included)
        if is_included:
            costs, (fee,) = take_out(tax, costs, [fee], discount)
        return (
            dict(zip(self.lines, costs, strict=True)),
            self._fees(fee, duties),
            discount,
            0 if is_included else tax,
        )

    def _read_total(self, total: int, base: int, tax: int, unused: int) -> tuple[bool, int]:
        """Whether the prices hold the tax, and what was taken off the shipping fee."""
        readings = {
            (is_included, less)
            for is_included in ({True, False} if tax else {False})
            for less in (0, unused)
            if base + (0 if is_included else tax) - less == total
        }
        if not readings:
            raise mismatch("Total: its parts sum", base + tax, total, self.first.currency)
        if len(readings) > 1:
            message = "Taxes: are as much as Discount Amount; included or not cannot be told"
            raise OrderRefused(Why.INVALID, message)
        return readings.pop()

    def _unused_discount(self, own: int) -> int:
        """`Discount Amount` where neither the order nor its lines have it."""
        discount = self.first.decimal("Discount Amount") or 0
        of_lines = sum(item.decimal("Lineitem discount") or 0 for item in self.lines.values())
        return 0 if own or discount == of_lines else discount

    def _cost(self, uid: str, item: Node, *, is_included: bool = False) -> Cost:
        return Cost(
            price_minor=required(item, "Lineitem price") * self.quantities[uid],
            discount_minor=item.decimal("Lineitem discount") or 0,
            is_tax_included=is_included,
        )

    def _own_discount(self, subtotal: int) -> int:
        costs = [self._cost(uid, item) for uid, item in self.lines.items()]
        found = sum(one.price_minor - one.discount_minor for one in costs)
        discount = self.first.decimal("Discount Amount") or 0
        known = {0, discount, discount - sum(one.discount_minor for one in costs)}
        if found - subtotal < 0 or found - subtotal not in known:
            raise mismatch("Subtotal: lines sum", found, subtotal, self.first.currency)
        return found - subtotal

    def _tax(self) -> int:
        columns = [minor for key in TAXES if (minor := self.first.decimal(key)) is not None]
        taxes = self.first.decimal("Taxes")
        if taxes is None:
            return sum(columns)
        if columns and sum(columns) != taxes:
            raise mismatch("Taxes: their columns sum", sum(columns), taxes, self.first.currency)
        return taxes

    def _fees(self, shipping: Cost, duties: int) -> tuple[Fee, ...]:
        fees = []
        if shipping.price_minor:
            fees.append(
                make(
                    Fee,
                    {"name": "Shipping Method", "net_minor": "Shipping"},
                    kind="shipping",
                    name=self.first.text("Shipping Method"),
                    net_minor=shipping.net_minor,
                    discount_minor=shipping.discount_minor,
                    tax_minor=shipping.tax_minor,
                )
            )
        if duties:
            names = {"net_minor": "Duties"}
            fees.append(make(Fee, names, kind="service", name="Duties", net_minor=duties))
        return tuple(fees)

    # Lines and what is done with them

    def _line(self, uid: str, item: Node, cost: Cost) -> OrderLine:
        quantity, status = self.quantities[uid], self._status(item)
        is_done = status == "fulfilled"
        is_physical = _item_type(item) == "physical"
        is_cancelled = bool(self.first.text("Cancelled at")) or status == "restocked"
        return make(
            OrderLine,
            {
                "name": item.at("Lineitem name"),
                "sku": item.at("Lineitem sku"),
                "quantity": item.at("Lineitem quantity"),
                "net_minor": item.at("Lineitem price"),
                "discount_minor": item.at("Lineitem discount"),
                "tax_minor": "Taxes",
            },
            line_id=uid,
            name=item.text("Lineitem name") or "Item",
            sku=item.text("Lineitem sku"),
            item_type=_item_type(item),
            quantity=quantity,
            net_minor=cost.net_minor,
            discount_minor=cost.discount_minor,
            tax_minor=cost.tax_minor,
            completed=quantity if is_done and not is_physical else 0,
            cancelled=quantity if is_cancelled and not is_done else 0,
        )

    def _status(self, item: Node) -> str | None:
        """The line's fulfillment status, else the order's."""
        key, node = "Lineitem fulfillment status", item
        if not node.text(key):
            key, node = "Fulfillment Status", self.first
        status = node.text(key)
        if status == "partial":
            message = f"{node.at(key)}: is partial; import the order's JSON, which says how much"
            raise OrderRefused(Why.INVALID, message)
        if status not in FULFILLED:
            allowed = ", ".join(sorted(filter(None, FULFILLED)))
            raise OrderRefused(Why.INVALID, f"{node.at(key)}: must be one of {allowed}")
        return status

    def _shipments(self) -> tuple[DoneShipment, ...]:
        parcel = tuple(
            Item(line_id=uid, quantity=self.quantities[uid])
            for uid, item in self.lines.items()
            if _item_type(item) == "physical" and self._status(item) == "fulfilled"
        )
        if not parcel:
            return ()
        names = {"shipped_at": "Fulfilled at"}
        at = self.first.moment("Fulfilled at")
        return (make(DoneShipment, names, items=parcel, shipped_at=at),)

    # Payments and refunds

    def _payment_id(self) -> str:
        given = (self.first.text(key) for key in ("Payment ID", "Payment Reference"))
        return next((one for one in given if is_id(one) and one), self.order_id)

    def _payments(self, payment_id: str, captured: int) -> tuple[Payment, ...]:
        if not captured:
            return ()
        method = self.first.text("Payment Method")
        if method and "+" in method:
            message = "Payment Method: names several; import the order's JSON with its transactions"
            raise OrderRefused(Why.INVALID, message)
        names = {"captured_minor": "Total", "method": "Payment Method", "captured_at": "Paid at"}
        return (
            make(
                Payment,
                names,
                payment_id=payment_id,
                captured_minor=captured,
                method=method,
                captured_at=self.first.moment("Paid at"),
            ),
        )

    def _refunds(self, payment_id: str, captured: int) -> tuple[DoneRefund, ...]:
        first = self.first
        status = (first.text("Financial Status") or "").casefold()
        refunded = first.decimal("Refunded Amount") or (captured if status == "refunded" else 0)
        if status == "partially_refunded" and not refunded:
            message = "Refunded Amount: is missing, yet the order is partially_refunded"
            raise OrderRefused(Why.NO_TOTAL, message)
        if not refunded:
            return ()
        if refunded > captured:
            raise mismatch("Refunded Amount: payments sum", captured, refunded, first.currency)
        names = {"amount_minor": "Refunded Amount"}
        part = make(DoneRefundPart, names, payment_id=payment_id, amount_minor=refunded)
        return (DoneRefund(parts=(part,)),)

    # People

    def _address(self, whose: str) -> Address | None:
        values = dict(self.first.value)
        for part in ("Zip", "Phone"):
            values[f"{whose} {part}"] = _unguarded(values.get(f"{whose} {part}"))
        keys = {
            "name": "Name",
            "company": "Company",
            "line_1": "Address1" if values.get(f"{whose} Address1") else "Street",
            "line_2": "Address2",
            "city": "City",
            "district": "Province Name",
            "district_code": "Province",
            "postal_code": "Zip",
            "country": "Country",
            "phone": "Phone",
        }
        return address_by(Node(values), {part: f"{whose} {key}" for part, key in keys.items()})

    def _customer(self, billing: Address | None, ship_to: Address | None) -> Customer:
        addresses = [one for one in (billing, ship_to) if one is not None]
        phone = Node({"Phone": _unguarded(self.first.value.get("Phone"))}).text("Phone")
        country = next((one.country for one in reversed(addresses) if one.country), None)
        return make(
            Customer,
            {"name": "Billing Name", "email": "Email", "phone": "Phone"},
            name=next((one.name for one in addresses if one.name), None),
            email=self.first.text("Email"),
            phone=phone or next((one.phone for one in reversed(addresses) if one.phone), None),
            locale=locale_of(country),
        )


def _item_type(item: Node) -> str:
    return "digital" if item.flag("Lineitem requires shipping") is False else "physical"


def _unguarded(text: str | None) -> str | None:
    return text.strip().removeprefix("'") if text else None
