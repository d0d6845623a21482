"""Giving labels back: those of a voided parcel, and those that were bought beside another."""

from dataclasses import dataclass

from worker.errors import Terminal
from worker.postage import purchases
from worker.postage.buying import Buying
from worker.postage.purchases import Purchase
from worker.work.followups import Answer, Ended, Later, Task


@dataclass(frozen=True, slots=True)
class Voiding:
    """Carries out `void`, of a shipment, and `void_surplus`, of a purchase."""

    buying: Buying

    def __call__(self, task: Task) -> Answer:
        """Give back every label of the subject that should not be alive.

        Raises:
          Terminal: `in_transit`, another refusal of the carrier, or `unknown_outcome`.
          Transient: The carrier cannot be asked now.
        """
        is_surplus = task.name == "void_surplus"
        with self.buying.engine.connect() as connection:
            shipment_id = (
                purchases.shipment_of(connection, task.subject_id)
                if is_surplus
                else task.subject_id
            )
            shipment = shipment_id and purchases.look(connection, shipment_id)
        if not shipment:
            raise Terminal("no_shipment", "the shipment is not here")
        given_back = []
        for one in () if is_surplus else shipment.unknown:
            # It may be alive: first find out.
            match self.buying.find(shipment, one):
                case Later() as later:
                    return later
                case Purchase() as found if shipment.is_voided:
                    given_back.append(found)
        given_back += [
            one for one in shipment.surplus if not is_surplus or one.purchase_id == task.subject_id
        ]
        for one in given_back:
            if not_now := self._give_back(one):
                return not_now
        if not given_back:
            return Ended({"skipped": "nothing_to_void"}, state="skipped")
        return Ended({"label_voided": [one.tracking_number for one in given_back]})

    def _give_back(self, purchase: Purchase) -> Later | None:
        carrier = self.buying.carriers.get(purchase.carrier)
        if carrier is None:
            raise Terminal(
                "no_adapter",
                f"label {purchase.carrier_id} is to be given back, and"
                f" FULFILLMENT_CARRIER_ADAPTERS does not say who speaks to {purchase.carrier}",
            )
        if later := carrier.turn():
            return later
        with carrier.calling() as adapter:
            adapter.void(purchase.carrier_id or "", purchase.tracking_number or "")
        with self.buying.engine.begin() as connection:
            purchases.voided(connection, purchase.purchase_id)
        return None
