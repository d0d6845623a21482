"""The console's part of the application."""

from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker.console import (
    actions,
    audit,
    dead,
    dead_many,
    jobs,
    labels,
    language_switch,
    mend,
    order,
    orders,
    queues,
    shipments,
    sign_in,
    static,
    strays,
    strays_many,
)
from worker.console.forms import checked
from worker.console.pages import problem_page
from worker.console.visit import HOME, Visit, is_htmx, visit_of
from worker.settings import Settings
from worker.web.problems import Problem

ROUTERS: Final[tuple[APIRouter, ...]] = (
    orders.router,
    order.router,
    actions.router,
    shipments.router,
    labels.router,
    queues.router,
    dead_many.router,  # its addresses before those of one letter
    dead.router,
    mend.router,
    strays_many.router,  # likewise
    strays.router,
    jobs.router,
    audit.router,
    sign_in.router,
    language_switch.router,
    static.router,
)
"""One for each noun."""


def router() -> APIRouter:
    """All pages. None is in the description of `/v1`; no form passes without its token."""
    whole = APIRouter(include_in_schema=False, dependencies=[Depends(checked)])
    whole.add_api_route("/", _home)
    for one in ROUTERS:
        whole.include_router(one)
    return whole


def is_asked_for_a_page(request: Request) -> bool:
    """Whether a person would see the answer: other programs are told of problems as under `/v1`."""
    path = request.url.path
    is_ours = not (path == "/v1" or path.startswith("/v1/"))
    return is_ours and "text/html" in request.headers.get("accept", "")


def told(request: Request, problem: Problem, config: Settings, request_id: str) -> Response:
    """What went wrong, to a person."""
    return problem_page(_visit(request, config), problem, request_id)


def to_sign_in(request: Request, config: Settings) -> Response:
    """Where to sign in, and then come back."""
    visit = _visit(request, config)
    address = f"/sign-in?{urlencode({'next': visit.path})}" if visit.path != HOME else "/sign-in"
    if is_htmx(request):
        return Response(status_code=401, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


async def _home() -> Response:
    return RedirectResponse(HOME, 303)


def _visit(request: Request, config: Settings) -> Visit:
    known: Visit | None = getattr(request.state, "visit", None)
    return known or visit_of(request, config.email_time_zone, None)
