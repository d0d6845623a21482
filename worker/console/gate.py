"""Who must be signed in for what."""

from typing import Annotated

from fastapi import Depends, Request

from worker.console import sessions
from worker.console.sessions import User
from worker.console.users import Role
from worker.console.visit import SESSION, Visit, visit_of
from worker.web.door import Door, TheDoor
from worker.web.problems import Problem


class SignInNeeded(Exception):
    """Nobody is signed in, or not any more."""


async def _visit(request: Request, door: TheDoor) -> Visit:
    token = request.cookies.get(SESSION)
    user = await _user(door, token) if token else None
    visit = visit_of(request, door.settings.email_time_zone, user)
    request.state.visit = visit  # for the page that says what went wrong
    request.scope["fulfillment.key"] = user and f"console {user.role}"  # for the log: no name
    return visit


TheVisit = Annotated[Visit, Depends(_visit)]
"""Of anybody."""


async def _viewer(visit: TheVisit) -> Visit:
    return _with_role(visit, "viewer")


async def _agent(visit: TheVisit) -> Visit:
    return _with_role(visit, "agent")


async def _operator(visit: TheVisit) -> Visit:
    return _with_role(visit, "operator")


TheViewer = Annotated[Visit, Depends(_viewer)]
"""Of somebody who may look."""
TheAgent = Annotated[Visit, Depends(_agent)]
"""Of somebody who may act on orders."""
TheOperator = Annotated[Visit, Depends(_operator)]
"""Of somebody who may act on queues, dead letters, strays and jobs."""


async def _user(door: Door, token: str) -> User | None:
    def find() -> User | None:
        with door.at_once.connect() as connection:
            return sessions.find(connection, token)

    return await door.look(find)


def _with_role(visit: Visit, needed: Role) -> Visit:
    if visit.user is None:
        raise SignInNeeded
    if not visit.user.may(needed):
        raise Problem("forbidden", f"it takes the role {needed}")
    return visit
