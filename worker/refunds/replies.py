"""What a provider's HTTP reply means when it is no answer.

Messages hold the status and the provider's own code, never its text: that could quote a customer.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from worker.errors import Terminal, Transient, Uncertain
from worker.refunds.provider import Answer, Failed, Part, Settled, Underway
from worker.retry_after import retry_after_s

BUSY: Final = "provider_busy"
ERROR: Final = "provider_error"
MISMATCH: Final = "provider_mismatch"
REFUSED: Final = "provider_refused"
SILENT: Final = "provider_silent"
UNCLEAR: Final = "provider_unclear"
UNREACHABLE: Final = "provider_unreachable"

STUMBLES: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What it takes to read a reply that is not JSON, or not of the shape it must have."""
_UNDECIDED: Final = {408, 409, 425}
"""Request Timeout, Conflict (the first call under this key still runs), Too Early."""
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,255}")


class Refused(Exception):
    """The provider's reply was no success. `code` is its own word for why, None if it has none."""

    def __init__(self, name: str, status: int, code: object, headers: Mapping[str, str]) -> None:
        self.code = word(code)
        super().__init__(f"{name} answered {status} ({self.code or 'no code'})")
        self.status = status
        self.headers = headers

    def meaning(self, unheard: type[Transient]) -> Transient | Terminal:
        """What to raise, by the status alone; `unheard` is for what may have been done."""
        wait_s = retry_after_s(header(self.headers, "Retry-After"))
        if self.status == 429:  # noqa: PLR2004  # Too Many Requests
            return Transient(BUSY, str(self), wait_s)
        # Without a code it is somebody else who speaks: a proxy, a gateway, a page of maintenance.
        if not 400 <= self.status < 500 or self.status in _UNDECIDED or not self.code:  # noqa: PLR2004  # client errors
            return unheard(ERROR, str(self), wait_s)
        return Terminal(REFUSED, str(self))


def word(code: object) -> str | None:
    """The provider's own word for something; None if it is no word, but may be somebody's text."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def named(refund_id: object) -> str:
    """The provider's name for a refund, fit to be stored and to be asked for.

    Raises:
      ValueError: It is none.
    """
    if not isinstance(refund_id, str) or not _ID.fullmatch(refund_id):
        raise ValueError("a refund's id must be 1 to 255 printable letters of ASCII")
    return refund_id


def header(headers: Mapping[str, str], name: str) -> str:
    """A header by its name in whatever case, or an empty text."""
    return next((value for one, value in headers.items() if one.lower() == name.lower()), "")


def made_earlier(find: Callable[[Part], Answer | None], part: Part) -> Answer | None:
    """What an earlier call came to whose answer was lost, now that the same again is refused.

    Raises:
      worker.errors.Uncertain: It cannot be told now.
    """
    try:
        return find(part)
    except Transient as error:
        raise Uncertain(error.reason, str(error), error.retry_after_s) from error


def foremost(answers: Iterable[Answer]) -> Answer | None:
    """Of several refunds under one part's id, one that succeeded or may yet goes before a failed
    one: that one has been paid.
    """
    order = (Settled, Underway, Failed)
    return min(answers, key=lambda one: order.index(type(one)), default=None)
