"""Fulfillments: what of the lines is done, and of which type that makes them.

- **Item type.** GIFT_CARD -> gift_card; in a DIGITAL fulfillment -> digital; else
  `metadata.item_type` of the line; else physical.
- **Done.** Only COMPLETED fulfillments count, of every type: their physical units become a
  shipment, the others are completed.
"""

from collections import Counter
from collections.abc import Mapping
from typing import get_args

from messages import DoneShipment
from messages.order import ItemType
from worker.intake.done import Done, parcel_items
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.square.lines import Lines


class Fulfillments:
    """The fulfillments of an order, what units each is about, and the types of the lines."""

    def __init__(self, fulfillments: list[Node], lines: Lines) -> None:
        self.fulfillments = fulfillments
        self._covered = [_covered(one, lines) for one in fulfillments]
        self.item_types = {uid: self._item_type(uid, item) for uid, item in lines.ordered.items()}

    def done(self) -> Done:
        completed: Counter[str] = Counter()
        shipments = []
        for fulfillment, units in zip(self.fulfillments, self._covered, strict=True):
            if fulfillment.text("state") != "COMPLETED":
                continue
            parcel: Counter[str] = Counter()
            for uid, quantity in units.items():
                (parcel if self.item_types[uid] == "physical" else completed)[uid] += quantity
            if parcel := +parcel:
                shipments.append(_shipment(fulfillment, parcel))
        return Done(completed, tuple(shipments))

    def _item_type(self, uid: str, item: Node) -> str:
        if item.text("item_type") == "GIFT_CARD":
            return "gift_card"
        if any(
            one.text("type") == "DIGITAL" and units[uid]
            for one, units in zip(self.fulfillments, self._covered, strict=True)
        ):
            return "digital"
        metadata = item.node("metadata")
        if metadata.text("item_type") is None:
            return "physical"
        return metadata.word("item_type", get_args(ItemType))


def _covered(fulfillment: Node, lines: Lines) -> Counter[str]:
    """Units of each line that a fulfillment is about."""
    entries = fulfillment.nodes("entries")
    if fulfillment.text("line_item_application") != "ENTRY_LIST" and not entries:
        return Counter(lines.quantities)
    units: Counter[str] = Counter()
    for entry in entries:
        uid = entry.text("line_item_uid")
        if uid in lines.shipping:
            continue
        if uid not in lines.ordered:
            raise OrderRefused(Why.INVALID, f"{entry.at('line_item_uid')}: names no line item")
        units[uid] += entry.quantity()
    return units


def _shipment(fulfillment: Node, parcel: Mapping[str, int]) -> DoneShipment:
    details = details_of(fulfillment)
    moments = ("shipped_at", "delivered_at", "completed_at", "picked_up_at")
    return make(
        DoneShipment,
        {
            "items": fulfillment.at("entries"),
            "carrier": details.at("carrier"),
            "tracking_number": details.at("tracking_number"),
            "tracking_url": details.at("tracking_url"),
        },
        items=parcel_items(parcel, fulfillment.at("entries")),
        carrier=details.text("carrier") or details.text("courier_provider_name"),
        tracking_number=details.text("tracking_number"),
        tracking_url=details.text("tracking_url"),
        shipped_at=next((at for key in moments if (at := details.moment(key))), None),
    )


def details_of(fulfillment: Node) -> Node:
    """`shipment_details`, `pickup_details`, `delivery_details`, ..."""
    return fulfillment.node(f"{(fulfillment.text('type') or '').lower()}_details")
