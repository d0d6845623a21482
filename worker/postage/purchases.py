"""What was asked of carriers, as the database knows it: rows of `purchases`, and how they end.

`unknown` is asked and not heard. What is known of money spent is written at once, whoever's claim
the work is by then.
"""

from collections.abc import Container
from typing import Any, Final
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Connection

from messages.wire import LABELS
from worker.orders.model import FollowUp
from worker.orders.money import to_decimal
from worker.orders.value import value
from worker.postage.adapter import Bought, LabelKind
from worker.store import orders as store

SHIPMENT: Final = """
-- shipment_to_buy_for
select shipment_id, order_id, command_id, carrier, tracking_number, label, weight_g,
  voided_at is not null as is_voided
from shipments where shipment_id = %(shipment_id)s
"""

PURCHASES: Final = """
-- purchases_of_shipment: the latest first
select purchase_id, carrier, state, extract(epoch from now() - asked_at)::float8 as asked_s,
  carrier_id, tracking_number, label_kind, label
from purchases where shipment_id = %(shipment_id)s
order by asked_at desc, purchase_id
"""

SHIPMENT_OF_PURCHASE: Final = """
-- shipment_of_purchase
select shipment_id from purchases where purchase_id = %(purchase_id)s
"""

ASK: Final = """
-- ask: from here on it may be bought
insert into purchases (purchase_id, shipment_id, order_id, carrier, state)
values (%(purchase_id)s, %(shipment_id)s, %(order_id)s, %(carrier)s, 'unknown')
"""

BOUGHT: Final = """
-- bought: also one that had been given up as not bought
update purchases set state = 'bought', carrier_id = %(carrier_id)s,
  tracking_number = %(tracking_number)s, cost_minor = %(cost_minor)s, currency = %(currency)s,
  label_kind = %(label_kind)s, label = %(label)s, ended_at = now(), note = %(note)s
where purchase_id = %(purchase_id)s and state in ('unknown', 'none')
returning shipment_id, carrier,
  (select s.command_id from shipments s where s.shipment_id = purchases.shipment_id)
"""

NONE: Final = """
-- not_bought
update purchases set state = 'none', ended_at = now(), note = %(note)s
where purchase_id = %(purchase_id)s and state = 'unknown'
"""

VOIDED: Final = """
-- label_voided
update purchases set state = 'voided', ended_at = now(), label = null
where purchase_id = %(purchase_id)s and state = 'bought'
returning shipment_id, carrier, tracking_number
"""

HISTORY: Final = """
-- label_history
insert into history (order_id, event, command_id, issued_by, details)
select s.order_id, %(event)s, s.command_id, %(by)s, %(details)s::jsonb
from shipments s where s.shipment_id = %(shipment_id)s
"""

STAGE: Final = """
-- stage: once, however often it is asked for
insert into followups (
  id, route, name, order_id, command_id, subject_id, lane, next_at, waits_for)
values (%(id)s, %(route)s, %(name)s, %(order_id)s, %(command_id)s, %(subject_id)s,
  coalesce((select lane from commands where id = %(command_id)s), 0),
  now() + %(after_s)s * interval '1 second', %(waits_for)s)
on conflict (id) do nothing
"""


@value
class Purchase:
    """One time that a label was asked for; `label` is there until its file is stored."""

    purchase_id: UUID
    carrier: str
    state: str
    asked_s: float
    """How long ago."""
    carrier_id: str | None = None
    tracking_number: str | None = None
    label_kind: LabelKind | None = None
    label: bytes | None = None


@value
class Shipment:
    """A parcel, and what was asked for it, the latest first."""

    shipment_id: UUID
    order_id: str
    command_id: UUID
    carrier: str | None
    tracking_number: str | None
    label: str
    weight_g: int | None
    is_voided: bool
    purchases: tuple[Purchase, ...] = ()

    def wants(self, bought_from: Container[str]) -> bool:
        """Whether the parcel's label is bought, or may have been; the carriers are those with an
        adapter.
        """
        if any(one.state in {"unknown", "bought"} for one in self.purchases):
            return True
        is_asked_for = self.label == "generate" and self.tracking_number is None
        return is_asked_for and self.carrier in bought_from

    @property
    def unknown(self) -> list[Purchase]:
        """Those of which nobody knows whether they are bought."""
        return [one for one in self.purchases if one.state == "unknown"]

    @property
    def kept(self) -> Purchase | None:
        """The bought label that the parcel goes with: the one whose number it has, else the latest;
        none once it is voided.
        """
        bought = [one for one in self.purchases if one.state == "bought"]
        with_number = [one for one in bought if one.tracking_number == self.tracking_number]
        return next(iter(with_number or bought), None) if not self.is_voided else None

    @property
    def surplus(self) -> list[Purchase]:
        """Bought labels that are to be given back."""
        return [one for one in self.purchases if one.state == "bought" and one is not self.kept]


