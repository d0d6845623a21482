"""Buying a label, once: asked for under our reference, written down, then stored and landed.

Before the call a row says `unknown`; whoever comes later, for whatever reason, finds out what
became of it before asking again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from messages.wire import EMAILS, TRACKING
from worker.errors import Terminal, Transient, Uncertain
from worker.labels import documents
from worker.labels.documents import Made
from worker.labels.facts import Parcel, bad_address
from worker.labels.files import Files, Kind
from worker.orders.model import FollowUp
from worker.postage import purchases
from worker.postage.adapter import Bought, Order
from worker.postage.adapters import Carrier, Carriers
from worker.postage.purchases import Purchase, Shipment
from worker.settings import Settings
from worker.store import orders as store
from worker.work.followups import Answer, Ended, Later, Task

FIRST_LOOK_S: Final = 1800.0
"""A carrier knows a parcel once it has scanned it."""
_AGAIN_S: Final = (0.2, 1.0, 3.0)
"""Pauses of who knows of money spent and cannot write it down."""

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

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Buying:
    """Labels from carriers; `draw` makes the packing slip, which is always ours."""

    engine: Engine
    config: Settings
    carriers: Carriers
    store: Files
    draw: Callable[[Parcel, Kind], bytes]
    clock: Callable[[], float] = time.monotonic

    def __call__(self, task: Task, shipment: Shipment, parcel: Parcel) -> Answer:
        """Carry the follow-up out.

        Raises:
          Terminal: `unknown_outcome`, `bad_address`, `weight_missing`, or what the carrier refuses.
          Transient: The carrier, or the store of files, cannot be used now.
        """
        if shipment.is_voided:
            # What was bought is given back by a follow-up of its own.
            return Ended({"skipped": "voided"}, state="skipped")
        held = shipment.kept
        if held is None and shipment.unknown:
            match self.find(shipment, shipment.unknown[0]):
                case Later() as later:
                    return later
                case held:
                    pass
        if held is None:
            match self._buy(task, shipment, parcel):
                case Purchase() as held:
                    pass
                case answer:
                    return answer
        return self._land(task, held, parcel)

    def find(self, shipment: Shipment, purchase: Purchase) -> Purchase | Later | None:
        """What became of a purchase whose answer was lost; None if nothing was bought.

        Raises:
          Terminal: `unknown_outcome`: only a person can find out.
          Transient: The carrier cannot be asked now.
        """
        carrier = self.carriers.get(purchase.carrier)
        if carrier is None or not carrier.adapter.can_find:
            raise unknown_outcome(shipment, purchase)
        if later := carrier.turn():
            return later
        with carrier.calling() as adapter:
            found = adapter.find(purchase.purchase_id)
        if found:
            return self._bought(shipment.order_id, purchase, found)
        rest_s = carrier.adapter.settles_within_s - purchase.asked_s
        if rest_s > 0:
            return Later(rest_s, "carrier")
        with self.engine.begin() as connection:
            purchases.none(connection, purchase.purchase_id, note="not found at the carrier")
        return None

    def _buy(self, task: Task, shipment: Shipment, parcel: Parcel) -> Purchase | Answer:
        carrier = self.carriers[shipment.carrier or ""]
        if later := carrier.turn():
            return later
        # Well below the lease: a process that stood still here does not call any more.
        until = self.clock() + self.config.lease_s / 4
        asked = self._ask(task, parcel, carrier)
        if not isinstance(asked, tuple):
            return asked
        purchase, order = asked
        if self.clock() > until:
            self._none(purchase, "too late to ask")
            return Later(0, "carrier")
        try:
            with carrier.calling() as adapter:
                answer = adapter.buy(order)
        except Uncertain as error:
            if carrier.adapter.can_find:
                raise
            raise unknown_outcome(shipment, purchase) from error
        except (Transient, Terminal) as error:
            self._none(purchase, error.reason)
            raise
        return self._bought(task.order_id, purchase, answer)

    def _ask(self, task: Task, parcel: Parcel, carrier: Carrier) -> tuple[Purchase, Order] | Answer:
        """Write down that it will be asked for, if the work is still ours and may be done."""
        with task.fenced() as connection:
            store.lock(connection, [task.order_id])
            shipment = purchases.look(connection, task.subject_id)
            if shipment is None or shipment.is_voided:
                return Ended({"skipped": "voided"}, state="skipped")
            if shipment.kept or shipment.unknown:
                return Later(0, "carrier")
            purchase = Purchase(uuid4(), carrier.code, "unknown", 0)
            order = order_of(self.config, purchase.purchase_id, shipment, parcel)
            purchases.ask(connection, shipment, purchase.purchase_id, carrier.code)
        return purchase, order

    def _bought(self, order_id: str, purchase: Purchase, answer: Bought) -> Purchase:
        """Write down at once that money is spent, with no claim asked for."""
        ids = {"purchase_id": str(purchase.purchase_id), "carrier_id": answer.carrier_id}
        log.info("label_bought", order_id=order_id, carrier=purchase.carrier, **ids)
        for pause_s in (*_AGAIN_S, None):
            try:
                with self.engine.begin() as connection:
                    purchases.bought(connection, purchase.purchase_id, order_id, answer)
                break
            except SQLAlchemyError:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        return Purchase(
            purchase.purchase_id,
            purchase.carrier,
            "bought",
            purchase.asked_s,
            answer.carrier_id,
            answer.tracking_number,
            answer.label_kind,
            answer.label,
        )

    def _none(self, purchase: Purchase, note: str) -> None:
        with self.engine.begin() as connection:
            purchases.none(connection, purchase.purchase_id, note=note)

    def _land(self, task: Task, purchase: Purchase, parcel: Parcel) -> Ended:
        contents: dict[Kind, bytes] = {"slip_pdf": self.draw(parcel, "slip_pdf")}
        if purchase.label:
            contents[purchase.label_kind] = purchase.label
        made = documents.put(self.store, contents)
        told = {"carrier": purchase.carrier, "tracking_number": purchase.tracking_number}
        return Ended(
            {"label_made": documents.told(made), **told},
            write=partial(land, task=task, purchase=purchase, made=made),
        )


def land(connection: Connection, *, task: Task, purchase: Purchase, made: list[Made]) -> None:
    """The label's number and files are the parcel's; what waited for them goes on."""
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


def order_of(config: Settings, purchase_id: UUID, shipment: Shipment, parcel: Parcel) -> Order:
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


def unknown_outcome(shipment: Shipment, purchase: Purchase) -> Terminal:
    """Nobody but a person can find out whether it was bought; says how."""
    return Terminal(
        "unknown_outcome",
        f"ask {purchase.carrier} whether it has a label under reference {purchase.purchase_id.hex};"
        f" then: fulfillment labels bought {shipment.shipment_id} --tracking-number N"
        f" --carrier-id I [--file F], or: fulfillment labels not-bought {shipment.shipment_id}",
    )
