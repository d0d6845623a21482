"""`/language`: the language to be shown pages in."""

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from worker.console.forms import TheForm
from worker.console.gate import TheVisit
from worker.console.language import COOKIE, offered
from worker.console.visit import local, see_other
from worker.web.problems import Problem

router = APIRouter()

_KEPT_S: Final = 365 * 86_400


@router.post("/language")
async def choose(visit: TheVisit, given: TheForm) -> Response:
    """Keep what the visitor chose, in the browser, and go back."""
    tag = given.get("language", "")
    if tag not in offered():
        raise Problem("invalid", f"language: must be one of {', '.join(offered())}")
    response = see_other(visit, local(given.get("next")))
    visit.keep(response, COOKIE, tag, max_age_s=_KEPT_S)
    return response
