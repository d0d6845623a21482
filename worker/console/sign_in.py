"""`/sign-in`, `/sign-out`: by name and password, or by a link that works once."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import structlog
from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from worker.console import links, passwords, sessions, tries, users
from worker.console.address import address_of
from worker.console.forms import TheForm
from worker.console.gate import TheVisit
from worker.console.pages import page
from worker.console.visit import SESSION, Visit, local, see_other
from worker.web.door import Door, TheDoor

router = APIRouter()

_HASHING: Final = anyio.CapacityLimiter(2)
"""Passwords that are looked at at one time: each takes 64 MiB and a processor."""

T = TypeVar("T")

log = structlog.get_logger()


@router.get("/sign-in")
async def form(visit: TheVisit, door: TheDoor, next: str = "") -> Response:  # noqa: A002  # in the address
    """Where to sign in; without any user, how to make one."""
    if visit.user:
        return see_other(visit, local(next))
    return await _form(visit, door, next)


@router.post("/sign-in")
async def by_password(request: Request, visit: TheVisit, door: TheDoor, given: TheForm) -> Response:
    """Sign in by name and password."""
    name, password = given.get("name", ""), given.get("password", "")
    address = address_of(request, door.settings.web_proxies)
    going_on = given.get("next", "")
    known = users.cleaned(name) or ""  # which is nobody's
    wait_s = await door.write(lambda c: tries.wait_s(c, known, address))
    if wait_s:
        log.warning("sign_in_held_off", wait_s=wait_s)
        headers = {"Retry-After": str(wait_s)}
        return await _form(
            visit, door, going_on, status=429, headers=headers, name=name, wait_s=wait_s
        )
    kept = await door.read(lambda c: users.password_of(c, known))
    if not await _hashing(partial(passwords.is_right, password, kept)):
        log.warning("sign_in_refused")
        return await _form(visit, door, going_on, status=401, name=name, is_wrong=True)
    renewed = await _hashing(partial(passwords.renewed, password, kept))

    def begin(connection: Connection) -> str:
        tries.forget(connection, known)
        if renewed:
            users.keep_password(connection, known, renewed)
        return sessions.begin(connection, known, by="password")

    return _signed_in(visit, await door.write(begin), going_on)


@router.get("/sign-in/{token}")
async def link(token: str, visit: TheVisit, door: TheDoor) -> Response:
    """Whom a link is for: looking uses it up for nobody, since programs look at links too."""
    name = await door.read(lambda c: links.find(c, token))
    return page(visit, "sign_in/link.html", status=200 if name else 404, name=name)


@router.post("/sign-in/{token}")
async def by_link(token: str, visit: TheVisit, door: TheDoor, _: TheForm) -> Response:
    """Sign in by a link, which is none any more from then on."""

    def begin(connection: Connection) -> str | None:
        name = links.use(connection, token)
        return name and sessions.begin(connection, name, by="link")

    session = await door.write(begin)
    if session is None:
        return page(visit, "sign_in/link.html", status=404, name=None)
    return _signed_in(visit, session, "")


@router.post("/sign-out")
async def sign_out(request: Request, visit: TheVisit, door: TheDoor, _: TheForm) -> Response:
    """End the session, here and in the database."""
    token = request.cookies.get(SESSION)
    if token:
        await door.write(lambda c: sessions.end(c, token))
    response = see_other(visit, "/sign-in")
    response.delete_cookie(SESSION)
    return response


async def _form(
    visit: Visit,
    door: Door,
    going_on: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    name: str = "",
    is_wrong: bool = False,
    wait_s: int = 0,
) -> Response:
    return page(
        visit,
        "sign_in.html",
        status=status,
        headers=headers,
        has_users=await door.read(users.are_there),
        next=going_on,
        name=name,
        is_wrong=is_wrong,
        wait_minutes=-(-wait_s // 60),
    )


def _signed_in(visit: Visit, token: str, going_on: str) -> Response:
    response = see_other(visit, local(going_on))
    visit.signed_in(response, token)
    return response


async def _hashing(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work, limiter=_HASHING)
