"""Orders in: our JSON lines, Square's and Shopify's orders become `place` commands, or are
refused.
"""

from worker.intake.ids import place_id
from worker.intake.reading import read_orders
from worker.intake.refusal import OrderRefused, Refused, Why
from worker.intake.shopify import shopify_to_place
from worker.intake.square import to_place

__all__ = [
    "OrderRefused",
    "Refused",
    "Why",
    "place_id",
    "read_orders",
    "shopify_to_place",
    "to_place",
]
