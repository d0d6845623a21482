"""Problems (RFC 9457): what an answer says instead of a result. No stack, no value that was sent.

A problem's `type` is a relative reference, stable for ever: programs may compare it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from messages.problems import problems as told_by_pydantic
from worker.errors import explain, is_disconnect, sqlstate

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2

KINDS: Final[dict[str, tuple[int, str]]] = {
    "bad-request": (400, "The request cannot be read"),
    "unauthorized": (401, "A valid key is needed"),
    "forbidden": (403, "The key does not allow this"),
    "not-found": (404, "Not here"),
    "method-not-allowed": (405, "Not with this method"),
    "request-timeout": (408, "The body did not come in time"),
    "id-reused": (409, "The id belongs to another command"),
    "not-printable": (409, "There is no such file of this shipment"),
    "not-in-state": (409, "Not in the state that it is in"),
    "gone": (410, "Not kept any more"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "Not in this format"),
    "invalid": (422, "Something in the request is not allowed"),
    "none-accepted": (422, "None of the commands was accepted"),
    "too-many-requests": (429, "Too many requests with this key"),
    "internal-error": (500, "An error of ours"),
    "unavailable": (503, "Not now"),
}
"""Status and title by the last part of the type."""
_BY_STATUS: Final = {status: name for name, (status, _) in reversed(KINDS.items())}
_NO_SCHEMA: Final = {"3F000", "42P01", "42703", "42883"}


class ErrorDocument(BaseModel):
    """One thing that is wrong."""

    field: str
    """Where: `items.0.quantity`, or a parameter's name."""
    detail: str


class ProblemDocument(BaseModel):
    """Why there is no result (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ErrorDocument] = []


@dataclass(eq=False)
class Problem(Exception):
    """Ends a request with a problem."""

    name: str
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)
    """More of the document, beside what every problem has."""

    @property
    def status(self) -> int:
        return KINDS[self.name][0]


def response(problem: Problem, request_id: str) -> Response:
    """The problem as an answer."""
    status, title = KINDS[problem.name]
    document = {
        "type": f"/problems/{problem.name}",
        "title": title,
        "status": status,
        "detail": problem.detail,
        "request_id": request_id,
        "errors": problem.errors,
    }
    content = orjson.dumps(document | problem.members, default=str)
    return Response(content, status, problem.headers, MEDIA_TYPE)


def invalid(errors: Iterable[tuple[str, str]]) -> Problem:
    """Fields, and what is allowed there."""
    found = [{"field": where, "detail": allowed} for where, allowed in errors]
    return Problem("invalid", "; ".join(f"{e['field']}: {e['detail']}" for e in found), found)


def unavailable(detail: str, retry_after_s: int = RETRY_AFTER_S) -> Problem:
    """What cannot be done now; the same again may work."""
    return Problem("unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def of_parameters(error: RequestValidationError) -> Problem:
    """What FastAPI found in path, query and headers, without the values."""
    return invalid((str(one["loc"][-1]), str(one["msg"])) for one in error.errors()[:20])


def of_model(error: ValidationError, model: Any) -> Problem:
    """What pydantic found in a body."""
    return invalid(told_by_pydantic(error, model))


def of_http(error: HTTPException) -> Problem:
    """What the framework raises by itself: no such path, no such method."""
    name = _BY_STATUS.get(error.status_code)
    if name is None:
        name = (
            "internal-error"
            if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            else ("bad-request")
        )
    headers: Mapping[str, str] = error.headers or {}
    return Problem(name, KINDS[name][1], headers=dict(headers))


def of_database(error: SQLAlchemyError) -> Problem | None:
    """The database is away, busy or not set up; None if the error is ours."""
    if sqlstate(error) in _NO_SCHEMA:
        return unavailable("the database's schema is missing or old")
    if is_disconnect(error) or isinstance(error, PoolTimeout):
        return unavailable("the database cannot be reached")
    if explain(error)[1] and sqlstate(error):
        return unavailable("the database is busy")
    return None
