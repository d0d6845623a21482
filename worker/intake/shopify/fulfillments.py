"""Fulfillments with status `success`, each one parcel with its first tracking number."""

from collections import Counter
from collections.abc import Iterable, Mapping

from messages import DoneShipment
from worker.intake.done import Done, parcel_items
from worker.intake.node import Node, make
from worker.intake.shopify.lines import Lines, item_type


def successful(fulfillments: Iterable[Node]) -> list[Node]:
    return [one for one in fulfillments if one.text("status") == "success"]


def done_by(fulfillments: Iterable[Node], lines: Lines) -> Done:
    completed: Counter[str] = Counter()
    shipments = []
    for fulfillment in fulfillments:
        parcel: Counter[str] = Counter()
        for item in fulfillment.nodes("line_items"):
            uid = lines.named(item, "id")
            if uid is not None:
                is_physical = item_type(lines.ordered[uid]) == "physical"
                (parcel if is_physical else completed)[uid] += item.quantity()
        if parcel := +parcel:
            shipments.append(_shipment(fulfillment, parcel))
    return Done(completed, tuple(shipments))


def _shipment(fulfillment: Node, parcel: Mapping[str, int]) -> DoneShipment:
    return make(
        DoneShipment,
        {
            "items": fulfillment.at("line_items"),
            "carrier": fulfillment.at("tracking_company"),
            "tracking_number": fulfillment.at("tracking_number"),
            "tracking_url": fulfillment.at("tracking_url"),
        },
        items=parcel_items(parcel, fulfillment.at("line_items")),
        carrier=fulfillment.text("tracking_company"),
        tracking_number=fulfillment.text("tracking_number"),
        tracking_url=fulfillment.text("tracking_url"),
        shipped_at=fulfillment.moment("created_at"),
    )
