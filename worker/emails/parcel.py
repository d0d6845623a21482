"""Whether the e-mail of a parcel can go: not before the number that its carrier gives with the
label.
"""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

LOOK_S: Final = 60.0
"""Whoever makes the label wakes the e-mail; this is for when nobody does."""

NUMBER_TO_COME: Final = """
-- number_to_come: a dead label has not ended: a person will see to it, or give it up
select exists (
  select from shipments s join followups f
    on f.order_id = s.order_id and f.route = 'labels' and f.name = 'label'
    and f.subject_id = s.shipment_id and f.state in ('pending', 'dead')
  where s.shipment_id = %(shipment_id)s and s.carrier = any(%(bought_from)s)
    and s.tracking_number is null and s.voided_at is null)
"""


def is_number_to_come(
    connection: Connection, shipment_id: UUID, bought_from: Collection[str]
) -> bool:
    """Whether the parcel gets its number with its label, and has not yet. `bought_from` are the
    carriers that give one.
    """
    parameters = {"shipment_id": shipment_id, "bought_from": list(bought_from)}
    return bool(connection.exec_driver_sql(NUMBER_TO_COME, parameters).scalar_one())
