"""Buying a label, once: asked for under our reference, and written down.

Before the call a row says `unknown`; whoever comes later, for whatever reason, finds out what
became of it before asking again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import Terminal, Transient, Uncertain
from worker.postage import purchases
from worker.postage.adapter import Bought, Order
from worker.postage.adapters import Carrier, Carriers
from worker.postage.answers import usable
from worker.postage.purchases import Purchase, Shipment
from worker.store import orders as store
from worker.work.followups import Answer, Ended, Later, Task

_AGAIN_S: Final = (0.2, 1.0, 3.0)
"""Pauses of who knows of money spent and cannot write it down."""

Ordered = Callable[[UUID, Shipment], Order]
"""What is to be bought under a reference for the shipment as it is once its order is locked; raises
`Terminal` if that cannot be.
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Buying:
    """Labels from carriers."""

    engine: Engine
    carriers: Carriers
    lease_s: float
    """How long a claim of work is out of others' reach."""
    clock: Callable[[], float] = time.monotonic

    def __call__(self, task: Task, shipment: Shipment, order: Ordered) -> Purchase | Answer:
        """The label that the parcel has, bought now if it has none; or why there is none yet.

        Raises:
          Terminal: `unknown_outcome`, what `order` raises, or what the carrier refuses.
          Transient: The carrier cannot be asked now.
        """
        if shipment.is_voided:
            # What was bought is given back by a follow-up of its own.
            return Ended({"skipped": "voided"}, state="skipped")
        for purchase in shipment.unknown:
            # Also beside one that is bought: it may be alive.
            if isinstance(later := self.find(shipment, purchase), Later):
                return later
        if shipment.unknown:
            with self.engine.connect() as connection:
                shipment = purchases.look(connection, shipment.shipment_id) or shipment
        return shipment.kept or self._buy(task, shipment, order)

    def find(self, shipment: Shipment, purchase: Purchase) -> Purchase | Later | None:
        """What became of a purchase whose answer was lost; None if nothing was bought.

        Raises:
          Terminal: `unknown_outcome`: only a person can find out.
          Transient: The carrier cannot be asked now.
        """
        carrier = self.carriers.get(purchase.carrier)
        if carrier is None:
            raise unknown_outcome(shipment, purchase)
        rest_s = carrier.adapter.settles_within_s - purchase.asked_s
        if carrier.adapter.can_find:
            if later := carrier.turn():
                return later
            with carrier.calling() as adapter:
                found = adapter.find(purchase.purchase_id)
            if found:
                return self._bought(shipment.order_id, purchase, usable(found))
        if rest_s > 0:  # its call may be under way
            return Later(rest_s, "carrier")
        if not carrier.adapter.can_find:
            raise unknown_outcome(shipment, purchase)
        self._none(purchase, "not found at the carrier")
        return None

    def _buy(self, task: Task, shipment: Shipment, order: Ordered) -> Purchase | Answer:
        carrier = self.carriers[shipment.carrier or ""]
        if later := carrier.turn():
            return later
        # Well below the lease: a process that stood still here does not call any more.
        until = self.clock() + self.lease_s / 4
        asked = self._ask(task, carrier, order)
        if not isinstance(asked, tuple):
            return asked
        purchase, wanted = asked
        if self.clock() > until:
            self._none(purchase, "too late to ask")
            return Later(0, "carrier")
        try:
            with carrier.calling() as adapter:
                answer = usable(adapter.buy(wanted))
        except Uncertain as error:
            if carrier.adapter.can_find:
                raise
            raise unknown_outcome(shipment, purchase) from error
        except (Transient, Terminal) as error:
            self._none(purchase, error.reason)
            raise
        return self._bought(task.order_id, purchase, answer)

    def _ask(self, task: Task, carrier: Carrier, order: Ordered) -> tuple[Purchase, Order] | Answer:
        """Write down that it will be asked for, if the work is still ours and may be done."""
        with task.fenced() as connection:
            store.lock(connection, [task.order_id])
            shipment = purchases.look(connection, task.subject_id)
            if shipment is None or shipment.is_voided:
                return Ended({"skipped": "voided"}, state="skipped")
            if shipment.kept or shipment.unknown:
                return Later(0, "carrier")
            purchase = Purchase(purchases.reference(shipment), carrier.code, "unknown", 0)
            wanted = order(purchase.purchase_id, shipment)
            purchases.ask(connection, shipment, purchase.purchase_id, carrier.code)
        return purchase, wanted

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
        return replace(
            purchase,
            state="bought",
            carrier_id=answer.carrier_id,
            tracking_number=answer.tracking_number,
            label_kind=answer.label_kind,
            label=answer.label,
        )

    def _none(self, purchase: Purchase, note: str) -> None:
        with self.engine.begin() as connection:
            purchases.none(connection, purchase.purchase_id, note=note)


def unknown_outcome(shipment: Shipment, purchase: Purchase) -> Terminal:
    """Nobody but a person can find out whether it was bought; says how."""
    return Terminal(
        "unknown_outcome",
        f"ask {purchase.carrier} whether it has a label under reference {purchase.purchase_id.hex};"
        f" then: fulfillment labels bought {shipment.shipment_id} --tracking-number N"
        f" --carrier-id I [--file F], or: fulfillment labels not-bought {shipment.shipment_id}",
    )
