"""What every request has: an id, headers, a line in the log; and no error's own words."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.web.problems import Problem

REQUEST_ID: Final = "fulfillment.request_id"
EXTRA_HEADERS: Final = "fulfillment.headers"
_CLEAN: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

log = structlog.get_logger()


class Edge:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, tell: Callable[[Request, Problem], Response]) -> None:
        self._app = app
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = _request_id(scope)
        more: dict[str, str] = {}
        scope[EXTRA_HEADERS] = more
        begun_at = time.perf_counter()
        status = 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({"X-Request-ID": request_id} | _ALWAYS | more)
                if scope["app"].state.door.is_closing:
                    headers["Connection"] = "close"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, tell)
            except Exception as error:  # a bug must be seen, and its words must not be
                log.exception("request_failed", reason=type(error).__name__)
                if not status:
                    problem = Problem("internal-error", "it was logged under this request's id")
                    await self._tell(Request(scope), problem)(scope, receive, tell)
            log.info(
                "request",
                method=scope["method"] if scope["method"] in _METHODS else "other",
                route=getattr(scope.get("route"), "path", None),
                status=status,
                duration_ms=round((time.perf_counter() - begun_at) * 1000, 1),
                key=scope.get("fulfillment.key"),
            )


def _request_id(scope: Scope) -> str:
    """The client's own, if it can stand in a log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CLEAN.fullmatch(value):
            return str(value.decode())
    return str(uuid.uuid4())
