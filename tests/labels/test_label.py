"""The label as paper: what a scanner reads from the page and from the rendered ZPL, and that
nothing overlaps or leaves the page.
"""

from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.labels import lab
from worker.errors import Terminal
from worker.labels import page
from worker.labels.barcode import sscc
from worker.labels.fonts import Fonts
from worker.labels.page import Bars, Rule, Text

PREFIX = "0614141"
FORMS = {
    "pdf": lambda page: lab.pictures(lab.as_pdf(page)),
    "zpl": lambda page: lab.rendered(lab.as_zpl(page)),
}
form = pytest.mark.parametrize("render", FORMS.values(), ids=FORMS)


@form
def test_the_carriers_number(render):
    """A carrier's number reads back as Code 128, without the spaces that are for people."""
    (picture,) = render(lab.drawn(lab.parcel(tracking_number="1Z 999 AA1 01 2345 6784")))

    assert picture.size == (4 * lab.DPI, 6 * lab.DPI)
    assert lab.scanned(picture) == [("1Z999AA10123456784", "Text")]


def test_the_sscc():
    """Without a carrier's number, a company prefix gives a GS1-128 symbol with an SSCC-18."""
    (picture,) = lab.pictures(
        lab.as_pdf(lab.drawn(lab.parcel(tracking_number=None), prefix=PREFIX))
    )

    assert lab.scanned(picture) == [("(00)006141410000000425", "GS1")]


def test_the_sscc_in_zpl():
    """The ZPL has the same GS1-128 symbol."""
    content = lab.as_zpl(lab.drawn(lab.parcel(tracking_number=None), prefix=PREFIX))

    assert b"^BCN,260,N,N,N,N^FH^FD>;>800006141410000000425^FS" in content
    (picture,) = lab.rendered(content)
    assert lab.scanned(picture) == [("(00)006141410000000425", "GS1")]


@form
def test_the_shipments_number(render):
    """Without a carrier's number and a prefix, the bar code is the shipment's number."""
    (picture,) = render(lab.drawn(lab.parcel(tracking_number=None)))

    assert lab.scanned(picture) == [("42", "Text")]


@form
@pytest.mark.parametrize("number", ["ABCDEFGHIJ" * 6 + "ABCD", "番号七", "№ 7"])
def test_a_number_that_no_bar_code_can_hold(render, number):
    """A carrier's number that would not scan is printed for people, and the bar code is our own."""
    one = lab.parcel(tracking_number=number)
    drawn = lab.drawn(one)
    (picture,) = render(drawn)

    assert lab.scanned(picture) == [("42", "Text")]
    printed = "".join(element.text for element in drawn if isinstance(element, Text))
    assert Fonts().legible(number).replace(" ", "") in printed.replace(" ", "")


@form
def test_many_digits(render):
    """Digits take half the room: sixty of them scan."""
    (picture,) = render(lab.drawn(lab.parcel(tracking_number="0123456789" * 6)))

    assert lab.scanned(picture) == [("0123456789" * 6, "Text")]


def test_bars_are_printed_dot_for_dot():
    """Each bar of the page begins and ends at the very dot: none is a dot wider or narrower."""
    drawn = lab.drawn(lab.parcel(tracking_number="000000000:00000:00000:0"))
    (bars,) = (element for element in drawn if isinstance(element, Bars))
    (picture,) = lab.pictures(lab.as_pdf(drawn))

    wanted, is_bar = [], True
    for modules in bars.symbol.pattern:
        wanted += [0 if is_bar else 255] * int(modules) * bars.symbol.module_dots
        is_bar = not is_bar
    row = [picture.getpixel((bars.x + n, bars.y + 100)) for n in range(bars.symbol.width_dots)]
    assert row == wanted


@settings(max_examples=25)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
@example(">;>8^XZ~JA_5E\\&")
@example("A1234B56C789")
def test_any_number_reads_back(number):
    """Whatever ASCII a carrier's number holds, page and ZPL read back as it."""
    drawn = lab.drawn(lab.parcel(tracking_number=number))
    (printed,) = lab.pictures(lab.as_pdf(drawn))
    (rendered,) = lab.rendered(lab.as_zpl(drawn))

    assert lab.scanned(printed) == lab.scanned(rendered) == [(number, "Text")]


def test_bars_are_whole_dots():
    """No bar is narrower than two dots, and the quiet zones have ten modules."""
    for number in ("1", "1Z999AA10123456784", "A" * 28, "A" * 30, "0" * 62):
        (bars,) = (x for x in lab.drawn(lab.parcel(tracking_number=number)) if isinstance(x, Bars))
        assert bars.symbol.module_dots >= 2
        assert bars.x >= 10 * bars.symbol.module_dots
        assert bars.x + bars.symbol.width_dots + 10 * bars.symbol.module_dots <= page.WIDTH


