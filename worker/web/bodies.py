"""Bodies of requests: of a bounded size, in a bounded time."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any, BinaryIO, Final

import orjson
from starlette.requests import ClientDisconnect, Request

from worker.web.problems import Problem, invalid

FORM: Final = "application/x-www-form-urlencoded"
BODY_S: Final = 30.0
"""For a body in all, however many bytes at a time it comes in."""
FILE_S: Final = 300.0
"""For a file."""


async def read_json(request: Request, max_bytes: int) -> bytes:
    """The body's bytes, which are said to be JSON.

    Raises:
      Problem: It is said to be something else, is too large, or does not come.
    """
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or not _is_utf8(parameters):
        detail = "Content-Type must be application/json, in UTF-8"
        raise Problem("unsupported-media-type", detail, headers={"Accept": "application/json"})
    return b"".join([chunk async for chunk in _read(request, max_bytes, BODY_S)])


async def read_form(request: Request, max_bytes: int) -> bytes:
    """The bytes of a web page's form, which are said to be one.

    Raises:
      Problem: They are said to be something else, are too many, or do not come.
    """
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != FORM:
        raise Problem("unsupported-media-type", f"Content-Type must be {FORM}")
    return b"".join([chunk async for chunk in _read(request, max_bytes, BODY_S)])


async def copy_to(file: BinaryIO, request: Request, kinds: Collection[str], max_bytes: int) -> None:
    """Copy the body of a file, which is said to be of one of these kinds, and go to its beginning.

    Raises:
      Problem: It is said to be something else, is too large, or does not come.
    """
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() not in kinds:
        accepted = ", ".join(kinds)
        detail = f"Content-Type must be one of {accepted}"
        raise Problem("unsupported-media-type", detail, headers={"Accept": accepted})
    async for chunk in _read(request, max_bytes, FILE_S):
        file.write(chunk)
    file.seek(0)


def parsed(raw: bytes) -> Any:
    """The JSON value.

    Raises:
      Problem: It is none; the message says where, never what.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid([("body", f"must be JSON: {error}")]) from None


async def _read(request: Request, max_bytes: int, within_s: float) -> AsyncIterator[bytes]:
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        detail = "the body must not be compressed"
        raise Problem("unsupported-media-type", detail, headers={"Accept-Encoding": "identity"})
    too_large = Problem("too-large", f"at most {max_bytes} bytes")
    length = request.headers.get("content-length", "")
    # Of many digits Python makes no number.
    if length.isdigit() and (len(length) > len(str(max_bytes)) or int(length) > max_bytes):
        raise too_large
    size = 0
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise too_large
                yield chunk
    except TimeoutError:
        raise Problem("request-timeout", f"the body must come within {within_s:g} s") from None
    except ClientDisconnect:
        raise Problem("bad-request", "the body ended early") from None


def _is_utf8(parameters: str) -> bool:
    for one in parameters.split(";"):
        name, _, value = one.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in {"utf-8", "utf8"}:
            return False
    return True
