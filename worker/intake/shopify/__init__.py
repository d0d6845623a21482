"""Shopify's orders, from its REST Admin API or its CSV export, as the commands that place them."""

from worker.intake.shopify.export import read_csv
from worker.intake.shopify.export_rows import MAX_ROW_BYTES, is_header
from worker.intake.shopify.order import is_shopify, shopify_to_place

__all__ = ["MAX_ROW_BYTES", "is_header", "is_shopify", "read_csv", "shopify_to_place"]
