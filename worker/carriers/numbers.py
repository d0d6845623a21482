"""Tracking numbers: which carriers a number may be of, and whether its check digit is right. Pure.

Nothing here refuses a number. Carriers have more kinds of numbers than anybody has written down, so
a number of an unknown form says nothing at all; one with a form of its carrier's, and a check digit
that is wrong in each of them, was most likely mistyped.
"""

import re
from functools import lru_cache
from typing import Final

from worker.carriers.forms import Fit, every_form, forms_of, postal_forms


def has_wrong_check_digit(carrier: str, number: str) -> bool:
    """Whether the number looks like the carrier's, and is none of them by its check digit.

    False as well for a carrier whose numbers are not known here.
    """
    compact = _compact(number)
    found = [fit for form in forms_of(carrier) if (fit := form.fit(compact))]
    return bool(found) and all(fit.is_right is False for fit in found)


@lru_cache(maxsize=1024)  # once before the orders are loaded, and once more for each decision
def guess(number: str) -> str | None:
    """The carrier that the number must be of, by its check digit; None when in doubt.

    In doubt are a number that nobody's check digit speaks for, and one that may be of several
    carriers. One that begins as a carrier's do is rather that one's than somebody's whose numbers
    have as many digits. A GS1 SSCC is anybody's who numbers boxes, and always right: of it only the
    beginning counts.
    """
    possible = [fit for fit in fits(number) if fit.is_right is not False]
    left = [fit for fit in possible if not fit.is_bare]
    if not left and not _SSCC.fullmatch(_compact(number)):
        left = possible
    carriers = {fit.form.carrier for fit in left}
    return carriers.pop() if len(carriers) == 1 and any(fit.is_right for fit in left) else None


def fits(number: str) -> list[Fit]:
    """Every form that the number has, whether or not its check digit is right."""
    compact = _compact(number)
    candidates = (*every_form(), *postal_forms(compact[-2:]))
    return [fit for form in candidates if (fit := form.fit(compact))]


_SSCC: Final = re.compile("(00)?[0-9]{18}")
"""With or without the 00 that says so (GS1 General Specifications, AI 00)."""


def _compact(number: str) -> str:
    """As carriers read it: without what only helps the eye."""
    return "".join(number.split()).replace("-", "").upper()
