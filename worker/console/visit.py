"""A visit: who asks for a page, in which language, and what belongs to the answer."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from worker.console.language import chosen
from worker.console.sessions import LONGEST_S, User
from worker.emails.language import Language

SESSION: Final = "fulfillment_session"
VISITOR: Final = "fulfillment_visitor"
"""A random text of who has no session yet: even signing in takes a token that follows from it."""
HOME: Final = "/orders"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of the console."""

    user: User | None
    language: Language
    time_zone: tzinfo
    secret: str
    """The cookie that the tokens of forms follow from."""
    is_new: bool
    """Whether the browser has yet to be given that cookie."""
    path: str
    """With its query."""
    is_htmx: bool
    """Whether a part of the page was asked for, by htmx."""
    is_secure: bool

    @property
    def token(self) -> str:
        """What forms of this visitor carry."""
        return token_of(self.secret)

    @property
    def actor(self) -> str:
        """Who acts, as the audit has it; of nobody an empty text."""
        return self.user.name if self.user else ""

    def keep(
        self,
        response: Response,
        name: str,
        value: str,
        *,
        max_age_s: int | None = None,
        same_site: Literal["lax", "strict"] = "lax",
    ) -> None:
        """Set a cookie that no script can read; without an age, until the browser is closed."""
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            httponly=True,
            secure=self.is_secure,
            samesite=same_site,
        )

    def signed_in(self, response: Response, token: str) -> None:
        """Give the browser its session."""
        self.keep(response, SESSION, token, max_age_s=LONGEST_S)
        response.delete_cookie(VISITOR)


def visit_of(request: Request, time_zone: str, user: User | None) -> Visit:
    """The visit that a request is."""
    secret = _secret(request)
    return Visit(
        user=user,
        language=chosen(request),
        time_zone=ZoneInfo(time_zone),
        secret=secret or secrets.token_urlsafe(32),
        is_new=not secret,
        path=_path(request),
        is_htmx=is_htmx(request),
        is_secure=_is_secure(request),
    )


def token_of(secret: str) -> str:
    """The token that belongs to a cookie: it says nothing of it."""
    return hmac.new(secret.encode(errors="surrogatepass"), b"form", hashlib.sha256).hexdigest()


def is_from_its_page(request: Request, token: str) -> bool:
    """Whether who sent this token was shown it together with the cookie that comes with it."""
    secret = _secret(request)
    right = token_of(secret).encode()
    return bool(secret) and hmac.compare_digest(token.encode(errors="surrogatepass"), right)


def is_htmx(request: Request) -> bool:
    """Whether htmx asks, other than for a whole page."""
    return (
        request.headers.get("hx-request") == "true"
        and request.headers.get("hx-history-restore-request") != "true"
    )


def see_other(visit: Visit, address: str) -> Response:
    """After something was done: have the browser get another page."""
    if visit.is_htmx:
        return Response(status_code=204, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


def local(address: str | None) -> str:
    """An address to go on to, if it is one of this console's, else where everybody begins."""
    if not address or not address.isprintable() or not address.startswith("/"):
        return HOME
    return HOME if address.startswith(("//", "/\\")) else address


def _secret(request: Request) -> str:
    return request.cookies.get(SESSION) or request.cookies.get(VISITOR) or ""


def _path(request: Request) -> str:
    """Of the page that is seen: htmx says it of its own requests."""
    shown = urlsplit(request.headers.get("hx-current-url", "")) if is_htmx(request) else request.url
    return f"{shown.path}?{shown.query}" if shown.query else shown.path or HOME


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy before us. Who lies harms only what
    is set in its own browser.
    """
    schemes = (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
    return "https" in schemes or request.headers.get("origin", "").startswith("https://")
