"""One body of each kind with every field filled, as a producer that is not Python writes it."""

from typing import Any

ENVELOPE: dict[str, Any] = {
    "command_id": "11111111-1111-4111-8111-111111111111",
    "order_id": "A-1001",
    "issued_at": "2026-03-01T12:00:00Z",
    "issued_by": "admin panel",
    "schema_version": 1,
    "expected_version": 3,
    "after": "22222222-2222-4222-8222-222222222222",
    "not_before": "2026-03-02T09:00:00+01:00",
    "notify_customer": False,
    "policy": "clamp",
}
ITEMS = [{"line_id": "A", "quantity": 2}, {"line_id": "B", "quantity": 0}]
ADDRESS = {
    "name": "Ann",
    "company": "ACME",
    "lines": ["1 Main St", "Floor 2"],
    "city": "Lyon",
    "district": "Rhône",
    "postal_code": "69001",
    "country": "FR",
    "phone": "+33 1 23 45",
}
SHIP = ENVELOPE | {
    "kind": "ship",
    "items": ITEMS,
    "carrier": "dhl",
    "tracking_number": "T1",
    "tracking_url": "https://t.example/T1",
    "service": "Express",
    "label": "generate",
    "weight_g": 1250,
}
SHIP_BY_NEW_CARRIER = ENVELOPE | {
    "kind": "ship",
    "new_carrier": {
        "code": "pigeon",
        "name": "Pigeon Post",
        "tracking_url": "https://p.example/{number}",
    },
}
COMPLETE = ENVELOPE | {"kind": "complete", "items": ITEMS}
MONEY = {"amount_minor": 1250, "currency": "EUR"}
CANCEL = ENVELOPE | {
    "kind": "cancel",
    "items": ITEMS,
    "refund": MONEY,
    "include_shipping": True,
    "reason": "out of stock",
}
REFUND = ENVELOPE | {
    "kind": "refund",
    "amount": MONEY,
    "include_shipping": True,
    "reason": "broken",
}
SHIPMENT = "33333333-3333-4333-8333-333333333333"
VOID = ENVELOPE | {
    "kind": "void",
    "shipment_id": SHIPMENT,
    "force": True,
    "reason": "wrong address",
}
UPDATE_TRACKING = ENVELOPE | {
    "kind": "update_tracking",
    "shipment_id": SHIPMENT,
    "carrier": "dhl",
    "tracking_number": "T2",
    "tracking_url": "https://t.example/T2",
    "notify_customer": True,
}
HOLD = ENVELOPE | {"kind": "hold", "reason": "wrong address"}
RELEASE = ENVELOPE | {"kind": "release"}
PLACE = ENVELOPE | {
    "kind": "place",
    "order": {
        "currency": "EUR",
        "total_minor": 3000,
        "lines": [
            {
                "line_id": "A",
                "name": "Mug",
                "sku": "MUG-1",
                "item_type": "digital",
                "quantity": 3,
                "net_minor": 2500,
                "discount_minor": 100,
                "tax_minor": 480,
                "completed": 1,
                "cancelled": 1,
            }
        ],
        "fees": [
            {
                "kind": "shipping",
                "name": "Standard",
                "net_minor": 500,
                "discount_minor": 10,
                "tax_minor": 98,
            }
        ],
        "payments": [
            {
                "payment_id": "P1",
                "captured_minor": 3000,
                "method": "card",
                "captured_at": "2026-03-01T12:00:00+01:00",
            }
        ],
        "discount_minor": 5,
        "tax_minor": 7,
        "number": "1001",
        "placed_at": "2026-03-01T11:59:00Z",
        "customer": {
            "name": "Ann",
            "email": "ann@example.org",
            "phone": "+33 1 23 45",
            "locale": "fr-CA",
            "opted_out": True,
        },
        "billing_address": ADDRESS,
        "ship_to": ADDRESS,
        "ship_from": ADDRESS,
        "hold": "fraud check",
        "shipments": [
            {
                "items": ITEMS,
                "carrier": "Colissimo",
                "tracking_number": "T0",
                "tracking_url": "https://t.example/T0",
                "shipped_at": "2026-03-01T12:00:00Z",
            }
        ],
        "refunds": [
            {
                "parts": [{"payment_id": "P1", "amount_minor": 100}],
                "items": [
                    {
                        "line_id": "A",
                        "quantity": 1,
                        "gross_minor": 90,
                        "tax_minor": 15,
                        "discount_minor": 3,
                    }
                ],
                "shipping_minor": 10,
                "reason": "late",
                "refunded_at": "2026-03-01T12:00:00Z",
            }
        ],
    },
}
ALL = {
    "place": PLACE,
    "ship": SHIP,
    "ship by a new carrier": SHIP_BY_NEW_CARRIER,
    "complete": COMPLETE,
    "cancel": CANCEL,
    "refund": REFUND,
    "void": VOID,
    "update_tracking": UPDATE_TRACKING,
    "hold": HOLD,
    "release": RELEASE,
}
