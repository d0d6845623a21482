"""Whether the e-mail of a parcel can go: not before the number that its carrier gives with the
label, and not at all when the parcel was called back.
"""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from worker.work.followups import Ended, Later

LOOK_S: Final = 60.0
"""Whoever makes the label wakes the e-mail; this is for when nobody does."""

LABEL_TO_COME: Final = """
-- label_to_come: whether the parcel was called back, and whether its number comes with its label.
-- A dead label has not ended: a person will see to it, or give it up.
select s.voided_at is not null,
  s.carrier = any(%(bought_from)s) and s.tracking_number is null and exists (
    select from followups f
    where f.order_id = s.order_id and f.route = 'labels' and f.name = 'label'
      and f.subject_id = s.shipment_id and f.state in ('pending', 'dead'))
from shipments s where s.shipment_id = %(shipment_id)s
"""


def hindrance(
    connection: Connection, shipment_id: UUID, bought_from: Collection[str]
) -> Ended | Later | None:
    """Why the e-mail does not go now; None if nothing is in its way. `bought_from` are the carriers
    that give a number with the label.
    """
    parameters = {"shipment_id": shipment_id, "bought_from": list(bought_from)}
    row = connection.exec_driver_sql(LABEL_TO_COME, parameters).first()
    if row is None:
        return None
    is_voided, is_to_come = row
    if is_voided:
        return Ended({"skipped": "voided"}, state="skipped")
    return Later(LOOK_S, "label") if is_to_come else None
