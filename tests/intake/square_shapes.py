"""Square orders for the tests: small, with round figures, everything overridable."""

import io
import json

from worker.intake import read_orders


def money(amount, currency="USD"):
    return {"amount": amount, "currency": currency}


def line(uid="mug", total=1000, quantity="1", **changes):
    return {
        "uid": uid,
        "name": uid.capitalize(),
        "quantity": quantity,
        "total_money": money(total),
        **changes,
    }


def card(tender_id="pay-1", amount=1000, status="CAPTURED", **changes):
    return {
        "id": tender_id,
        "type": "CARD",
        "amount_money": money(amount),
        "card_details": {"status": status},
        **changes,
    }


def refund(amount, tender_id="pay-1", status="COMPLETED", **changes):
    return {
        "id": "r",
        "tender_id": tender_id,
        "amount_money": money(amount),
        "status": status,
        **changes,
    }


def returned(uid="mug", quantity="1", total=1000, **changes):
    return {
        "source_line_item_uid": uid,
        "quantity": quantity,
        "total_money": money(total),
        **changes,
    }


def shipment(state="COMPLETED", entries=None, **details):
    """A fulfillment of everything, or of `entries` such as `{"mug": "2"}`."""
    fulfillment = {"type": "SHIPMENT", "state": state, "shipment_details": details}
    if entries is not None:
        fulfillment["line_item_application"] = "ENTRY_LIST"
        fulfillment["entries"] = [
            {"line_item_uid": uid, "quantity": quantity} for uid, quantity in entries.items()
        ]
    return fulfillment


def square_order(*lines, total=None, **changes):
    """An order of a mug for 10.00, or of the lines given; the total is theirs unless given."""
    lines = list(lines or [line()])
    if total is None:
        total = sum(one["total_money"]["amount"] for one in lines)
    return {
        "id": "order-1",
        "state": "OPEN",
        "line_items": lines,
        "total_money": money(total),
        **changes,
    }


def read(content, **options):
    """What is read from bytes, or from the JSON of anything else."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(read_orders(io.BytesIO(raw), **options))
