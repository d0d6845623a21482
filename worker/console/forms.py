"""Forms: read, bounded, and taken only with the token of the session that they were shown to.

Every unsafe method outside `/v1` comes through here (`app.py`), whatever its page asks for.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, BinaryIO, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.datastructures import ImmutableMultiDict

from messages.fields import MAX_LINES
from worker.console.visit import is_from_its_page
from worker.web.bodies import copy_to, read_form
from worker.web.problems import Problem

FIELD: Final = "csrf"
HEADER: Final = "X-CSRF-Token"
"""What htmx sends; a form has the field."""
FILE: Final = "application/octet-stream"
"""What a page says it sends when it sends a file: no form of any other site can."""
MAX_BYTES: Final = 1 << 20
_MOST_FIELDS: Final = 2 * MAX_LINES + 100
"""The largest order's lines have two each."""
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
    if token is not None and _kind(request) == FILE:
        return ImmutableMultiDict()  # the operation copies it, if it takes files
    raw = await read_form(request, MAX_BYTES)
    try:
        fields = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Problem("bad-request", "the form cannot be read") from None
    form = ImmutableMultiDict(fields)
    if token is None and not is_from_its_page(request, form.get(FIELD, "")):
        raise _foreign()
    return form


async def _file(request: Request) -> Callable[[BinaryIO, int], Awaitable[None]]:
    async def copy(into: BinaryIO, max_bytes: int) -> None:
        await copy_to(into, request, (FILE,), max_bytes)

    return copy


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _foreign() -> Problem:
    return Problem("forbidden", "the form was not shown to this visitor: load the page again")


TheForm = Annotated[Form, Depends(checked)]
"""The fields of what was sent."""

TheFile = Annotated[Callable[[BinaryIO, int], Awaitable[None]], Depends(_file)]
"""Copies what was sent as a file into one of at most so many bytes: from a script of ours, with the
token in the header, since browsers send files by forms in no way that can be read bit by bit here.
"""
