"""Check digits: whether a serial number and the character behind it belong together. Pure.

Serial numbers hold digits and capital letters only; the forms in `numbers` see to that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Check = Callable[[str, str], bool]
"""Asks of a serial number and its check character whether they belong together."""


def mod7(serial: str, check: str) -> bool:
    """The remainder of division by seven: DHL Express, Yamato, Japan Post."""
    return int(serial) % 7 == int(check)


def mod10(odd: int, even: int) -> Check:
    """What is missing to a multiple of ten; weights of the first, third, ... and of the second,
    fourth, ... place. A letter counts as UPS says: A is 2, B is 3, I is 0.
    """

    def is_right(serial: str, check: str) -> bool:
        # Slices, not places: a guess may look at three such numbers, thousands of times a second.
        total = odd * sum(map(_value, serial[::2])) + even * sum(map(_value, serial[1::2]))
        return -total % 10 == int(check)

    return is_right


def weighted(weights: Sequence[int], modulo: int, then_modulo: int) -> Check:
    """The weighted sum's remainder: FedEx."""

    def is_right(serial: str, check: str) -> bool:
        total = sum(weight * int(char) for weight, char in zip(weights, serial, strict=True))
        return total % modulo % then_modulo == int(check)

    return is_right


def s10(serial: str, check: str) -> bool:
    """UPU S10: weights 8 6 4 2 3 5 9 7, modulo 11; 10 is written 0, and 11 is written 5."""
    total = sum(weight * int(char) for weight, char in zip(_S10, serial, strict=True))
    return {10: 0, 11: 5}.get(rest := 11 - total % 11, rest) == int(check)


def mod_37_36(serial: str, check: str) -> bool:
    """ISO/IEC 7064 MOD 37,36, over digits and letters: DPD."""
    rest = 36
    for char in serial:
        rest = (rest + _ALPHABET.index(char)) % 36 or 36
        rest = rest * 2 % 37
    return _ALPHABET[(37 - rest) % 36] == check


def by_name(described: Mapping[str, Any]) -> Check:
    """The check that `tracking_number_data` describes.

    Raises:
      ValueError: It names one that is not here.
    """
    match described["name"]:
        case "mod7":
            return mod7
        case "mod10":
            # Its places are counted from 0.
            return mod10(described["evens_multiplier"], described["odds_multiplier"])
        case "sum_product_with_weightings_and_modulo":
            return weighted(described["weightings"], described["modulo1"], described["modulo2"])
        case "s10":
            return s10
        case name:
            raise ValueError(f"no check digit is called {name}")


_S10: Final = (8, 6, 4, 2, 3, 5, 9, 7)
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_value: Final = {c: int(c) if c.isdigit() else (ord(c) - 3) % 10 for c in _ALPHABET}.__getitem__
