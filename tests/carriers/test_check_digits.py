"""Check digits, where a remainder has no digit of its own."""

import pytest

from worker.carriers.check_digits import by_name, mod7, mod10, mod_37_36, s10, weighted

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
fedex = weighted((3, 1, 7, 3, 1, 7, 3, 1, 7, 3, 1), 11, 10)


@pytest.mark.parametrize(
    ("check", "serial", "expected"),
    [
        (mod7, "12345678901", "3"),
        (mod10(3, 1), "0034043416109402211", "5"),
        (mod10(4, 9), "21802580906", "6"),
        (mod10(1, 2), "5R8939035756712", "7"),
        (mod10(3, 1), "000", "0"),
        (s10, "47312482", "9"),
        (s10, "00000000", "5"),  # 11
        (s10, "00000008", "0"),  # 10
        (mod_37_36, "01015026003653", "C"),
        (mod_37_36, "00000000000298", "0"),  # 36
        (fedex, "79953127448", "3"),
        (fedex, "00000000017", "0"),  # 10
    ],
)
def test_one_character_only_is_right(check, serial, expected):
    """Of all that could stand at the end, exactly one belongs to the serial number."""
    alphabet = ALPHABET if check is mod_37_36 else ALPHABET[:10]

    assert [char for char in alphabet if check(serial, char)] == [expected]


def test_an_unknown_check_is_a_bug():
    """Data with a check that is not here cannot be read in silence."""
    with pytest.raises(ValueError, match="no check digit is called luhn"):
        by_name({"name": "luhn"})
