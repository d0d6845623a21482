"""The packing slip: what is in the parcel, what is still to come, on as many pages as it takes."""

from itertools import pairwise

from tests.labels import lab
from worker.labels import page
from worker.labels.facts import Line
from worker.labels.fonts import Fonts
from worker.labels.page import Text
from worker.labels.pdf import pdf
from worker.labels.slip import slip


def text_of(one):
    """The words of each page."""
    return [
        [element.text for element in elements if isinstance(element, Text)]
        for elements in slip(one, Fonts())
    ]


def test_a_slip():
    """The slip lists this parcel's units, then what is still to come."""
    one = lab.parcel(Line("Product A", "SKU-A", 2, 1), Line("Product B", None, 0, 3))

    assert text_of(one) == [
        [
            "Packing slip",
            "Order 1001 · Parcel 1 · Shipment 42 · 2026-03-01",
            "For Customer 1",
            "In this parcel",
            "2 x",
            "Product A · SKU-A",
            "Still to come",
            "1 x",
            "Product A · SKU-A",
            "3 x",
            "Product B",
            "page 1 of 1",
        ]
    ]


def test_the_last_parcel():
    """With nothing to come the slip says so by the count of parcels, and lists nothing more."""
    (words,) = text_of(lab.parcel(Line("Product A", None, 2, 0), position=3))

    assert words[1] == "Order 1001 · Parcel 3 of 3 · Shipment 42 · 2026-03-01"
    assert "Still to come" not in words


def test_in_french():
    """A French-speaking customer's slip is in French."""
    (words,) = text_of(lab.parcel(Line("Produit A", None, 2, 1), locale="fr-CA"))

    assert words[0] == "Bon de livraison"
    assert words[-4:] == ["Encore à venir", "1 x", "Produit A", "page 1 sur 1"]


def test_forty_lines():
    """Forty lines take two pages, each with the head and its number; none is lost or doubled."""
    one = lab.parcel(*(Line(f"Product {n}", f"SKU-{n}", n, 0) for n in range(1, 41)))

    pages = text_of(one)

    assert [words[-1] for words in pages] == ["page 1 of 2", "page 2 of 2"]
    assert [words[0] for words in pages] == ["Packing slip"] * 2
    listed = [word for words in pages for word in words if word.startswith("Product")]
    assert listed == [f"Product {n} · SKU-{n}" for n in range(1, 41)]


def test_nothing_is_cut_off():
    """The longest names wrap, and stay on the page and beside their quantities."""
    fonts = Fonts()
    one = lab.parcel(
        *(Line("W" * 255, "M" * 64, 1_000_000, 1_000_000) for _ in range(8)),
        order_reference="W" * 64,
        customer_name="W" * 255,
        ship_to=None,
    )

    pages = slip(one, fonts)

    for elements in pages:
        texts = [element for element in elements if isinstance(element, Text)]
        for text in texts:
            width = fonts.width(text.text, text.size, bold=text.bold)
            assert text.x + width <= page.WIDTH - page.MARGIN + 1
            assert text.y <= page.HEIGHT - page.MARGIN
        for a, b in pairwise(texts):
            right = a.x + fonts.width(a.text, a.size, bold=a.bold)
            assert b.y > a.y or b.x >= right
    letters = "".join(
        text.text for elements in pages for text in elements if isinstance(text, Text)
    )
    assert letters.count("M") == 64 * 16


def test_scripts_on_a_slip():
    """Names in any script are legible, on a PDF that opens."""
    one = lab.parcel(Line("Кружка", None, 1, 0), Line("中文", None, 1, 0))

    words = lab.words(pdf(slip(one, Fonts()), Fonts(), title="Packing slip"))

    assert "Кружка" in words
    assert "Zhong Wen" in words
