"""Square's orders: each `Order` of its API as the command that places it, or refused."""

from worker.intake.square.order import to_place

__all__ = ["to_place"]
