"""Orders in: our JSON lines and Square's `Order` become `place` commands, or are refused."""

from worker.intake.ids import place_id
from worker.intake.reading import Refused, read_orders
from worker.intake.refusal import OrderRefused, Why
from worker.intake.square import to_place

__all__ = ["OrderRefused", "Refused", "Why", "place_id", "read_orders", "to_place"]
