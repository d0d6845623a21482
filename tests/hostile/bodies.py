"""Commands with one text in every field that takes free text."""

import json
from copy import deepcopy

from messages import Fee, Payment
from tests import factories as make

ADDRESS = ("name", "company", "city", "district", "postal_code", "phone")


def address(text):
    return dict.fromkeys(ADDRESS, text) | {"lines": [text], "country": "US"}


def placing(text, order_id):
    """An order of five mugs and a book, paid; every text in it is this one, but for the e-mail
    address and what would hold it.
    """
    body = make.place(
        order_id=order_id,
        order=make.placed_order(
            make.order_line("A", 5),
            make.order_line("B", 1, item_type="digital"),
            payments=(Payment(payment_id="P1", captured_minor=600),),
            fees=(Fee(kind="shipping", net_minor=0),),
        ),
    ).body()
    order = body["order"]
    for line in order["lines"]:
        line |= {"name": text, "sku": text}
    order["fees"][0]["name"] = text
    order["payments"][0]["method"] = text
    order["number"] = text
    order["customer"] = {"name": text, "phone": text, "email": "customer@shop.example"}
    order |= {who: address(text) for who in ("billing_address", "ship_to", "ship_from")}
    return body | {"issued_by": text}


def shipping(text, order_id, code):
    body = make.ship(order_id=order_id, items=make.items(A=1), label="generate").body()
    named = {"tracking_number": text, "service": text, "issued_by": text}
    return body | named | {"new_carrier": {"code": code, "name": text}}


def cancelling(text, order_id):
    body = make.cancel(order_id=order_id, items=make.items(A=1)).body()
    return body | {"reason": text, "refund": "full", "issued_by": text}


def refunding(text, order_id):
    body = make.refund(order_id=order_id, amount=make.money(1)).body()
    return body | {"reason": text, "issued_by": text}


def holding(text, order_id):
    return make.hold(order_id=order_id).body() | {"reason": text, "issued_by": text}


def of(number, text):
    """Commands of an order of their own that has every text from this one."""
    order_id, code = f"H-{number}", f"carrier-{number}"
    return [
        placing(text, order_id),
        shipping(text, order_id, code),
        cancelling(text, order_id),
        refunding(text, order_id),
        holding(text, order_id),
    ]


def all_fields():
    """A body of each kind with every field of free text, ids included, and where those stand."""
    held = placing("x", "O-1")
    held["order"] |= {
        "hold": "x",
        "shipments": [{"items": [], "carrier": "x", "tracking_number": "x"}],
        "refunds": [{"parts": [{"payment_id": "P1", "amount_minor": 1}], "reason": "x"}],
    }
    held["order"]["customer"]["email"] = "x"
    void = make.void(make.ship().command_id).body() | {"reason": "x"}
    tracking = make.update_tracking(make.ship().command_id, tracking_number="x").body()
    return [
        held,
        shipping("x", "O-1", "x"),
        cancelling("x", "O-1"),
        refunding("x", "O-1"),
        void,
        tracking,
        holding("x", "O-1"),
    ]


def places(value, wanted, path=()):
    """Where this value stands in a body."""
    if value == wanted:
        yield path
    children = value.items() if isinstance(value, dict) else ()
    for key, child in enumerate(value) if isinstance(value, list) else children:
        yield from places(child, wanted, (*path, key))


def with_value(body, path, value):
    """The body with another value there."""
    body = deepcopy(body)
    at = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return body


def name_of(path):
    return ".".join(map(str, path))


def raw(body):
    return json.dumps(body).encode()
