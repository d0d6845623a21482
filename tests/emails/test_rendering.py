"""What customers read: words, structure, and what must not get into them."""

import itertools
from zoneinfo import ZoneInfo

import pytest

from tests.emails.mail_rig import Page, facts, row
from worker.emails.facts import KINDS
from worker.emails.language import Languages
from worker.emails.rendering import BrokenTemplate, Rendering, method_name, tracking_url

NAMES = ["Tasse « Été »", "Κούπα", "马克杯", "كوب", "x" * 255, 'Plate, 12"', "a & b"]
MANY = [{"name": NAMES[n % len(NAMES)], "quantity": n + 1} for n in range(40)]
FULL = {
    "items": MANY,
    "to_come": MANY[:9],
    "customer_name": "Zoë & Co",
    "number": "1001",
    "to_refund_minor": 1250,
    "refunded": [
        {"method": "card", "amount_minor": 1000},
        {"method": "iDEAL", "amount_minor": 250},
    ],
    "parcel": {
        "carrier": "Müller & Söhne",
        "tracking_number": "1 2",
        "tracking_url": None,
        "tracking_page": "https://track.example/?n={number}&x=y",
    },
}


def rendered(kind="shipped", locale="en", *, folder=None, **document):
    rendering = Rendering(Languages(), folder=folder, shop_name="A & B <shop>")
    return rendering.render(facts(kind, **document), locale)


@pytest.mark.parametrize(("kind", "locale"), list(itertools.product(KINDS, ["en", "fr"])))
def test_page(kind, locale):
    """The HTML is well-formed, fetches nothing, holds no image and no script, is in its language,
    and says everything that the text says.
    """
    one = rendered(kind, locale, **FULL)
    page = Page(one.html)

    assert page.fetched == []
    assert {"script", "img", "b", "i", "link", "iframe"}.isdisjoint(page.tags)
    assert f'<html lang="{locale}" dir="ltr">' in one.html
    assert '<meta name="viewport"' in one.html
    for line in one.text.splitlines():
        words = line.removeprefix("- ").removeprefix("-- ").strip()
        if words and not words.startswith("https:"):
            assert all(word.strip("()") in page.text for word in words.split()), words
    assert " ".join(one.subject.split()) in page.text


def test_every_item_is_told():
    """Forty lines, long ones among them, are all there, in the text and on the page."""
    one = rendered("shipped", **FULL)
    page = Page(one.html)

    for number, item in enumerate(MANY):
        count = 2 if number < 9 else 1
        assert one.text.count(row(number + 1, item["name"]) + "\n") == count
    assert page.tags.count("tr") == 40 + 9 + 2
    assert page.text.count("x" * 255) == one.text.count("x" * 255) == 7


@pytest.mark.parametrize(
    ("parcel", "url"),
    [
        ({"tracking_url": "https://own.example/1", "tracking_page": "https://c.example"}, "own"),
        ({"tracking_page": "https://c.example/{number}", "tracking_number": "1 2/3é"}, "carrier"),
        ({"tracking_page": "https://c.example/{number}"}, None),
        ({"tracking_number": "1"}, None),
        ({"tracking_url": "javascript:alert(1)"}, None),
        ({}, None),
    ],
)
def test_tracking_url(parcel, url):
    """The parcel's own address goes before the carrier's page for its number, which is quoted;
    without a number there is none, and nothing but a web page is linked.
    """
    known = {"own": "https://own.example/1", "carrier": "https://c.example/1%202%2F3%C3%A9"}

    assert tracking_url(parcel) == known.get(url)


@pytest.mark.parametrize(
    ("document", "said", "unsaid"),
    [
        ({"parcel": None}, [], ["Carrier", "Tracking number", "Track your"]),
        ({"customer_name": None}, ["Hello,"], ["None"]),
        ({"to_come": MANY[:1]}, ["1 item is still to come"], ["Nothing more"]),
        ({"to_come": []}, ["Nothing more is to be shipped."], ["still to come"]),
        ({"number": None}, ["Order O-1"], ["None"]),
    ],
)
def test_what_is_not_known_is_not_said(document, said, unsaid):
    """Facts that are missing leave no empty sentence behind."""
    one = rendered("shipped", **document)

    for words in (one.text, Page(one.html).text):
        assert [sentence for sentence in said if sentence not in words] == []
        assert [sentence for sentence in unsaid if sentence in words] == []


def test_right_to_left(tmp_path):
    """A language that is written from the right is laid out from the right."""
    (tmp_path / "ar.po").write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n')
    rendering = Rendering(Languages(folder=tmp_path), folder=tmp_path)

    html = rendering.render(facts(), "ar").html

    assert '<html lang="ar" dir="rtl">' in html
    assert "text-align: left" in html


def test_time_zone():
    """The date is that of the shop's clocks."""
    rendering = Rendering(Languages(), time_zone=ZoneInfo("Pacific/Auckland"))

    assert "March 2, 2026" in rendering.render(facts(), None).text


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("card", "Carte"),
        ("CARD", "Carte"),
        ("square_gift_card", "Carte cadeau"),
        ("iDEAL", "iDEAL"),
        ("pay_by_bank", "Pay by bank"),
        (None, "Le moyen de paiement utilisé"),
        ("other", "Le moyen de paiement utilisé"),
    ],
)
def test_method_name(method, said):
    """Codes of means of payment are words; one that is not known here is shown as it is."""
    assert method_name(method, Languages().of("fr").translations.gettext) == said


def test_own_templates(tmp_path):
    """A template of the merchant's folder goes before ours of the same name; the others stay, and
    ours can be built upon.
    """
    (tmp_path / "shipped.txt").write_text("On its way: {{ order }}\n\n{{ items_count }} inside\n")
    (tmp_path / "foot.txt").write_text("-- \n{{ shop_name }} thanks you\n")

    shipped = rendered("shipped", folder=tmp_path)
    completed = rendered("completed", folder=tmp_path)

    assert (shipped.subject, shipped.text) == ("On its way: 1001", "2 inside\n")
    assert "Track your parcel" in shipped.html
    assert completed.text.endswith("-- \nA & B <shop> thanks you\n")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ custmer }}", "template shipped.txt: UndefinedError"),
        ("one\n{% if %}", "template shipped.txt, line 2: TemplateSyntaxError"),
        ('{% include "secret.txt" %}', "template secret.txt: TemplateNotFound"),
    ],
)
def test_broken_template(tmp_path, template, problem):
    """A template that cannot be filled is named, with the line where it is known."""
    (tmp_path / "shipped.txt").write_text(template)

    with pytest.raises(BrokenTemplate) as caught:
        rendered("shipped", folder=tmp_path)

    assert str(caught.value) == problem
