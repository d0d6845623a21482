"""The language of a page: as the visitor chose, else as the browser asks, else English.

Catalogues, dates and amounts are those of e-mails; what only pages say is in `locales/`.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

from babel import Locale
from starlette.requests import Request

from worker.emails.language import SOURCE, Language, Languages

COOKIE: Final = "fulfillment_language"
LOCALES: Final = Path(__file__).parent / "locales"
_RANGE: Final = re.compile(r"([A-Za-z0-9-]{1,35})(?:\s*;\s*q=([01](?:\.[0-9]{0,3})?))?")
_MOST_RANGES: Final = 20


@cache
def languages() -> Languages:
    """What pages can be written in."""
    return Languages(SOURCE, LOCALES)


@cache
def offered() -> dict[str, str]:
    """Languages to choose from, each by its own name."""
    tags = sorted({SOURCE, *(path.stem for path in LOCALES.glob("*.po"))})
    return {tag: str(Locale.parse(tag).get_display_name(tag)).capitalize() for tag in tags}


def chosen(request: Request) -> Language:
    """The language to answer in."""
    known = languages()
    asked = [request.cookies.get(COOKIE, ""), *accepted(request.headers.get("accept-language", ""))]
    return known.of(next((tag for tag in asked if tag and known.knows(tag)), None))


def accepted(header: str) -> list[str]:
    """The tags of an `Accept-Language` header, the most wanted first."""
    found = [_RANGE.fullmatch(one.strip()) for one in header.split(",")[:_MOST_RANGES]]
    wanted = [(float(one[2] or 1), one[1]) for one in found if one]
    return [tag for quality, tag in sorted(wanted, key=lambda one: -one[0]) if quality > 0]
