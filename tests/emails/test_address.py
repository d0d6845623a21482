"""Which addresses are written to, and in which form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.emails.address import BadAddress, checked


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("zoe@shop.example", "zoe@shop.example"),
        (" zoe@shop.example ", "zoe@shop.example"),
        ("Zoe.O'Neil+tag@Shop.Example", "Zoe.O'Neil+tag@shop.example"),
        ("a_b-c=d{e}~f@sub.shop.co.uk", "a_b-c=d{e}~f@sub.shop.co.uk"),
        ("zoe@bücher.example", "zoe@xn--bcher-kva.example"),
        ("zoe@straße.example", "zoe@xn--strae-oqa.example"),
        ("zoe@例え.テスト", "zoe@xn--r8jz45g.xn--zckzah"),
        ("zoe@XN--BCHER-KVA.example", "zoe@xn--bcher-kva.example"),
        ("zoé@shop.example", "zoé@shop.example"),
        ("用户@shop.example", "用户@shop.example"),
        ("a" * 64 + "@shop.example", "a" * 64 + "@shop.example"),
    ],
)
def test_good(address, written):
    """Addresses as people have them; a domain beyond ASCII gets its ASCII form (IDNA 2008)."""
    assert checked(address) == written


@pytest.mark.parametrize(
    "address",
    [
        "",
        "zoe",
        "@shop.example",
        "zoe@",
        "zoe@shop",
        "zoe@localhost",
        "zoe at shop.example",
        "zoe@shop@shop.example",
        "zoe@shop.example, eve@evil.example",
        "zoe@shop.example eve@evil.example",
        "Zoe <zoe@shop.example>",
        "<zoe@shop.example>",
        '"zoe"@shop.example',
        ".zoe@shop.example",
        "zoe.@shop.example",
        "z..oe@shop.example",
        "zoe@.shop.example",
        "zoe@shop..example",
        "zoe@shop.example.",
        "zoe@-shop.example",
        "zoe@shop_x.example",
        "zoe@127.0.0.1",
        "zoe@[127.0.0.1]",
        "zoe@shop.example\r\nRCPT TO:<eve@evil.example>",
        "zoe\r\n@shop.example",
        "zoe\x00@shop.example",
        "zoe@shop.example>",
        "a" * 65 + "@shop.example",
        "zoe@" + "a" * 64 + ".example",
        "zoe@" + "a." * 130 + "example",
    ],
)
def test_bad(address):
    """What is none is refused, and not quoted: the text may be stored."""
    with pytest.raises(BadAddress) as caught:
        checked(address)

    assert str(caught.value) in {"it is no e-mail address", "its domain is none"}


@given(st.text(max_size=80) | st.emails())
def test_anything(address):
    """Whatever is taken is one line without spaces, brackets or commas, has one @ and an ASCII
    domain, and is taken again as it is.
    """
    try:
        written = checked(address)
    except BadAddress:
        return

    assert not set(written) & set(' \t\r\n\x00<>,;:"\\()[]')
    assert written.count("@") == 1
    assert written.rpartition("@")[2].isascii()
    assert checked(written) == written
