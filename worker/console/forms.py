"""Forms: read, bounded, and taken only with the token of the session that they were shown to.

Every unsafe method outside `/v1` comes through here (`app.py`), whatever its page asks for.
"""

from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.datastructures import ImmutableMultiDict

from worker.console.visit import is_from_its_page
from worker.web.bodies import read_form
from worker.web.problems import Problem

FIELD: Final = "csrf"
HEADER: Final = "X-CSRF-Token"
"""What htmx sends; a form has the field."""
MAX_BYTES: Final = 1 << 20
_MOST_FIELDS: Final = 10_000
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}

Form = ImmutableMultiDict[str, str]


async def checked(request: Request) -> Form:
    """The form's fields; of a request that changes nothing, none.

    Raises:
      Problem: `forbidden`: it was not sent from a page that was shown to this visitor; or it is too
        large, or no form.
    """
    if request.method in _SAFE:
        return ImmutableMultiDict()
    token = request.headers.get(HEADER)
    if token is not None and not is_from_its_page(request, token):
        raise _foreign()  # before anything is read
    raw = await read_form(request, MAX_BYTES)
    try:
        fields = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem("bad-request", "the form cannot be read") from None
    form = ImmutableMultiDict(fields)
    if token is None and not is_from_its_page(request, form.get(FIELD, "")):
        raise _foreign()
    return form


def _foreign() -> Problem:
    return Problem("forbidden", "the form was not shown to this visitor: load the page again")


TheForm = Annotated[Form, Depends(checked)]
"""The fields of what was sent."""
