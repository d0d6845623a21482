"""What a line costs, fees, and sums that must tie."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from messages import Fee
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why


@dataclass(frozen=True, slots=True)
class Cost:
    """For all units. `net_minor` is before the discount and without the tax."""

    net_minor: int
    discount_minor: int = 0
    tax_minor: int = 0


def fee_of(kind: str, node: Node, keys: Mapping[str, str], cost: Cost) -> Fee:
    """The fee that a node is. `keys`: under which key it has the name, and perhaps the amounts."""
    return make(
        Fee,
        {field: node.at(key) for field, key in keys.items()},
        kind=kind,
        name=node.text(keys["name"]),
        **asdict(cost),
    )


def mismatch(
    what: str, found_minor: int, said_minor: int, currency: str, *, sayer: str = "it"
) -> OrderRefused:
    """The refusal of a sum that does not tie, naming the difference."""
    return OrderRefused(
        Why.TOTAL_MISMATCH,
        f"{what} to {found_minor}, {sayer} says {said_minor}: a difference of "
        f"{found_minor - said_minor} minor units of {currency}",
    )
