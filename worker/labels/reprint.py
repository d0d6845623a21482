"""A parcel's file once more: as it was made, byte for byte; where it was not, drawn, not stored."""

from sqlalchemy import Engine

from worker.errors import Terminal
from worker.labels import documents
from worker.labels.facts import Parcel
from worker.labels.files import Kind, digest_of, files, name_of
from worker.labels.printer import Printer
from worker.orders.value import value
from worker.postage import purchases
from worker.settings import Settings


@value
class Reprint:
    """A file's content."""

    content: bytes
    was_lost: bool
    """It was made once, is not in the store any more, and is drawn again."""


def reprint(
    engine: Engine, config: Settings, printer: Printer, parcel: Parcel, kind: Kind
) -> Reprint:
    """One file of a parcel; of one that has not left yet, drawn.

    Raises:
      Terminal: It was `voided`, `forgotten`, `pruned`, or `bought` and is not ours to draw; or as
        `Printer.draw` has it.
      Transient: The store cannot be used.
    """
    if parcel.is_voided:
        raise Terminal("voided", "it was voided, its items come with another")
    if parcel.is_forgotten:
        raise Terminal("forgotten", "its order was forgotten, nobody knows where it goes")
    if parcel.shipment_id is None:
        return Reprint(printer.draw(parcel, kind), was_lost=False)
    with engine.connect() as connection:
        made = documents.of_shipment(connection, parcel.shipment_id).get(kind)
        bought = purchases.look(connection, parcel.shipment_id)
    # From here on no transaction is open: a store is asked, and drawing takes its time.
    if made and made.pruned_at:
        raise Terminal("pruned", f"its {kind} was pruned on {made.pruned_at:%Y-%m-%d}")
    if made:
        content = files(config).get(name_of(made.sha256, kind))
        if content and digest_of(content) == made.sha256:
            return Reprint(content, was_lost=False)
    if kind != "slip_pdf" and bought and bought.wants(config.carrier_adapters):
        # One of our own is worth nothing to who sells labels.
        form = kind.partition("_")[2].upper()
        message = f"its label is bought from {bought.carrier}, and not here as {form}"
        raise Terminal("bought", message)
    return Reprint(printer.draw(parcel, kind), was_lost=made is not None)
