"""A line of text that somebody typed, for others to read: a reason, a note."""

from typing import Final

from messages.fields import clean_text
from worker.web.problems import invalid

LONGEST: Final = 500
_LONGEST_SOUGHT: Final = 255


def line(field: str, given: str | None) -> str:
    """The text, cleaned.

    Raises:
      Problem: It is empty, too long, or holds what is not to be printed.
    """
    try:
        cleaned = clean_text(given or "")
    except ValueError as error:
        raise invalid([(field, str(error))]) from None
    if len(cleaned) > LONGEST:
        raise invalid([(field, f"must be at most {LONGEST} characters long")])
    return cleaned


def printable(given: str) -> str:
    """What can be looked for: without what no text of ours holds, and not endless."""
    return "".join(one for one in given if one.isprintable()).strip()[:_LONGEST_SOUGHT]
