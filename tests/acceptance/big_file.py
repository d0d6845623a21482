"""The orders and the file of `big_job`: what each row says, and what must become of it."""

import csv
from dataclasses import dataclass, field

HEADER = ["Name", "Lineitem sku", "Line", "QTY", "Tracking Company", "Tracking #", "Note"]
"""As a shop's export and a warehouse's sheet have grown together."""
NOTE = HEADER.index("Note")
ORDERS = """
insert into orders (order_id, number, currency, total_minor, shipping_minor, fulfillment_status,
  payment_status, version, placed_at)
select order_id, number, 'EUR', 0, 0, 'unfulfilled', 'paid', 0, now()
from unnest(%s::text[], %s::text[]) as o (order_id, number)
"""
LINES = """
insert into order_lines (order_id, line_id, position, name, sku, item_type, quantity, gross_minor,
  tax_minor, discount_minor)
select order_id, line_id, n, 'Product', sku, 'physical', 3, 0, 0, 0
from unnest(%s::text[]) as o (order_id)
cross join (values (1, 'A', '00417'), (2, 'B', 'MUG')) as l (n, line_id, sku)
"""
DAMAGED = (
    "{}: a spreadsheet has made {} of the number: format the column as text, and take the number "
    "from where it came"
)
QUANTITY = "quantity: must be a whole number from 1 to 1000000"
ID = "String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'"


class Orders:
    """Orders that the file names, with three of each of two lines."""

    def __init__(self):
        self.numbers = {}

    def new(self, number=None):
        order_id = f"B-{len(self.numbers)}"
        self.numbers[order_id] = number or f"#{100_000 + len(self.numbers)}"
        return order_id

    def insert(self, connection):
        ids = list(self.numbers)
        connection.execute(ORDERS, [ids, list(self.numbers.values())])
        connection.execute(LINES, [ids])


@dataclass
class Expected:
    """What must become of the rows, by their notes' first words."""

    place: int = NOTE
    why: dict = field(default_factory=dict)
    """None for a row that is applied."""
    parcels: list = field(default_factory=list)
    """Order, tracking number and units of each."""
    rejected: int = 0
    """Commands that the rules refuse."""


def row(order, *, sku="", line="", quantity="1", carrier="", number=""):
    return [order, sku, line, quantity, carrier, number]


def too_many(orders, n):
    cells = row(orders.new(), line="A", number=f"c{n}")
    return [[*cells, "more"]], ["has 8 cells, the first line names 7 columns"]


def lost_order(orders, n):
    order_id = orders.new(number=f"009{n:07}")
    return [row(f"9{n:07}", line="A", number=f"x{n}")], [
        f"order: its leading zeros are lost; {order_id} is here"
    ]


def twice(orders, n):
    orders.new(number=f"twice-{n}")
    orders.new(number=f"twice-{n}")
    return [row(f"twice-{n}", line="A")], ["order: several orders have this number; give the id"]


def of_one(orders, n):
    order_id = orders.new()
    bad, good = (
        row(order_id, line="A", quantity="x", number=f"p{n}"),
        row(order_id, line="B", number=f"p{n}"),
    )
    return [bad, good], [QUANTITY, "row @0 of the same shipment is refused"]


def twin(orders, n):
    order_id = orders.new()
    one = row(order_id, line="A", number=f"t{n}")
    return [one, one], [
        "row @1 of the same shipment is refused",
        "line A is in this shipment already, row @0: add them up",
    ]


def alone(why, **fields):
    """A row of an order of its own, with these fields."""

    def make(orders, n):
        given = {"order": orders.new(), "line": "A", "number": f"z{n}"} | fields
        return [row(**given)], [why]

    return make


