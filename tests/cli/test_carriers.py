"""`carriers list | add | guess`, and what a shipment says of its carrier and its number."""

import pytest

from tests.cli.cli_tools import json_of, one, paid_order, rows_of, table_of
from tests.factories import items, place, ship

RIGHT, WRONG = "1Z5R89390357567127", "1Z5R89390357567128"
WARNING = "the check digit of the tracking number is wrong for UPS"


@pytest.fixture
def some(cli):
    """UPS and a carrier that is nobody else's."""
    cli("carriers", "add", "ups", "UPS", "--tracking-url", "https://ups.example/{number}")
    cli("carriers", "add", "city-bikes", "City Bikes")


@pytest.fixture
def placed(decided):
    """Three of A."""
    decided(place(order=paid_order()))


def test_carriers(cli):
    """A carrier is added once; the same again is known, another one under its code is refused."""
    add = ("carriers", "add", "dhl", "DHL", "--tracking-url", "https://dhl.example/{number}")

    assert cli(*add).stdout == "added: dhl, DHL\n"
    assert cli(*add).stdout == "known: dhl, DHL\n"
    taken = cli("carriers", "add", "dhl", "Other")
    assert (taken.stderr, taken.exit_code) == (
        "error: carrier dhl is another one; see `fulfillment carriers list`\n",
        1,
    )
    (row,) = rows_of(cli("carriers", "list", "--json"))
    assert (row["code"], row["name"]) == ("dhl", "DHL")


def test_a_bad_carrier(cli):
    """A code that is none says the field and what is allowed, and exits 2."""
    result = cli("carriers", "add", "DHL", "DHL")

    assert (
        result.stderr == "error: code: String should match pattern '^[a-z0-9][a-z0-9_-]{0,31}$'\n"
    )
    assert result.exit_code == 2


def test_another_page(cli):
    """A carrier that is here gets another tracking page; its code and name stay."""
    cli("carriers", "add", "dhl", "DHL")

    result = cli("carriers", "add", "dhl", "DHL", "--tracking-url", "https://d.example/{number}")

    assert result.stdout == "changed: dhl, DHL\n"
    (row,) = rows_of(cli("carriers", "list", "--json"))
    assert row["tracking_url"] == "https://d.example/{number}"


def test_list(cli, some):
    """Code, name, whether its numbers are known, and the page; as a table and as JSON."""
    rows = rows_of(cli("carriers", "list", "--json"))
    bikes, ups = table_of(cli("carriers", "list"))[1:]

    assert [(row["code"], row["numbers_known"]) for row in rows] == [
        ("city-bikes", False),
        ("ups", True),
    ]
    assert bikes[:3] == ["city-bikes", "City", "Bikes"]
    assert (ups[:3], ups[-1]) == (["ups", "UPS", "known"], "https://ups.example/{number}")


@pytest.mark.parametrize(
    ("text", "codes"),
    [("BIKE", ["city-bikes"]), ("ups", ["ups"]), ("%", []), ("", ["city-bikes", "ups"])],
)
def test_search(cli, some, text, codes):
    """`--search` looks into code and name, letters large or small, and takes the text as it is."""
    assert [
        row["code"] for row in rows_of(cli("carriers", "list", "--search", text, "--json"))
    ] == codes


def test_guess(cli, some):
    """Whose a number may be, its check digit, and the page of the parcel."""
    result = cli("carriers", "guess", RIGHT)

    assert table_of(result)[1:] == [["ups", "UPS", "right", f"https://ups.example/{RIGHT}"]]
    assert result.stderr == "`ship` without a carrier would take ups\n"
    assert rows_of(cli("carriers", "guess", RIGHT, "--json")) == [
        {
            "code": "ups",
            "form": "UPS",
            "check_digit": "right",
            "known": True,
            "tracking_url": f"https://ups.example/{RIGHT}",
        }
    ]


@pytest.mark.parametrize("number", [WRONG, "799531274483", "TBA502887274000"])
def test_guess_that_a_shipment_would_not_take(cli, some, number):
    """A wrong check digit, a carrier that is not here, and one without check digits: told so."""
    result = cli("carriers", "guess", number)

    assert result.stderr == "`ship` without a carrier would take none\n"
    assert result.exit_code == 0


def test_guess_of_nothing_known(cli):
    """A number of no known form says so and exits 4."""
    result = cli("carriers", "guess", "T1")

    assert (result.stderr, result.exit_code) == (
        "error: no known carrier has numbers like this\n",
        4,
    )


def test_show_has_the_warning(cli, some, placed, decided):
    """`orders show` has the warning at the parcel and in the history, as text and as JSON."""
    decided(ship(items=items(A=1), carrier="ups", tracking_number=WRONG))
    decided(ship(items=items(A=1), tracking_number=RIGHT))

    text = cli("orders", "show", "O-1").stdout
    order = json_of(cli("orders", "show", "O-1", "--json"))

    assert text.count(WARNING) == 2
    assert "carrier_guessed: true" in text
    assert [(row["carrier"], row["warning"]) for row in order["shipments"]] == [
        ("ups", WARNING),
        ("ups", None),
    ]


def test_dry_run_has_it_too(cli, some, placed, engine):
    """A dry run says what would be odd, and which carrier would be guessed; nothing is written."""
    wrong = ("ship", "O-1", "--carrier", "ups", "--tracking-number", WRONG, "--dry-run")

    assert cli(*wrong).stdout.splitlines()[-1] == f"  warning: {WARNING}"
    assert json_of(cli(*wrong, "--json"))["warnings"] == [WARNING]
    unnamed = cli("ship", "O-1", "--tracking-number", RIGHT, "--dry-run")
    assert unnamed.stdout.splitlines()[-1] == "  carrier ups, guessed from the tracking number"
    assert one(engine, "select count(*) from shipments") == 0


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("upps", "carrier upps is not known; did you mean ups?\n"),
        ("zzzzz", ""),
        ("ups", ""),
    ],
)
def test_a_mistyped_carrier(cli, some, placed, code, said):
    """A code that is close to one is pointed out; the command is judged as it is."""
    result = cli("ship", "O-1", "--carrier", code, "--dry-run")

    assert result.stderr == f"{said}nothing was sent\n"
    assert result.exit_code == (0 if code == "ups" else 5)
