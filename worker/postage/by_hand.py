"""What a person found out about a purchase whose answer was lost."""

from operator import attrgetter
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import LABELS
from worker.orders.value import value
from worker.postage import purchases
from worker.postage.adapter import Bought
from worker.store import orders as store
from worker.work.audit import Act, record
from worker.work.dead import Chosen, replay

LOCK_LABEL_WORK: Final = """
-- lock_label_work: whatever buys the parcel's label, and whether a worker is at it
select f.id, f.seq, f.state,
  f.state = 'pending' and coalesce(f.lease_until > now(), false) as in_progress
from shipments s join followups f on f.order_id = s.order_id and f.route = 'labels'
  and f.name in ('label', 'relabel') and f.subject_id = s.shipment_id
where s.shipment_id = %(shipment_id)s
order by f.id for no key update of f
"""


@value
class Said:
    """What became of it: `nothing_open`: no purchase waits for a word. `in_progress`: a worker is
    asking the carrier at this moment. Nothing is changed then.
    """

    answer: Literal["done", "nothing_open", "in_progress"]
    dead: UUID | None = None
    """What makes the label, the newest, if it is a dead letter still."""


def bought(connection: Connection, shipment_id: UUID, label: Bought, *, by: str) -> Said:
    """It was bought: the label goes on with that, in the connection's transaction."""
    return _say(connection, shipment_id, label, by=by)


def not_bought(connection: Connection, shipment_id: UUID, *, by: str) -> Said:
    """It was not bought: a replay buys it."""
    return _say(connection, shipment_id, None, by=by)


def _say(connection: Connection, shipment_id: UUID, label: Bought | None, *, by: str) -> Said:
    found = connection.exec_driver_sql(LOCK_LABEL_WORK, {"shipment_id": shipment_id})
    works = sorted(found, key=attrgetter("seq"))
    if any(work.in_progress for work in works):
        return Said("in_progress")
    shipment = purchases.look(connection, shipment_id)
    if not works or shipment is None or not shipment.unknown:
        return Said("nothing_open")
    purchase, order_id, note = shipment.unknown[0], shipment.order_id, f"said {by}"
    dead = [work.id for work in works if work.state == "dead"]
    details = {"purchase_id": purchase.purchase_id, "carrier": purchase.carrier}
    if label is None:
        store.lock(connection, [order_id])
        purchases.none(connection, purchase.purchase_id, note=note)
        record(connection, by, [Act("not_bought", LABELS, works[-1].id, order_id, details)])
        return Said("done", dead[-1] if dead else None)
    purchases.bought(connection, purchase.purchase_id, order_id, label, by=by, note=note)
    details |= {"tracking_number": label.tracking_number, "carrier_id": label.carrier_id}
    record(connection, by, [Act("bought", LABELS, works[-1].id, order_id, details)])
    if dead:
        replay(connection, Chosen(ids=dead), actor=by)
    return Said("done")
