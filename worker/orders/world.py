"""The world around an order: the time, the carriers, what came before, how fine money is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from messages import PlacedOrder
from worker.orders.model import Decision, Shipment


@dataclass(frozen=True, slots=True)
class World:
    """What the rules need to know beside the order."""

    now: datetime
    carriers: Mapping[str, str]
    """Names of the known carriers by code."""
    placed: Mapping[str, PlacedOrder] = field(default_factory=dict)
    """The form in which upstream placed an order last, by order id."""
    shipments: Mapping[tuple[str, UUID], Shipment] = field(default_factory=dict)
    """Those that commands name, by order id and their own."""

    def after(self, decision: Decision) -> "World":
        """The world that the next decision sees."""
        carriers, placed, shipments = self.carriers, self.placed, self.shipments
        if decision.carrier:
            carriers = {**carriers, decision.carrier.code: decision.carrier.name}
        if decision.placed:
            placed = {**placed, decision.order.order_id: decision.placed}
        if new := [*decision.shipments, *filter(None, (decision.voided, decision.retracked))]:
            order_id = decision.order.order_id
            shipments = {**shipments, **{(order_id, one.shipment_id): one for one in new}}
        return (
            self
            if placed is self.placed and carriers is self.carriers and shipments is self.shipments
            else replace(self, carriers=carriers, placed=placed, shipments=shipments)
        )


Steps = Callable[[str | None, str], int]
"""The smallest step, in minor units, of what can go back on a payment of this method, in this
currency.
"""


def any_step(method: str | None, currency: str) -> int:
    """Whatever the currency has."""
    del method, currency
    return 1
