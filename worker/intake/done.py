"""What is done upstream already: parcels that left, units completed, money paid back."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from messages import DoneRefundItem, DoneRefundPart, DoneShipment, Item
from worker.intake.node import make
from worker.orders.model import RefundLine
from worker.orders.refunds import cut


@dataclass(frozen=True, slots=True)
class Done:
    """Completed units of lines that are not physical, and the parcels that have left."""

    completed: Counter[str]
    shipments: tuple[DoneShipment, ...]

    def units(self, line_id: str) -> int:
        """How many of the line were handed over, either way."""
        return self.completed[line_id] + sum(
            one.quantity
            for shipment in self.shipments
            for one in shipment.items
            if one.line_id == line_id
        )


def parcel_items(units: Mapping[str, int], at: str) -> tuple[Item, ...]:
    """The items of a parcel that stands `at` upstream's field."""
    names = {"line_id": at, "quantity": at}
    return tuple(
        make(Item, names, line_id=line_id, quantity=quantity) for line_id, quantity in units.items()
    )


def add_refund_line(lines: dict[str, RefundLine], more: RefundLine) -> None:
    """Count it to what the same line was refunded before."""
    so_far = lines.get(more.line_id, RefundLine(more.line_id, 0, 0, 0, 0))
    lines[more.line_id] = RefundLine(
        line_id=more.line_id,
        quantity=so_far.quantity + more.quantity,
        gross_minor=so_far.gross_minor + more.gross_minor,
        tax_minor=so_far.tax_minor + more.tax_minor,
        discount_minor=so_far.discount_minor + more.discount_minor,
    )


def refund_items(
    lines: Iterable[RefundLine], paid_minor: int, names: Mapping[str, str]
) -> tuple[tuple[DoneRefundItem, ...], int]:
    """What lines were paid, the first ones first, and what of the money is left after them."""
    items = []
    for line in lines:
        paid = cut(line, paid_minor)
        paid_minor -= paid.gross_minor
        items.append(
            make(
                DoneRefundItem,
                names,
                line_id=line.line_id,
                quantity=line.quantity,
                gross_minor=paid.gross_minor,
                tax_minor=paid.tax_minor,
                discount_minor=paid.discount_minor,
            )
        )
    return tuple(items), paid_minor


def refund_parts(parts: Mapping[str, int], amount_at: str) -> tuple[DoneRefundPart, ...]:
    return tuple(
        make(
            DoneRefundPart,
            {"amount_minor": amount_at},
            payment_id=payment_id,
            amount_minor=amount_minor,
        )
        for payment_id, amount_minor in parts.items()
    )
