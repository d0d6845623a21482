"""Languages: catalogues, and how dates, numbers and amounts are written."""

from datetime import date
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import worker.emails
from worker.emails.language import Languages

PACKAGE = Path(worker.emails.__file__).parent
NBSP, NARROW = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("tag", "written"),
    [
        ("fr", "fr"),
        ("fr-CA", "fr-CA"),
        ("fr_CA", "fr-CA"),
        ("fr-CA-x-old", "fr"),
        ("en-GB", "en-GB"),
        ("tlh", "en"),
        ("xx-YY", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_of(tag, written):
    """A regional language is written in its language's words and its region's ways; one without a
    catalogue, or that nobody knows, in the default.
    """
    assert Languages().of(tag).tag == written


def test_default():
    """Orders that name no language are written to in the shop's."""
    assert Languages("fr-BE").of(None).tag == "fr-BE"


def test_default_without_a_catalogue():
    """A default that nobody could be written to in is refused, with the languages there are."""
    with pytest.raises(ValueError, match="'de' is none of the languages there are: en, fr"):
        Languages("de")


@pytest.mark.parametrize(
    ("tag", "currency", "amount_minor", "written"),
    [
        ("en", "EUR", 123_456, "€1,234.56"),
        ("fr", "EUR", 123_456, f"1{NARROW}234,56{NBSP}€"),
        ("fr-CA", "CAD", 5, f"0,05{NBSP}$"),
        ("fr", "JPY", 1_250, f"1{NARROW}250{NBSP}JPY"),
        ("en", "JPY", 1_250, "¥1,250"),
        ("en", "KWD", 1_250, f"KWD{NBSP}1.250"),
        ("fr", "KWD", 1_250, f"1,250{NBSP}KWD"),
        ("en", "IQD", 1_250, f"IQD{NBSP}1.250"),
        ("en", "RSD", 1_250, f"RSD{NBSP}12.50"),
    ],
)
def test_money(tag, currency, amount_minor, written):
    """Amounts have the locale's signs and all decimals of their currency by ISO 4217."""
    assert Languages().of(tag).money(amount_minor, currency) == written


@pytest.mark.parametrize(
    ("tag", "written"),
    [("en", "March 1, 2026"), ("en-GB", "1 March 2026"), ("fr", "1 mars 2026")],
)
def test_date(tag, written):
    """Dates are written out, so that nobody takes the month for the day."""
    assert Languages().of(tag).date(date(2026, 3, 1)) == written


@pytest.mark.parametrize(("units", "written"), [(0, "item"), (1, "item"), (2, "items")])
def test_french_plurals(units, written):
    """French counts nought as one."""
    translated = (
        Languages()
        .of("fr")
        .translations.ngettext(
            "%(num)s item has been cancelled", "%(num)s items have been cancelled", units
        )
    )

    article = {"item": "%(num)s article a été annulé", "items": "%(num)s articles ont été annulés"}
    assert translated == article[written]


def test_a_language_is_one_file(tmp_path):
    """A catalogue in the merchant's folder is a further language; one of a language that is here
    goes before ours, sentence by sentence.
    """
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (tmp_path / "de.po").write_text(head + 'msgid "Hello,"\nmsgstr "Guten Tag,"\n')
    (tmp_path / "fr.po").write_text(head + 'msgid "Hello,"\nmsgstr "Salut,"\n')
    languages = Languages(folder=tmp_path)

    german, french = (languages.of(tag).translations.gettext for tag in ("de-AT", "fr"))

    assert german("Hello,") == "Guten Tag,"
    assert [french("Hello,"), french("Cash")] == ["Salut,", "Espèces"]


def sentences():
    """What code and templates ask the catalogues for."""
    methods = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt", "jinja2")]
    options = {"**.html": {"trimmed": "true"}}
    return {
        message if isinstance(message, str) else message[:2]
        for _, _, message, _, _ in extract_from_dir(PACKAGE, methods, options)
    }


@pytest.mark.parametrize("path", sorted((PACKAGE / "locales").glob("*.po")), ids=lambda p: p.stem)
def test_catalogues_are_complete(path):
    """Each catalogue has every sentence, no other, none doubtful, each with the same blanks."""
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem, abort_invalid=True)

    entries = [entry for entry in catalogue if entry.id]
    assert len(sentences()) == 31
    assert {entry.id for entry in entries} == sentences()
    assert all(entry.string and all(entry.string) for entry in entries)
    assert [entry.id for entry in entries if entry.fuzzy or list(entry.check(catalogue))] == []