def look(connection: Connection, shipment_id: UUID) -> Shipment | None:
    """The shipment as it is at this moment."""
    parameters = {"shipment_id": shipment_id}
    row = connection.exec_driver_sql(SHIPMENT, parameters).mappings().first()
    if row is None:
        return None
    found = connection.exec_driver_sql(PURCHASES, parameters)
    asked = tuple(Purchase(*one) for one in found)
    return Shipment(**row, purchases=asked)


def shipment_of(connection: Connection, purchase_id: UUID) -> UUID | None:
    """The shipment that a label was asked for."""
    found: UUID | None = connection.exec_driver_sql(
        SHIPMENT_OF_PURCHASE, {"purchase_id": purchase_id}
    ).scalar()
    return found


def reference(shipment: Shipment, further: int = 0) -> UUID:
    """Under which the shipment's next label is asked for, or one so many further on. It follows
    from the shipment, so that a restored store can ask the carrier for what it has forgotten.
    """
    return uuid5(shipment.shipment_id, f"purchase {len(shipment.purchases) + further}")


def ask(connection: Connection, shipment: Shipment, purchase_id: UUID, carrier: str) -> None:
    """Write down that a label will be asked for; once that is committed it may have been."""
    connection.exec_driver_sql(
        ASK,
        {
            "purchase_id": purchase_id,
            "shipment_id": shipment.shipment_id,
            "order_id": shipment.order_id,
            "carrier": carrier,
        },
    )


def bought(
    connection: Connection,
    purchase_id: UUID,
    order_id: str,
    label: Bought,
    *,
    by: str | None = None,
    note: str | None = None,
) -> bool:
    """Write down that it is bought, and stage what is one too many for being given back; False if
    that was known already.
    """
    # So that of two late answers one sees the other.
    store.lock(connection, [order_id])
    row = connection.exec_driver_sql(
        BOUGHT,
        {
            "purchase_id": purchase_id,
            "carrier_id": label.carrier_id,
            "tracking_number": label.tracking_number,
            "cost_minor": label.cost_minor,
            "currency": label.currency,
            "label_kind": label.label_kind if label.label else None,
            "label": label.label or None,
            "note": note,
        },
    ).first()
    if row is None:
        return False
    details = {"carrier": row.carrier, "tracking_number": label.tracking_number}
    if label.cost_minor is not None and label.currency:
        details["cost"] = f"{to_decimal(label.cost_minor, label.currency)} {label.currency}"
    history(connection, row.shipment_id, "label_bought", details, by=by)
    shipment = look(connection, row.shipment_id)
    for one in shipment.surplus if shipment else ():
        followup = FollowUp(LABELS, "void_surplus", one.purchase_id)
        stage(connection, row.command_id, order_id, followup)
    return True


def none(connection: Connection, purchase_id: UUID, *, note: str) -> bool:
    """Write down that nothing was bought; False if it had ended."""
    parameters = {"purchase_id": purchase_id, "note": note}
    return connection.exec_driver_sql(NONE, parameters).rowcount > 0


def voided(connection: Connection, purchase_id: UUID) -> None:
    """Write down that the label was given back."""
    row = connection.exec_driver_sql(VOIDED, {"purchase_id": purchase_id}).first()
    if row:
        details = {"carrier": row.carrier, "tracking_number": row.tracking_number}
        history(connection, row.shipment_id, "label_voided", details)


def history(
    connection: Connection,
    shipment_id: UUID,
    event: str,
    details: dict[str, Any],
    *,
    by: str | None = None,
) -> None:
    """Add a line to the history of the shipment's order."""
    connection.exec_driver_sql(
        HISTORY,
        {
            "shipment_id": shipment_id,
            "event": event,
            "by": by,
            "details": orjson.dumps(details).decode(),
        },
    )


def stage(
    connection: Connection,
    command_id: UUID,
    order_id: str,
    followup: FollowUp,
    *,
    after_s: float = 0,
    waits_for: str | None = None,
) -> None:
    """Stage a follow-up of a command, unless it was staged before."""
    row = store.followup(command_id, order_id, followup)
    connection.exec_driver_sql(STAGE, row | {"after_s": after_s, "waits_for": waits_for})
