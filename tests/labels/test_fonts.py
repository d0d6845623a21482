"""Which letters are drawn, and what becomes of the others."""

import hashlib
import re
from pathlib import Path

import pytest
import reportlab
from PIL import features

from tests.labels import lab
from worker.errors import Transient
from worker.labels.fonts import VENDOR, Fonts
from worker.labels.page import Text
from worker.labels.pdf import pdf

KHMER = Path(reportlab.__file__).parent / "fonts" / "hb-test.ttf"
"""A font with a few letters of a script that the embedded font lacks."""
shaping = pytest.mark.skipif(not features.check("raqm"), reason="this machine has no FriBiDi")


def test_the_fonts_are_those_of_their_origin():
    """The vendored fonts have the sums that ORIGIN.md tells, and come with their licence."""
    told = dict(re.findall(r"([0-9a-f]{64})  (\S+)", (VENDOR / "ORIGIN.md").read_text()))
    found = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in VENDOR.glob("*.ttf")
    }

    assert found == told
    assert len(found) == 2
    assert "Bitstream Vera" in (VENDOR / "LICENSE").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "Ærøskøbing, Łódź, Şile, Đà Nẵng, Þórshöfn, Straße",
        "Αθήνα, Θεσσαλονίκη, ἀρχή",
        "Москва, Київ, Ђаковица, Ґрунт",
        "№ 7 “x” · € 5",
    ],
)
def test_scripts_of_the_embedded_font(text):
    """Latin, Greek and Cyrillic are drawn as they are."""
    assert Fonts().legible(text) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("北京市 5", "Bei Jing Shi 5"),
        ("서울", "Seo Ul"),
        ("שלום", "slvm"),
        ("नमस्ते", "nmste"),
        ("A\u200bB\u00a0C", "AB C"),
        ("\ue000 x \U0010fffd", "? x ?"),
        ("🎉", ":tada:"),
    ],
)
def test_other_scripts_are_written_in_latin_letters(text, written):
    """What cannot be drawn is transliterated, and what has no letters is a question mark."""
    assert Fonts().legible(text) == written


def test_no_box_is_ever_drawn():
    """Whatever is in a text, each character of what is drawn has a glyph."""
    fonts = Fonts()
    for start in range(0x20, 0x30000, 0x100):
        text = "".join(map(chr, range(start, start + 0x100)))
        if not 0xD800 <= start < 0xE000:
            assert fonts.can_draw(fonts.legible(text)), hex(start)


@shaping
def test_the_operators_font():
    """Letters that the operator's font has are drawn with it, on the page and in ZPL."""
    fonts = Fonts(KHMER)
    text = "\u1786"

    assert Fonts().legible(text) != text
    assert fonts.legible(text) == text
    page = [Text(100, 200, 60, text)]
    (printed,) = lab.pictures(pdf([page], fonts, title=""))
    (rendered,) = lab.rendered(lab.as_zpl(page, fonts))
    ink = [picture.point(lambda v: 255 * (v < 128)).getbbox() for picture in (printed, rendered)]
    assert ink[0] is not None
    # The same letter at the same place, but for a dot of rounding.
    assert all(abs(a - b) <= 1 for a, b in zip(*ink, strict=True)), ink


@shaping
def test_what_the_operators_font_lacks():
    """Letters that neither font has are still transliterated."""
    assert Fonts(KHMER).legible("北京") == "Bei Jing"


@pytest.mark.parametrize("content", [None, b"no font"])
def test_a_font_that_is_none(tmp_path, content):
    """A font that cannot be used is named by its setting."""
    path = tmp_path / "font.ttf"
    if content:
        path.write_bytes(content)

    with pytest.raises(Transient, match="FULFILLMENT_LABEL_FONT cannot be used") as failed:
        Fonts(path)

    assert failed.value.reason == "label_font"