BAD = {
    "damaged tracking": alone(DAMAGED.format("tracking_number", "7,94E+11"), number="7,94E+11"),
    "damaged order": alone(DAMAGED.format("order", "1.0E+21"), order="1.0E+21"),
    "damaged sku": alone(DAMAGED.format("sku", "4.17E+12"), line="", sku="4.17E+12"),
    "lost zeros of a sku": alone(
        "sku: its leading zeros are lost; the order has 00417", line="", sku="417"
    ),
    "lost zeros of an order": lost_order,
    "two orders of a number": twice,
    "too many cells": too_many,
    "no quantity": alone(QUANTITY, quantity="x"),
    "none": alone(QUANTITY, quantity="0"),
    "thousands": alone(QUANTITY, quantity="1.000"),
    "no order": alone("order: must not be empty", order=""),
    "line and sku": alone("line, sku: exactly one of them must be given", sku="MUG"),
    "unknown sku": alone("sku: no line of the order has it", line="", sku="CAP"),
    "sku of nobody": alone(
        "order: is not here, so its SKUs are not known", order="N-1", line="", sku="MUG"
    ),
    "no id": alone(f"order_id: {ID}", order="no id"),
    "no id of a line": alone(f"line: {ID}", line="a b"),
    "carrier": alone(
        "carrier: Hermes & Söhne is none, or several, of `fulfillment carriers list`",
        carrier="Hermes & Söhne",
    ),
    "long number": alone(
        "tracking_number: String should have at most 64 characters", number="9" * 65
    ),
    "control character": alone(
        "line: must not hold control characters or line breaks", line="A\x07"
    ),
    "line break": alone("line: must not hold control characters or line breaks", line="A\nB"),
    "of one shipment": of_one,
    "twice in one shipment": twin,
    "more than remains": alone("more_than_remains: line A: 5 asked, 3 of 3 left", quantity="5"),
    "unknown line": alone("unknown_line: the order has no line Z", line="Z"),
    "order of nobody": alone("order_not_found: order N-2 is not here", order="N-2"),
}
"""Ways to be bad: rows, and why each is refused; `@0` is where the first of them stands."""
RULES = {"more than remains", "unknown line", "order of nobody"}


def write_file(path, orders, rows, chance):
    """Write a file of so many rows, three of a hundred bad; what must become of them."""
    expected = Expected()
    groups = []
    count, n = 0, 0
    kinds = list(BAD)
    while count < rows:
        n += 1
        # Two of the ways take two rows, and one in ten of the good parcels.
        if chance.random() < 0.03 * 1.1 / 1.08 or n <= len(kinds):
            kind = kinds[n % len(kinds)]
            made, why = BAD[kind](orders, n)
            expected.rejected += kind in RULES
        else:
            made, why = _good(orders, n, chance, expected)
        groups.append((made, why))
        count += len(made)
    order = [(number, part) for number, (made, _) in enumerate(groups) for part in range(len(made))]
    _shuffle(order, chance)
    lines = _lines(groups, order)
    with path.open("w", encoding="cp1252", newline="") as text:
        file = csv.writer(text, delimiter=";", lineterminator="\r\n")
        file.writerow(HEADER)
        for number, part in order:
            made, why = groups[number]
            note = f"n{number}.{part}"
            sentence = why[part]
            expected.why[note] = sentence and _filled(sentence, lines[number])
            cells = made[part]
            file.writerow([*cells[:NOTE], f"={note} Zoë", *cells[NOTE:]])
    return expected


def _good(orders, n, chance, expected):
    order_id = orders.new()
    number = f"={n}" if n % 50 == 0 else f"T{n:08}"
    name = order_id if chance.random() < 0.5 else orders.numbers[order_id].lstrip("#" * (n % 2))
    if chance.random() < 0.1:
        expected.parcels.append((order_id, number, 3))
        return [
            row(order_id, line="A", quantity="2.0", number=number),
            row(orders.numbers[order_id], sku="MUG", number=number),
        ], [None, None]
    expected.parcels.append((order_id, number, 1))
    which = {"line": "A"} if chance.random() < 0.5 else {"sku": "00417"}
    return [row(name, number=number, **which)], [None]


def _shuffle(order, chance):
    """Rows of one parcel stand apart, their first ones first."""
    for place in range(len(order) - 1, 0, -1):
        other = max(0, place - chance.randrange(1, 200))
        if order[place][1] == 0 and order[other][1] == 0:
            order[place], order[other] = order[other], order[place]
    order.sort(key=lambda one: one[1] and 1)


def _lines(groups, order):
    """On which line of the file each row begins, by group."""
    lines = {}
    line = 2
    for number, part in order:
        lines.setdefault(number, {})[part] = line
        line += 1 + sum(cell.count("\n") for cell in groups[number][0][part])
    return lines


def _filled(sentence, lines):
    for part, line in lines.items():
        sentence = sentence.replace(f"@{part}", str(line))
    return sentence
