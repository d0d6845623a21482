"""karrio without what it does to the process around it, and without its own way to the network.

What it has knows no time-out, asks a second time where Sentry is installed, and gives no status
with a failure. Importing it turns the checking of certificates off everywhere.
"""

import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from http.client import HTTPException, HTTPMessage
from importlib import import_module
from io import BytesIO
from socket import gaierror
from typing import Final, Self
from urllib.error import HTTPError, URLError

from worker.errors import Transient, Uncertain
from worker.retry_after import retry_after_s

TIMEOUT_S: Final = 15.0
"""For each step of a call; stay well below `batch_limit_s`."""
_BUSY: Final = {408, 409, 425, 429}
_SERVER_ERROR: Final = 500


class Call:
    """One call, and the last status that it had."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.status = 0


_call: ContextVar[Call | None] = ContextVar("call", default=None)


@contextmanager
def calling(timeout_s: float) -> Iterator[Call]:
    """What karrio asks in this thread has this time-out, and leaves its status here."""
    call = Call(timeout_s)
    token = _call.set(call)
    try:
        yield call
    finally:
        _call.reset(token)


class Sdk:
    """What of karrio is used."""

    def __init__(self) -> None:
        logger = import_module("loguru").logger
        # It logs URLs and tracebacks on stderr, in a form of its own.
        logger.disable("karrio")
        verified = ssl._create_default_https_context  # noqa: SLF001  # see above
        try:
            self.errors = import_module("karrio.core.errors")
            self.models = import_module("karrio.core.models")
            self.gateway = import_module("karrio.sdk").gateway
            utils = import_module("karrio.core.utils")
        finally:
            ssl._create_default_https_context = verified  # noqa: SLF001
        if not hasattr(utils.helpers, "_urlopen_with_span"):
            raise ImportError(
                "its way out is not where it was", name="karrio as we know it (2026.1)"
            )
        utils.helpers._urlopen_with_span = _open  # noqa: SLF001  # its only way out
        self.NOTHING = import_module("attr").NOTHING
        # Without its recordings: they would stay for ever, addresses and all.
        forget = {"trace": lambda _, data, *__, **___: data}
        self.tracer = type("Forgetful", (utils.Tracer,), forget)()


@cache
def sdk() -> Sdk:
    """Karrio, imported when it is first asked for; raises ImportError where it is not installed."""
    return Sdk()


class Whole:
    """An answer that was read to its end, as karrio's helpers want it."""

    def __init__(self, status: int, headers: HTTPMessage, content: bytes) -> None:
        self.status, self.headers, self._content = status, headers, content

    def read(self) -> bytes:
        return self._content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


def _open(request: urllib.request.Request, timeout: float | None = None) -> Whole:
    """Karrio's only way to the network: once, with a time-out, and with failures told apart."""
    del timeout
    call = _call.get() or Call(TIMEOUT_S)
    try:
        with urllib.request.urlopen(request, timeout=call.timeout_s) as response:  # noqa: S310  # a carrier's
            whole = Whole(response.status, response.headers, response.read())
    except HTTPError as error:
        call.status = error.code
        content = b""
        with suppress(OSError, HTTPException), error:
            content = error.read()
        if error.code in _BUSY:
            after_s = retry_after_s(error.headers.get("Retry-After"))
            raise Transient("carrier_busy", f"HTTP {error.code}", after_s) from None
        if error.code >= _SERVER_ERROR:
            raise Uncertain("carrier_error", f"HTTP {error.code}") from None
        body = BytesIO(content)
        raise HTTPError(error.url, error.code, error.msg, error.headers, body) from None
    except URLError as error:
        cause = error.reason
        if isinstance(cause, ConnectionRefusedError | gaierror | ssl.SSLCertVerificationError):
            raise Transient("carrier_away", f"not reached: {type(cause).__name__}") from None
        raise Uncertain("carrier_silent", f"no answer: {type(cause).__name__}") from None
    except (OSError, HTTPException) as error:
        raise Uncertain("carrier_silent", f"no answer: {type(error).__name__}") from None
    call.status = whole.status
    return whole
