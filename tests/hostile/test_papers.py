"""Hostile texts on labels and packing slips: nothing leaves its field, in ZPL or in PDF, and what
can be drawn is drawn.
"""

import io
import re
import unicodedata
from collections import Counter

import pytest
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, NameObject

from tests.hostile import corpus
from tests.labels import lab
from worker.labels.facts import Line
from worker.labels.fonts import Fonts
from worker.labels.page import HEIGHT, WIDTH, Bars, Rule, Text
from worker.labels.pdf import POINTS_PER_DOT, pdf
from worker.labels.slip import slip
from worker.labels.zpl import zpl

FONTS = Fonts()
TEXTS = [one.stored for one in corpus.STORED.values()]
HARMLESS = "Plain words"
BEGIN = ["XA", "CI", "PW", "LL", "LH", "LS"]
FIELD = ["FT", "A0", "FH", "FD", "FS"]
PICTURE = ["FO", "GF", "FS"]
RULE = ["FO", "GB", "FS"]
BARS = ["FO", "BY", "BC", "FH", "FD", "FS"]
"""The commands of each thing on a label."""


def parcel(text):
    """A parcel with the text in every field of free text."""
    # An address that does not fit would be refused as a whole.
    short = text[:30].strip()
    everywhere = dict.fromkeys(("name", "company", "city", "district", "postal_code"), short)
    return lab.parcel(
        Line(text, text, 2, 0),
        Line(text, None, 0, 1),
        order_reference=text,
        customer_name=text,
        carrier=text,
        service=text,
        tracking_number=text,
        ship_to=lab.address(**everywhere, lines=(text,)),
        ship_from=lab.address(**everywhere, lines=(short,)),
    )


def label(text):
    return lab.drawn(parcel(text))


def in_one(texts):
    """The words without blanks and case: lines are wrapped, and posts want cities in capitals."""
    return "".join("".join(texts).split()).casefold()


def said(page):
    return [element.text for element in page if isinstance(element, Text)]


@pytest.mark.parametrize("name", corpus.STORED)
def test_a_label_in_zpl(name):
    """A label has the commands of its own lines, rules and bars in their order, and no others,
    however the text is cut into lines; and each field's data is the line that was drawn.
    """
    page = label(corpus.STORED[name].stored)

    content = zpl([page], FONTS).decode()

    _, *commands = re.split(r"[\^~]", content)
    wanted = [*BEGIN]
    for element in page:
        match element:
            case Rule():
                wanted += RULE
            case Bars():
                wanted += BARS
            case Text(text=text):
                is_sent = re.fullmatch(r"[ -\[\]-~]+", text)
                wanted += FIELD if is_sent else PICTURE
    assert [one[:2] for one in commands] == [*wanted, "XZ"]
    assert content.count("~") == 0
    fields = [one[2:] for one in commands if one.startswith("FD")]
    data = [re.sub("_([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), one) for one in fields]
    drawn = [one for one in said(page) if re.fullmatch(r"[ -\[\]-~]+", one)]
    assert [one for one in data if one in drawn] == drawn
    assert len(data) == len(drawn) + 1, "and the bars"


@pytest.mark.parametrize("name", ["zpl", "zpl hex"])
def test_a_label_of_commands_is_printed(name):
    """A printer makes one label of it, and a scanner reads the very number."""
    text = corpus.STORED[name].text

    (picture,) = lab.rendered(zpl([label(text)], FONTS))

    assert lab.scanned(picture) == [(text, "Text")]


def test_what_can_be_drawn_is_drawn():
    """Each text is whole in its places, in Latin letters where the font lacks its own: the order
    and the parcel's number on the label, the products on the slip.
    """
    for text in TEXTS:
        drawn = in_one([FONTS.legible(text)])
        (page,) = slip(parcel(text), FONTS)

        assert in_one(said(label(text))).count(drawn) >= 2
        assert in_one(said(page)).count(drawn) >= 3


def names(value, seen):
    """Every name in the document, keys and values alike."""
    if isinstance(value, IndirectObject):
        if (value.idnum, value.generation) in seen:
            return
        seen.add((value.idnum, value.generation))
        value = value.get_object()
    if isinstance(value, NameObject):
        yield str(value)
    if isinstance(value, DictionaryObject):
        for key, one in value.items():
            yield str(key)
            yield from names(one, seen)
    if isinstance(value, ArrayObject):
        for one in value:
            yield from names(one, seen)


def letters(text):
    """How often each is there; accents that lie upon each other cannot be told apart."""
    return Counter(char for char in in_one([text]) if not unicodedata.combining(char))


def structure(content):
    """Size of each page, and all names but those that the fonts' subsets are given."""
    reader = PdfReader(io.BytesIO(content), strict=True)
    found = set(names(reader.trailer, set()))
    sizes = [tuple(round(float(n), 3) for n in page.mediabox) for page in reader.pages]
    return sizes, {name for name in found if not re.fullmatch(r"/(F\d+\+\d+|\w+\+DejaVu.*)", name)}


@pytest.mark.parametrize(
    "make", [lambda one: [lab.drawn(one)], lambda one: slip(one, FONTS)], ids=["label", "slip"]
)
def test_a_pdf(make):
    """Each is a page of the same size, the document holds no kind of object that a harmless one
    lacks, so no script, link, file or action, and its words are those of the pages.
    """
    pages = [page for text in TEXTS for page in make(parcel(text))]
    assert len(pages) == len(TEXTS)

    content = pdf(pages, FONTS, title="Label")

    size = (0, 0, round(WIDTH * POINTS_PER_DOT, 3), round(HEIGHT * POINTS_PER_DOT, 3))
    sizes, found = structure(content)
    assert sizes == [size] * len(TEXTS)
    assert found == structure(pdf(make(parcel(HARMLESS)), FONTS, title="Label"))[1]
    printed = letters(lab.words(content))
    assert printed == letters("".join(text for page in pages for text in said(page)))
