"""The route of tracking: where bought parcels are, asked now and then until they have arrived."""

from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from messages.wire import TRACKING
from worker.errors import Terminal
from worker.postage import purchases
from worker.postage.adapter import Transit
from worker.postage.adapters import Carriers
from worker.settings import Settings
from worker.work.drain import Route
from worker.work.followups import Answer, Ended, Later, Task, followups_route
from worker.work.observer import SILENT, Observer

SHORTEST_S: Final = 1800.0
LONGEST_S: Final = 6 * 3600.0
"""Between two looks. They grow with the parcel's age: carriers scan it often at first."""
GIVEN_UP_S: Final = 60 * 86_400.0
"""A parcel of which nothing was heard for so long is heard of no more."""

TRANSIT: Final = """
-- transit: only a change is one
update shipments set transit = %(state)s, transit_at = coalesce(%(at)s, now())
where shipment_id = %(shipment_id)s and transit is distinct from %(state)s
"""

ANSWERED: Final = """
-- answered: what failed before the carrier answered counts no more; a parcel is asked for for weeks
update followups set attempts = 0 where id = %(id)s
"""


def tracking_route(
    engine: Engine, config: Settings, carriers: Carriers, *, observer: Observer = SILENT
) -> Route:
    """The route, through the carriers' adapters."""
    return followups_route(
        engine,
        TRACKING,
        partial(track, engine, carriers),
        batch_size=1,  # a slow carrier would hold the second one beyond the batch's limit
        drainers=max(1, config.threads // 4),
        observer=observer,
    )


def track(engine: Engine, carriers: Carriers, task: Task) -> Answer:
    """Look where a parcel is, and say when to look again.

    Raises:
      Terminal: The carrier knows no such parcel, or nobody speaks to it any more.
      Transient: The carrier cannot be asked now.
    """
    with engine.connect() as connection:
        shipment = purchases.look(connection, task.subject_id)
    if shipment is None or shipment.is_voided:
        return Ended({"skipped": "voided"}, state="skipped")
    label = shipment.kept
    if label is None or label.tracking_number is None:
        return Ended({"skipped": "no_label"}, state="skipped")
    carrier = carriers.get(label.carrier)
    if carrier is None:
        raise Terminal(
            "no_adapter", f"FULFILLMENT_CARRIER_ADAPTERS does not say who speaks to {label.carrier}"
        )
    if later := carrier.turn():
        return later
    with carrier.calling() as adapter:
        transit = adapter.track(label.tracking_number)
    write = partial(_write, task=task, shipment_id=shipment.shipment_id, transit=transit)
    if transit.state in {"delivered", "returned"}:
        return Ended({"transit": transit.state}, write=write)
    if label.asked_s > GIVEN_UP_S:
        return Ended({"skipped": "given_up"}, state="skipped", write=write)
    return Later(min(max(label.asked_s / 8, SHORTEST_S), LONGEST_S), "carrier", write=write)


def _write(connection: Connection, *, task: Task, shipment_id: UUID, transit: Transit) -> None:
    connection.exec_driver_sql(ANSWERED, {"id": task.id})
    if transit.state == "announced":
        return
    parameters = {"shipment_id": shipment_id, "state": transit.state, "at": transit.at}
    if connection.exec_driver_sql(TRANSIT, parameters).rowcount:
        at = transit.at and transit.at.isoformat()
        details = {"transit": transit.state} | ({"since": at} if at else {})
        purchases.history(connection, shipment_id, "transit", details)
