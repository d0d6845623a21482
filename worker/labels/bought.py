"""Labels that carriers gave: what is asked of them, and how number and file become the parcel's."""

from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import EMAILS, TRACKING
from worker.errors import Terminal
from worker.labels import documents
from worker.labels.documents import Made
from worker.labels.facts import Parcel, bad_address
from worker.orders.model import FollowUp
from worker.postage import purchases
from worker.postage.adapter import Order
from worker.postage.purchases import Purchase, Shipment
from worker.settings import Settings
from worker.work.followups import Ended, Task

FIRST_LOOK_S: Final = 1800.0
"""A carrier knows a parcel once it has scanned it."""

LAND: Final = """
-- land: the number of the label, unless somebody gave the parcel one meanwhile
update shipments set tracking_number = coalesce(tracking_number, %(tracking_number)s)
where shipment_id = %(shipment_id)s
"""

STORED: Final = """
-- label_stored
update purchases set label = null where purchase_id = %(purchase_id)s
"""

WAKE: Final = """
-- wake: what waits for the parcel's label; one that a worker holds looks again by itself
update followups f set next_at = now(), waits_for = null
from (
  select id from followups
  where order_id = %(order_id)s and route = %(route)s and subject_id = %(shipment_id)s
    and state = 'pending' and waits_for = 'label' and lease_until is null
  order by id for no key update skip locked
) as waiting where f.id = waiting.id
"""


def order_of(config: Settings, parcel: Parcel, purchase_id: UUID, shipment: Shipment) -> Order:
    """What is asked for.

    Raises:
      Terminal: `bad_address`, `ship_from_missing`, `weight_missing`.
    """
    ship_from = parcel.ship_from or config.ship_from
    weight_g = shipment.weight_g or config.parcel_weight_g
    if parcel.ship_to is None:
        raise bad_address("ship_to", ())
    if ship_from is None:
        raise Terminal("ship_from_missing", "set FULFILLMENT_SHIP_FROM: where parcels are sent")
    if weight_g is None:
        raise Terminal("weight_missing", "set FULFILLMENT_PARCEL_WEIGHT_G, or ship with a weight")
    return Order(
        purchase_id=purchase_id,
        reference=parcel.order_reference,
        ship_from=ship_from,
        ship_to=parcel.ship_to,
        service=parcel.service,
        weight_g=weight_g,
    )


def landed(task: Task, purchase: Purchase, made: list[Made]) -> Ended:
    """The end of a bought label's follow-up, when its files are stored."""
    told = {"carrier": purchase.carrier, "tracking_number": purchase.tracking_number}
    return Ended(
        {"label_made": documents.told(made), **told},
        write=partial(_land, task=task, purchase=purchase, made=made),
    )


def _land(connection: Connection, *, task: Task, purchase: Purchase, made: list[Made]) -> None:
    names = {
        "shipment_id": task.subject_id,
        "order_id": task.order_id,
        "purchase_id": purchase.purchase_id,
    }
    documents.write(connection, task.subject_id, made)
    connection.exec_driver_sql(LAND, names | {"tracking_number": purchase.tracking_number})
    connection.exec_driver_sql(STORED, names)
    connection.exec_driver_sql(WAKE, names | {"route": EMAILS})
    track = FollowUp(TRACKING, "track", task.subject_id)
    purchases.stage(
        connection,
        task.command_id,
        task.order_id,
        track,
        after_s=FIRST_LOOK_S,
        waits_for="carrier",
    )
