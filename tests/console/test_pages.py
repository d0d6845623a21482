"""What all pages have in common: headers, language, what goes wrong."""

import hashlib
import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import worker.console
from tests.console.pages import send, text
from worker.console.language import accepted

PACKAGE = Path(worker.console.__file__).parent


def test_a_page_may_load_nothing_of_others_and_nothing_inline(sign_in):
    """The policy allows our own files alone; the page has no inline script, style or handler; it is
    kept nowhere and framed by nobody.
    """
    answer = sign_in().get("/orders")

    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert (
        re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|hx-on|js:", answer.text) == []
    )


def test_files_are_kept_for_ever_under_their_content(client):
    """Each file that a page names is there, of its type, for a year, under a name with its hash."""
    page = client.get("/sign-in").text
    addresses = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))
    assert len(addresses) == 4

    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert hashlib.sha256(answer.content).hexdigest()[:16] in address
    assert client.get("/static/console.css").status_code == 404
    assert client.get("/static/..%2Fpages.py").status_code == 404


def test_htmx_is_as_it_came():
    """The vendored file has the sum that ORIGIN.md tells, and comes with its licence."""
    told = re.findall(r"([0-9a-f]{64})  (\S+)", (PACKAGE / "vendor/ORIGIN.md").read_text())

    assert [(sum_of(PACKAGE / "vendor" / name), name) for _, name in told] == told
    assert [path.name for path in (PACKAGE / "vendor").glob("*.js")] == ["htmx.min.js"]
    assert "Zero-Clause BSD" in (PACKAGE / "vendor/LICENSE").read_text()


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("fr-CA,fr;q=0.9,en;q=0.5", "fr-CA"),
        ("de,en-GB;q=0.8,fr;q=0.7", "en-GB"),
        ("tlh", "en"),
        ("", "en"),
    ],
)
def test_a_page_is_in_the_browsers_language(client, header, lang):
    """The most wanted that there is; English else."""
    answer = client.get("/sign-in", headers={"Accept-Language": header})

    assert f'<html lang="{lang}"' in answer.text
    assert ("Se connecter" in text(answer)) is lang.startswith("fr")


def test_a_language_that_was_chosen_stays(client):
    """The switch goes back to the page, and counts for more than what the browser asks for."""
    answer = send(client, "/language", language="fr", next="/sign-in?next=%2Forders")

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Forders")
    assert "Se connecter" in text(client.get("/sign-in", headers={"Accept-Language": "en"}))
    assert send(client, "/language", language="tlh").status_code == 422


def test_accept_language_by_its_weights():
    """The heaviest first, of equals the first; what is refused or cannot be read is left out."""
    assert accepted("en;q=0.5, fr, de;q=0, *;q=0.1, x y, es;q=1.0") == ["fr", "es", "en"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [("/nowhere", 404, "This is not here."), ("/sign-out", 405, "This cannot be done.")],
)
def test_what_goes_wrong_is_a_page_for_people(sign_in, path, status, said):
    """And a problem for other programs, as it is under /v1."""
    client = sign_in()

    page = client.get(path)
    problem = client.get(path, headers={"Accept": "*/*"})

    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said in text(page)
    assert problem.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/nowhere").headers["content-type"] == "application/problem+json"


def test_without_a_database(make_client):
    """A page says that it is away, and that nothing is lost; htmx is told where the notice goes."""
    client = make_client(url="postgresql://nobody@127.0.0.1:1/nothing")
    client.cookies.set("fulfillment_session", "x")

    answer = client.get("/orders")
    part = client.get("/orders", headers={"HX-Request": "true"})

    assert (answer.status_code, part.status_code) == (503, 503)
    assert "The database cannot be used" in text(answer)
    assert answer.headers["retry-after"] == "2"
    assert part.headers["hx-retarget"] == "#notice"
    assert part.text.startswith('<div class="notice bad">')


def test_htmx_is_sent_to_sign_in(client):
    """A part of a page cannot be a form to sign in: the browser goes there, and comes back."""
    headers = {"HX-Request": "true", "HX-Current-URL": "http://console.example/orders?dead=true"}

    answer = client.get("/orders", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/sign-in?next=%2Forders%3Fdead%3Dtrue"


def test_the_catalogue_is_complete():
    """French has every sentence of code and templates, no other, each with the same blanks, and no
    line can begin with a colon.
    """
    methods = [("**.py", "python"), ("**.html", "jinja2")]
    asked = {
        (message if isinstance(message, str) else message[:2], context)
        for _, _, message, _, context in extract_from_dir(
            PACKAGE, methods, {"**.html": {"trimmed": "true"}}
        )
    }
    with (PACKAGE / "locales/fr.po").open("rb") as file:
        catalogue = read_po(file, locale="fr", abort_invalid=True)

    entries = [entry for entry in catalogue if entry.id]
    assert {(entry.id, entry.context) for entry in entries} == asked
    assert len(asked) > 50
    assert all(entry.string and all(entry.string) for entry in entries)
    assert [entry.id for entry in entries if entry.fuzzy or list(entry.check(catalogue))] == []
    assert re.findall(".* [;:?!»].*", " ".join(str(entry.string) for entry in entries)) == []


def test_the_log_has_the_role_and_no_token(sign_in, logs):
    """Which operation by which role; neither a link's token nor what was searched for."""
    client = sign_in("agent")

    client.get("/orders?search=Jane")
    client.get("/sign-in/secret-token")

    lines = [one for one in logs if one["event"] == "request"]
    assert [(one["route"], one["key"]) for one in lines] == [
        ("/orders", "console agent"),
        ("/sign-in/{token}", "console agent"),
    ]
    assert "Jane" not in str(lines)
    assert "secret-token" not in str(lines)
