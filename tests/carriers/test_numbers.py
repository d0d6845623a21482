"""Tracking numbers: check digits, and whose a number must be."""

import pytest

from worker.carriers.numbers import fits, guess, has_wrong_check_digit


@pytest.mark.parametrize(
    ("carrier", "number"),
    [
        ("ups", "1Z5R89390357567127"),
        ("usps", "9400111201080805483016"),
        ("fedex", "799531274483"),
        ("dhl", "3318810025"),
        ("dhl", "00340434161094022115"),  # DHL's own, for trying its tracking
        ("dhl", "201298452277"),
        ("dpd", "01015026003653C"),
        ("dpd", "008182709980000020033350276C"),
        ("canada-post", "0073938000549297"),
        ("yamato", "123456789013"),
        ("japan-post", "13112383852"),
        ("royal-mail", "RB123456785GB"),
        ("colissimo", "CB123456785FR"),
    ],
)
def test_a_right_check_digit(carrier, number):
    """The number as the carrier gives it out is right; any other last digit of it is wrong."""
    country = 2 if number[-2:].isalpha() else 0
    place = len(number) - 1 - country
    others = {number[:place] + digit + number[place + 1 :] for digit in "0123456789"} - {number}

    assert has_wrong_check_digit(carrier, number) is False
    assert {has_wrong_check_digit(carrier, other) for other in others} == {True}


@pytest.mark.parametrize("number", ["1z 5R8 939 03 5756 7128", "1Z-5R89-3903-5756-7128"])
def test_what_only_helps_the_eye(number):
    """Spaces, dashes and small letters hide no mistake."""
    assert has_wrong_check_digit("ups", number) is True


@pytest.mark.parametrize(
    ("carrier", "number"),
    [
        ("ups", "T1"),
        ("ups", ""),
        ("dhl", "JJD0099999998"),
        ("gls", "12345678901"),
        ("city-bikes", "1Z5R89390357567128"),
        ("usps", "1Z5R89390357567128"),
        ("usps", "٩٤٠٠١١١٢٠١٠٨٠٨٠٥٤٨٣٠١٧"),
    ],
)
def test_nothing_is_said_of_other_forms(carrier, number):
    """A form without check digit, one that is not known, and carriers without known numbers."""
    assert has_wrong_check_digit(carrier, number) is False


@pytest.mark.parametrize(
    ("number", "carrier"),
    [
        ("1Z5R89390357567127", "ups"),
        ("9400111201080805483016", "usps"),
        ("799531274483", "fedex"),
        ("C11031500001879", "ontrac"),
        ("RB123456785GB", "royal-mail"),
        ("RB123456785FR", "la-poste"),
        ("RB123456785US", "usps"),
        # As right a number of USPS by its count, yet it begins as DHL's do.
        ("00340434161094022115", "dhl"),
    ],
)
def test_a_number_that_can_be_of_one_only(number, carrier):
    """The carrier whose check digit is right is the one, if no other can be."""
    assert guess(number) == carrier


@pytest.mark.parametrize(
    ("number", "possible"),
    [
        ("T1", set()),
        ("1Z5R89390357567128", set()),
        ("218025809066", {"dhl", "fedex"}),
        ("9261292700768711948021", {"fedex", "usps"}),  # FedEx SmartPost, which USPS delivers
        ("CB123456785FR", {"la-poste", "colissimo", "chronopost"}),
        ("RB123456785XX", set()),
        ("TBA502887274000", {"amazon"}),  # no check digit speaks for it
        ("1" * 64, set()),
        ("000123450000000027", {"fedex"}),  # GS1 SSCC: as right for whoever else numbers boxes
        ("00370724760154312349", {"usps"}),
    ],
)
def test_a_number_in_doubt(number, possible):
    """Nobody is guessed where several carriers may be meant, and where no check digit says so."""
    assert {fit.form.carrier for fit in fits(number) if fit.is_right is not False} == possible
    assert guess(number) is None
