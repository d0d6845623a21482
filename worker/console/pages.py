"""From facts to pages: templates, filled in the visitor's language."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from babel.dates import format_date, format_time, format_timedelta
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from worker.console import static
from worker.console.forms import FIELD, HEADER
from worker.console.language import languages, offered
from worker.console.visit import VISITOR, Visit
from worker.emails.language import Language
from worker.web.problems import Problem

TEMPLATES: Final = Path(__file__).parent / "templates"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load and whom it may speak to: only us. Nothing inline, nothing evaluated."""
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "HX-Request, Accept-Language, Cookie",
}
_FIELD: Final = Markup('<input type="hidden" name="{}" value="{}">')


def page(
    visit: Visit,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **words: Any,
) -> Response:
    """The template, filled; beside its words it can name `visit` and `csrf()`."""
    filled = _environment(visit.language.tag).get_template(template)
    html = filled.render(
        visit=visit,
        csrf=partial(_FIELD.format, FIELD, visit.token),
        csrf_header=HEADER,
        moment=partial(_moment, visit),
        **words,
    )
    response = Response(html, status, _HEADERS | dict(headers or {}), "text/html")
    if visit.is_new:
        visit.keep(response, VISITOR, visit.secret, same_site="strict")
    return response


def problem_page(visit: Visit, problem: Problem, request_id: str) -> Response:
    """What went wrong, as a page; for htmx as a notice on the page that is there."""
    headers = dict(problem.headers)
    if visit.is_htmx:
        headers |= {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"}
    return page(
        visit,
        "problem/notice.html" if visit.is_htmx else "problem.html",
        status=problem.status,
        headers=headers,
        problem=problem,
        request_id=request_id,
    )


def pretty(value: Any) -> str:
    """JSON for people."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except RecursionError:  # what came from anywhere may nest deeper than it can be laid out
        return "…"


@lru_cache(maxsize=32)  # of all the regions of English that browsers may ask for
def _environment(tag: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    language = languages().of(tag)
    environment.install_gettext_translations(  # type: ignore[attr-defined]  # the extension's
        language.translations, newstyle=True
    )
    environment.filters |= {
        # Those of small numbers again and again: writing one takes as long as ten cells of a table.
        "number": lru_cache(maxsize=4096)(language.number),
        "money": lru_cache(maxsize=4096)(language.money),
        "duration": partial(_duration, language),
        "pretty": pretty,
    }
    environment.globals |= {
        "static": static.address,
        "offered": offered,
        "lang": language.tag,
        "dir": "rtl" if language.locale.character_order == "right-to-left" else "ltr",
    }
    return environment


def _moment(visit: Visit, at: str | datetime | None) -> Markup:
    """A moment in the shop's time zone, as an element that says it exactly."""
    if at is None:
        return Markup()
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    local = moment.astimezone(visit.time_zone)
    locale = visit.language.locale
    text = f"{format_date(local, 'medium', locale)} {format_time(local, 'short', locale=locale)}"
    exact = local.isoformat()
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, text)


def _duration(language: Language, seconds: float | None) -> str:
    """A length of time in its largest unit: `5 min`; nothing for none."""
    if seconds is None:
        return ""
    length = timedelta(seconds=max(0, int(seconds)))
    return str(format_timedelta(length, threshold=1, format="short", locale=language.locale))