def test_gs1_size():
    """A GS1-128 symbol is as big as a logistic label asks: modules of 0.5 mm, bars of 32 mm."""
    drawn = lab.drawn(lab.parcel(tracking_number=None), prefix=PREFIX)
    (bars,) = (element for element in drawn if isinstance(element, Bars))

    assert bars.symbol.module_dots * 25.4 / lab.DPI >= 0.495
    assert bars.height * 25.4 / lab.DPI >= 31.75


def test_sscc_check_digit():
    """The example of GS1: 0 0614141 123456789 has the check digit 0."""
    assert sscc(PREFIX, 123456789) == "006141411234567890"


def test_sscc_spills_over():
    """A serial reference that is full goes on in the extension digit, and then there is no more."""
    assert sscc(PREFIX, 10**9 + 5)[:17] == "10614141000000005"
    assert sscc(PREFIX, 10**10 - 1)[:17] == "90614141999999999"
    with pytest.raises(Terminal, match="needs more digits") as failed:
        sscc(PREFIX, 10**10)
    assert failed.value.reason == "sscc_exhausted"


def test_what_a_person_reads():
    """The page names sender, recipient, carrier, service, order and parcel."""
    printed = lab.words(lab.as_pdf(lab.drawn(lab.parcel())))

    assert printed.split("\r\n") == [
        "FROM",
        "Example Shop",
        "10 Example Road",
        "PORTLAND, OR 97201",
        "DHL",
        "Express",
        "TO",
        "Customer 1",
        "1 Example Street",
        "SPRINGFIELD, IL 62701",
        "ORDER",
        "1001",
        "PARCEL",
        "1 of 1",
        "TRACKING NUMBER",
        "JD014600003SE",
    ]


def test_an_order_that_is_not_shipped():
    """The address label of an order has no bar code and no parcel's number."""
    drawn = lab.drawn(lab.parcel(number=None, position=None, tracking_number=None, carrier=None))

    assert not [element for element in drawn if isinstance(element, Bars)]
    assert "PARCEL" not in lab.words(lab.as_pdf(drawn))


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1
).filter(str.strip)
LONG = ("W" * 255, "Maximilian-Alexander von Hohenlohe " * 7, "漢字" * 120, "é" * 64, "1")


@settings(max_examples=30)
@given(st.data())
def test_nothing_overlaps_or_leaves_the_page(data):
    """Long and strange names shrink, wrap or are cut, so that every line has its place."""
    short = st.one_of(
        texts.map(lambda text: text[:64]), st.sampled_from(LONG).map(lambda x: x[:64])
    )
    name = st.one_of(texts.map(lambda text: text[:255]), st.sampled_from(LONG))
    one = lab.parcel(
        carrier=data.draw(name),
        service=data.draw(short),
        order_reference=data.draw(short),
        tracking_number=data.draw(short),
        position=data.draw(st.integers(1, 500)),
        ship_to=lab.address(name=data.draw(name), lines=(data.draw(name),), city=data.draw(name)),
        ship_from=lab.address(company=data.draw(name)[:60]),
    )

    boxes = sorted(map(box, lab.drawn(one, prefix=data.draw(st.sampled_from([None, PREFIX])))))

    for left, top, right, bottom in boxes:
        assert left >= 0
        assert top >= 0
        assert right <= page.WIDTH
        assert bottom <= page.HEIGHT
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


def box(element):
    """Left, top, right, bottom of an element; a line of text from its capitals to its baseline."""
    match element:
        case Text():
            width = Fonts().width(element.text, element.size, bold=element.bold)
            top = element.y - element.size * 3 // 4
            return (element.x, top, int(element.x + width), element.y)
        case Rule():
            return (element.x, element.y, element.x + element.width, element.y + element.height)
        case Bars():
            right = element.x + element.symbol.width_dots
            return (element.x, element.y, right, element.y + element.height)


def test_an_address_that_is_too_long():
    """An address is never cut off: one that does not fit is a failure that names no part of it."""
    one = lab.parcel(ship_to=lab.address(lines=("W" * 255,) * 5, name="W" * 255))

    with pytest.raises(Terminal, match="too long for a label") as failed:
        lab.drawn(one)

    assert failed.value.reason == "bad_address"
    assert "WW" not in str(failed.value)
