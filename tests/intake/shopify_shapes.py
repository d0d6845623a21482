"""Shopify orders for the tests: small, with round figures, everything overridable."""

import csv
import io
from decimal import Decimal

from tests.intake.square_shapes import read

COLUMNS = """
Name, Email, Financial Status, Paid at, Fulfillment Status, Fulfilled at, Currency,
Subtotal, Shipping, Taxes, Total, Discount Code, Discount Amount, Shipping Method,
Created at, Lineitem quantity, Lineitem name, Lineitem price, Lineitem sku,
Lineitem requires shipping, Lineitem fulfillment status, Billing Name, Billing Address1,
Billing City, Billing Zip, Billing Country, Shipping Name, Shipping Street,
Shipping Address1, Shipping Address2, Shipping Company, Shipping City, Shipping Zip,
Shipping Province, Shipping Country, Shipping Phone, Notes, Cancelled at, Payment Method,
Payment Reference, Refunded Amount, Outstanding Balance, Id, Lineitem discount, Tax 1 Name,
Tax 1 Value, Tax 2 Name, Tax 2 Value, Tax 3 Name, Tax 3 Value, Tax 4 Name, Tax 4 Value,
Tax 5 Name, Tax 5 Value, Phone, Duties, Shipping Province Name, Payment ID
"""
HEADER = [name.strip() for name in COLUMNS.split(",")]


def line(line_id=11, price="10.00", quantity=1, **changes):
    return {
        "id": line_id,
        "name": f"Item {line_id}",
        "price": price,
        "quantity": quantity,
        "requires_shipping": True,
        **changes,
    }


def tax(price):
    return {"title": "VAT", "price": price}


def off(amount):
    return {"amount": amount, "discount_application_index": 0}


def paid(transaction_id=51, amount="10.00", kind="sale", status="success", **changes):
    return {
        "id": transaction_id,
        "kind": kind,
        "status": status,
        "amount": amount,
        "currency": "EUR",
        "gateway": "shopify_payments",
        **changes,
    }


def back(transaction_id=61, amount="10.00", **changes):
    return paid(transaction_id, amount, kind="refund", **{"parent_id": 51, **changes})


def refund(*transactions, items=(), **changes):
    return {
        "id": 71,
        "refund_line_items": list(items),
        "transactions": list(transactions),
        "order_adjustments": [],
        **changes,
    }


def refund_item(line_id=11, quantity=1, subtotal=10.0, total_tax=0.0, restock_type="return"):
    return {
        "line_item_id": line_id,
        "quantity": quantity,
        "subtotal": subtotal,
        "total_tax": total_tax,
        "restock_type": restock_type,
    }


def fulfillment(status="success", **quantities):
    """`fulfillment(_11=2)`: two of line 11."""
    return {
        "id": 81,
        "status": status,
        "line_items": [
            {"id": int(name.removeprefix("_")), "quantity": quantity}
            for name, quantity in quantities.items()
        ],
    }


def shopify_order(*lines, total=None, **changes):
    """A paid order of one item for 10.00, or of the lines given, which make the total."""
    lines = list(lines or [line()])
    if total is None:
        total = str(sum(Decimal(one["price"]) * one["quantity"] for one in lines))
    return {
        "id": 1001,
        "name": "#1",
        "currency": "EUR",
        "financial_status": "paid",
        "taxes_included": False,
        "total_price": total,
        "line_items": lines,
        **changes,
    }


def first_row(**changes):
    """The first row of a paid order of one item for 10.00; underscores stand for spaces."""
    return {
        "Name": "#1",
        "Financial Status": "paid",
        "Currency": "EUR",
        "Subtotal": "10.00",
        "Shipping": "0.00",
        "Taxes": "0.00",
        "Total": "10.00",
        **next_row(),
    } | _spaced(changes)


def next_row(**changes):
    return {
        "Name": "#1",
        "Lineitem quantity": "1",
        "Lineitem name": "Item",
        "Lineitem price": "10.00",
    } | _spaced(changes)


def export(*rows, delimiter=",", end="\r\n"):
    """The CSV as bytes."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADER, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def read_export(*rows, **options):
    return read(export(*rows, **options))


def _spaced(changes):
    return {name.replace("_", " "): value for name, value in changes.items()}
