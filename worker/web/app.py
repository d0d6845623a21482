"""The application: routers, problems for whatever goes wrong, the layer around all of it."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.console import app as console
from worker.console.gate import SignInNeeded
from worker.web import commands, events, health, jobs, orders, shipments
from worker.web.door import Door
from worker.web.edge import REQUEST_ID, Edge
from worker.web.openapi import describing
from worker.web.problems import Problem, of_http, of_parameters, response

ROUTERS: tuple[APIRouter, ...] = (
    commands.router,
    orders.router,
    shipments.router,
    events.router,
    jobs.router,
    health.router,
)
"""One for each noun."""


def make_app(door: Door) -> FastAPI:
    """The application around a door."""
    app = FastAPI(
        title="fulfillment",
        version="1",  # of the addresses, which begin with it
        docs_url=None,  # those pages load programs from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,  # outcomes of earlier versions lack what came since
    )
    app.state.door = door
    for router in (*ROUTERS, console.router()):
        app.include_router(router)
    app.add_middleware(Edge, tell=_tell)
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _problem)
    app.add_exception_handler(HTTPException, _problem)
    app.openapi = describing(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


async def _problem(request: Request, error: Exception) -> Response:
    match error:
        case Problem():
            problem = error
        case RequestValidationError():
            problem = of_parameters(error)
        case HTTPException(status_code=405):
            problem = of_http(error)
            problem.headers["Allow"] = ", ".join(_allowed(request))
        case HTTPException():
            problem = of_http(error)
        case _:
            raise error
    return _tell(request, problem)


def _tell(request: Request, problem: Problem) -> Response:
    request_id = request.scope[REQUEST_ID]
    if console.is_asked_for_a_page(request):
        return console.told(request, problem, request.app.state.door.settings, request_id)
    return response(problem, request_id)


async def _sign_in(request: Request, _: Exception) -> Response:
    return console.to_sign_in(request, request.app.state.door.settings)


def _allowed(request: Request) -> Iterable[str]:
    """The methods of all operations at the path; each route knows only its own."""
    methods: set[str] = set()
    for router in (*ROUTERS, *console.ROUTERS):
        for route in router.routes:
            found: Any = route
            if found.path_regex.fullmatch(request.url.path):
                methods |= found.methods
    return sorted(methods or {"GET"})
