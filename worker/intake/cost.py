"""What a line or a fee costs, and sums that must tie."""

from dataclasses import dataclass

from worker.intake.refusal import OrderRefused, Why


@dataclass(frozen=True, slots=True)
class Cost:
    """For all units. `net_minor` is before the discount and without the tax."""

    net_minor: int
    discount_minor: int = 0
    tax_minor: int = 0


def mismatch(
    what: str, found_minor: int, said_minor: int, currency: str, *, sayer: str = "it"
) -> OrderRefused:
    """The refusal of a sum that does not tie, naming the difference."""
    return OrderRefused(
        Why.TOTAL_MISMATCH,
        f"{what} to {found_minor}, {sayer} says {said_minor}: a difference of "
        f"{found_minor - said_minor} minor units of {currency}",
    )
