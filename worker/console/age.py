"""How long something has waited, as a choice of a form."""

from typing import Final

AGES_S: Final = {
    "15m": 15 * 60,
    "1h": 3_600,
    "6h": 6 * 3_600,
    "1d": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
}
"""Seconds by what the address says."""


def age(given: str | None) -> str:
    """A choice, or an empty text for any age."""
    return given if given in AGES_S else ""


def age_s(chosen: str) -> int:
    """Its seconds; 0 for any age."""
    return AGES_S.get(chosen, 0)
