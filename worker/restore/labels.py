"""Labels: each that is still to be bought may have been, since the backup.

References follow from the shipment, so the carrier can be asked for what the store has forgotten.
What was not heard of stays `unknown`, and nobody buys a label beside one of those.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine

from messages.wire import LABELS
from worker.errors import Terminal, Transient
from worker.postage import purchases
from worker.postage.adapters import Carriers
from worker.postage.buying import Buying, unknown_outcome
from worker.postage.purchases import Purchase, Shipment
from worker.store import orders as store
from worker.work.audit import Act, record
from worker.work.drain import BACK_OFF_S
from worker.work.followups import Later

TRIES: Final = len(BACK_OFF_S) + 1
"""For so many labels a worker may have asked, one after the other, before it gave up."""

OPEN_LABELS: Final = """
-- open_labels: shipments whose label is still to be made
select distinct subject_id from followups
where route = 'labels' and name in ('label', 'relabel') and (
  (state = 'pending' and decided_at is null) or state = 'dead')
order by subject_id
"""

IS_MARKED: Final = """
-- is_marked: by a look before this one, since the route was paused
select exists (
  select from audit a join paused_routes p on p.route = a.route and a.at >= p.paused_at
  where a.order_id = %(order_id)s and a.act = 'may_be_asked' and a.route = 'labels'
    and a.details ->> 'shipment_id' = %(shipment_id)s::text)
"""


@dataclass(frozen=True, slots=True)
class Label:
    """What became of a shipment's label: `bought`, or `nothing`: not heard of; workers look again
    before they buy. `not_told`: the carrier could not be asked, or only a person can.
    """

    shipment_id: UUID
    order_id: str
    answer: Literal["bought", "nothing", "not_told"]
    tracking_number: str | None = None
    why: str | None = None


def reconcile(engine: Engine, carriers: Carriers, *, by: str) -> Iterator[Label]:
    """Look up the label of every parcel that would buy one, and write down what was bought.

    Raises:
      sqlalchemy.exc.OperationalError: An order was not to be had within `lock_timeout`.
    """
    with engine.connect() as connection:
        ids = list(connection.exec_driver_sql(OPEN_LABELS).scalars())
    buying = Buying(engine, carriers, lease_s=0)  # it only looks
    marked = []
    for shipment_id in ids:
        with engine.begin() as connection:
            marked.append(_marked(connection, carriers, shipment_id, by=by))
    for shipment in filter(None, marked):
        yield _find(buying, shipment)


def _marked(
    connection: Connection, carriers: Carriers, shipment_id: UUID, *, by: str
) -> Shipment | None:
    """The shipment with what may have been asked for it; None if it buys no label."""
    shipment = purchases.look(connection, shipment_id)
    if shipment is None or shipment.is_voided or shipment.kept or not shipment.wants(carriers):
        return None
    store.lock(connection, [shipment.order_id])
    where = {"order_id": shipment.order_id, "shipment_id": shipment_id}
    code = shipment.carrier or ""
    if code not in carriers:
        code = shipment.unknown[0].carrier
    if code not in carriers or connection.exec_driver_sql(IS_MARKED, where).scalar_one():
        return shipment
    # A person who has to ask for each of them is asked for one.
    tries = TRIES if carriers[code].adapter.can_find else 1
    shipment = purchases.look(connection, shipment_id) or shipment  # the order is locked by now
    ids = [purchases.reference(shipment, further) for further in range(tries)]
    for purchase_id in ids:
        purchases.ask(connection, shipment, purchase_id, code)
    details = {"shipment_id": shipment_id, "carrier": code, "references": [one.hex for one in ids]}
    record(connection, by, [Act("may_be_asked", LABELS, None, shipment.order_id, details)])
    return purchases.look(connection, shipment_id)


def _find(buying: Buying, shipment: Shipment) -> Label:
    answer = partial(Label, shipment.shipment_id, shipment.order_id)
    for purchase in shipment.unknown:
        try:
            _ask(buying, shipment, purchase)
        except (Transient, Terminal) as error:
            return answer("not_told", why=f"{error.reason}: {error}")
    with buying.engine.connect() as connection:
        now = purchases.look(connection, shipment.shipment_id)
    if now and now.kept:
        return answer("bought", tracking_number=now.kept.tracking_number)
    return answer("nothing")


def _ask(buying: Buying, shipment: Shipment, purchase: Purchase) -> None:
    """Find out, when it is our turn, and write down what was bought.

    Raises:
      Terminal: Only a person can find out.
      Transient: The carrier cannot be asked now.
    """
    carrier = buying.carriers.get(purchase.carrier)
    if carrier is None or not carrier.adapter.can_find:
        raise unknown_outcome(shipment, purchase)
    while True:
        match buying.find(shipment, purchase):
            case Later(after_s, "rate"):
                time.sleep(after_s)
            case _:
                return
