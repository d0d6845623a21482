"""`vendor/tracking_number_data`: as it came, and read as it is meant."""

import hashlib
import re
from pathlib import Path

import pytest

from worker.carriers import forms, numbers

FOLDER = Path(forms.__file__).parent / "vendor/tracking_number_data"
COURIERS = sorted(path.stem for path in (FOLDER / "couriers").iterdir())


def numbers_of(kind):
    """Courier, name of the form and number, for each test number of the kind."""
    return [
        (courier, described["name"], number)
        for courier in COURIERS
        for described in forms.vendored(courier)["tracking_numbers"]
        for number in described["test_numbers"][kind]
    ]


def verdict(courier, name, number):
    """Whether the check digit is right, None if there is none, "other" if it has another form."""
    (form,) = (one for one in forms.vendored_forms(courier) if one.name == name)
    fit = form.fit("".join(number.split()))
    return fit.is_right if fit else "other"


def test_files_are_as_they_came():
    """Each file has the SHA-256 that is written down, and no other file is there."""
    sums = dict(
        reversed(line.split("  ")) for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
    )

    assert sums == {
        str(path.relative_to(FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.rglob("*")
        if path.is_file() and path.name not in {"SHA256SUMS", "ORIGIN.md"}
    }


@pytest.mark.parametrize(("courier", "form", "number"), numbers_of("valid"))
def test_numbers_that_are_valid(courier, form, number):
    """A number that the data calls valid has its form, and a right check digit if it has any."""
    assert verdict(courier, form, number) in {True, None}


@pytest.mark.parametrize(("courier", "form", "number"), numbers_of("invalid"))
def test_numbers_that_are_not(courier, form, number):
    """A number that the data calls invalid has another form or a wrong check digit; or it is of a
    country that is none, which nobody's forms have.
    """
    if number.endswith("XX"):
        assert numbers.fits(number) == []
    else:
        assert verdict(courier, form, number) in {False, "other"}


def test_every_file_is_used():
    """Each courier's forms are looked at; that of S10 is shared out among the countries."""
    assert sorted([*forms.VENDORED, "s10"]) == COURIERS
    assert {form.carrier for form in forms.every_form()} >= {*forms.VENDORED}


def test_every_country_is_one_of_the_data():
    """Each country of ours is one of the data's."""
    (described,) = forms.vendored("s10")["tracking_numbers"]
    (couriers,) = (one for one in described["additional"] if one["name"] == "Courier")

    assert forms.S10.keys() <= {one["matches"] for one in couriers["lookup"]}


def test_no_pattern_is_unbounded():
    """Nothing repeats without a limit, so that no number can keep the worker busy."""
    postal = [form for country in forms.S10 for form in forms.postal_forms(country)]
    patterns = {form.pattern.pattern for form in (*forms.every_form(), *postal)}

    assert len(patterns) > 50
    assert [one for one in patterns if re.search(r"[*+]|\{\d+,\}", one)] == []
