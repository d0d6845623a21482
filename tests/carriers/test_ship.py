"""`ship` with a tracking number: warnings and guesses, in the rules and in the database."""

import pytest

from messages import DoneShipment, NewCarrier
from tests import factories as make
from tests.work import rig
from worker.orders.model import Decision
from worker.orders.rules import decide, decide_all

RIGHT, WRONG = "1Z5R89390357567127", "1Z5R89390357567128"
WARNING = "the check digit of the tracking number is wrong for UPS"
SHOP = {"carriers": {"dhl": "DHL", "ups": "UPS"}}


def shipped(command, **world):
    """The parcel, and what history says of it beside the items."""
    decision = decide(make.order(), command, make.world(**SHOP | world))
    assert isinstance(decision, Decision), decision
    (shipment,), (entry,) = decision.shipments, decision.history
    return shipment, {name: value for name, value in entry.details.items() if name != "items"}


def test_a_wrong_check_digit_is_a_warning():
    """The order ships all the same; the parcel and its history say what is wrong."""
    shipment, details = shipped(make.ship(carrier="ups", tracking_number=WRONG))

    assert (shipment.carrier, shipment.warning) == ("ups", WARNING)
    assert details == {"carrier": "ups", "tracking_number": WRONG, "warning": WARNING}


@pytest.mark.parametrize(
    "fields",
    [
        {"carrier": "ups", "tracking_number": RIGHT},
        {"carrier": "ups", "tracking_number": "T1"},
        {"carrier": "ups"},
        {"carrier": "dhl", "tracking_number": WRONG},
        {"new_carrier": NewCarrier(code="acme", name="Acme"), "tracking_number": WRONG},
    ],
)
def test_no_warning(fields):
    """A right number, a number of an unknown form, none, and carriers whose numbers differ."""
    assert shipped(make.ship(**fields))[0].warning is None


def test_a_carrier_that_is_added_on_the_way_is_checked():
    """A common carrier is known by its numbers whoever adds it, under the name that is given."""
    ups = NewCarrier(code="ups", name="UPS Germany")

    shipment, _ = shipped(make.ship(new_carrier=ups, tracking_number=WRONG), carriers={})

    assert shipment.warning == "the check digit of the tracking number is wrong for UPS Germany"


def test_another_carrier_under_a_common_code():
    """The shop's own `ups` is neither checked nor guessed."""
    own = {"ups": "Uncle Pete"}

    named, _ = shipped(make.ship(carrier="ups", tracking_number=WRONG), carriers=own)
    unnamed, _ = shipped(make.ship(tracking_number=RIGHT), carriers=own)

    assert (named.carrier, named.carrier_name, named.warning) == ("ups", "Uncle Pete", None)
    assert (unnamed.carrier, unnamed.carrier_name) == (None, None)


def test_the_carrier_is_guessed():
    """A number that can be of one carrier only names it, and history says that it was a guess."""
    shipment, details = shipped(make.ship(tracking_number=RIGHT))

    assert (shipment.carrier, shipment.carrier_name, shipment.warning) == ("ups", "UPS", None)
    assert details == {"carrier": "ups", "carrier_guessed": True, "tracking_number": RIGHT}


def test_the_caller_is_never_overruled():
    """A carrier that is named stays, whatever the number says."""
    shipment, details = shipped(make.ship(carrier="dhl", tracking_number=RIGHT))

    assert (shipment.carrier, shipment.carrier_name) == ("dhl", "DHL")
    assert "carrier_guessed" not in details


@pytest.mark.parametrize("number", [WRONG, "218025809066", "T1", "RB123456785GB", None])
def test_no_guess(number):
    """Wrong, ambiguous, unknown, of a carrier that the shop does not have, and none at all."""
    shipment, details = shipped(make.ship(tracking_number=number))

    assert (shipment.carrier, shipment.carrier_name, shipment.warning) == (None, None, None)
    assert details == ({"tracking_number": number} if number else {})


def test_a_carrier_of_the_same_batch_is_guessed():
    """What one command adds, the next one's number may name."""
    brings = make.ship(items=make.items(A=1), new_carrier=NewCarrier(code="fedex", name="FedEx"))
    unnamed = make.ship(items=make.items(A=1), tracking_number="799531274483")

    decisions = decide_all({make.ORDER_ID: make.order()}, [unnamed, brings, unnamed], make.world())

    assert [one.shipments[0].carrier for one in decisions] == [None, "fedex", "fedex"]


def test_warning_and_guess_are_stored(engine):
    """The database has the warning on its parcel, and the guessed carrier as any other."""
    rig.placed(engine)
    wrong = make.ship(items=make.items(A=1), carrier="ups", tracking_number=WRONG)
    unnamed = make.ship(items=make.items(A=2), tracking_number=RIGHT)

    assert [*rig.decided(engine, wrong), *rig.decided(engine, unnamed)] == ["applied"] * 2

    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "select command_id, carrier, carrier_name, warning from shipments order by warning"
        ).all()
    assert found == [
        (wrong.command_id, "ups", "UPS", WARNING),
        (unnamed.command_id, "ups", "UPS", None),
    ]
    assert rig.line(engine).shipped == 3


def test_a_guess_needs_a_carrier_of_the_table(engine):
    """A carrier that the shop threw out is not guessed; the order ships."""
    rig.placed(engine)
    rig.run(engine, "delete from carriers where code = 'ups'")

    assert rig.decided(engine, make.ship(tracking_number=RIGHT)) == ["applied"]

    assert rig.one(engine, "select carrier, tracking_number from shipments") == (None, RIGHT)


def test_an_unknown_carrier_is_still_refused(engine):
    """A number that would name a carrier does not help a code that is not here."""
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    command = make.ship(carrier="pigeon", tracking_number=RIGHT)

    assert rig.decided(engine, command) == ["rejected"]

    assert rig.reason(engine, command) == "unknown_carrier"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_what_was_shipped_upstream_has_its_carriers_code(engine):
    """Upstream's name of a carrier that the shop knows is found by its code, and kept as it is."""
    shipments = tuple(
        DoneShipment(items=make.items(A=1), carrier=name)
        for name in ("FEDEX", "Postes Canada", "Bob's Van")
    )

    rig.placed(engine, shipments=shipments)

    with engine.connect() as connection:
        found = connection.exec_driver_sql("select carrier, carrier_name from shipments").all()
    assert set(found) == {
        ("fedex", "FEDEX"),
        ("canada-post", "Postes Canada"),
        (None, "Bob's Van"),
    }
