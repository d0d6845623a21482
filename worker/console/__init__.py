"""The console: pages for those who answer customers and those who keep it running.

Server-rendered, in the application that `fulfillment web` serves; a file for each noun of its
addresses. It decides nothing: it reads as `/v1` does, and what it does is a command or an act that
the command line has too.

A page is added in five steps:

1. `NOUN.py` with a `router = APIRouter()`, named in `app.ROUTERS`. An operation takes `TheDoor` and
   one of `TheViewer`, `TheAgent`, `TheOperator` (`gate.py`), which say who must be signed in, and
   reads with `door.read(...)`. One that changes something is a POST and takes `TheForm`; no form
   comes that far without the session's token, which is checked in one place (`forms.py`). It ends
   with `see_other(visit, address)`, or with a part of a page for htmx.
2. `templates/NOUN.html` extends `layout.html`; `page(visit, "NOUN.html", ...)` fills it. Parts that
   htmx replaces are files `NOUN/part.html`, which the page includes: `visit.is_htmx` says who asks.
   Each form has `{{ csrf() }}` in it. What many pages need is in `parts.html`.
3. Sentences are English, in `_()`, `ngettext()` or `pgettext()`, and French in `locales/fr.po`; a
   test holds the two together. Amounts and numbers go through the filters `money` and `number`,
   moments through `moment(...)`.
4. Its place in the navigation, if it has one, is a line of `layout.html`.
5. Tests as in `tests/console/`: `sign_in(role)` is a client, `browser(role)` a real browser, of
   which `look(seen, name)` wants that axe finds nothing on any screen.

What goes wrong is a `Problem`, as under `/v1`, and becomes a page here (`pages.problem_page`).
Whatever the browser runs is a file in `static/`: the policy allows no inline script and no inline
style, and htmx evaluates nothing (no `hx-on`, no `js:`, no filters in `hx-trigger`).
"""
