"""UPS through karrio: what each of its answers means, over HTTP."""

import ssl
import subprocess
import sys
from uuid import UUID

import pytest

from tests.fakes import ups
from tests.fakes.server import Reply, Wrong
from tests.fakes.ups import CREDENTIALS, FakeUps
from tests.labels import lab as labels
from worker.errors import Terminal, Transient, Uncertain
from worker.postage.adapter import Order, Transit
from worker.postage.karrio import Karrio

PURCHASE = UUID(int=7)


@pytest.fixture
def fake():
    with FakeUps() as fake:
        yield fake


@pytest.fixture
def adapter(fake):
    """An adapter with settings of its own, which go before the usual ones."""

    def make(**settings):
        usual = CREDENTIALS | {"server_url": fake.url, "service": "ups_ground", "timeout_s": "20"}
        return Karrio("ups", usual | settings)

    return make


def order(**fields):
    return Order(
        **{
            "purchase_id": PURCHASE,
            "reference": "1001",
            "ship_from": labels.SHOP,
            "ship_to": labels.address(),
            "service": None,
            "weight_g": 500,
        }
        | fields
    )


def refused(adapter, error, **fields):
    """Kind of the error exactly, its reason and text."""
    with pytest.raises(error) as raised:
        adapter.buy(order(**fields))
    assert type(raised.value) is error
    return raised.value.reason, str(raised.value)


def test_bought(adapter, fake):
    """A label is bought with one call: number and PDF come back; weight, service and our reference
    went out.
    """
    found = adapter().buy(order())

    assert found.carrier_id == found.tracking_number == "1Z999AA10000000001"
    assert found.label_kind == "label_pdf"
    assert len(labels.pictures(found.label)) == 1
    assert fake.calls == {"token": 1, "ship": 1}
    shipment = fake.asked[0]["ShipmentRequest"]["Shipment"]
    assert shipment["Service"]["Code"] == "03"
    assert shipment["Package"][0]["PackageWeight"]["Weight"] == "1.1"
    assert shipment["Package"][0]["ReferenceNumber"] == {"Value": PURCHASE.hex}
    assert shipment["ShipTo"]["Address"]["City"] == "Springfield"


def test_zpl(adapter):
    """The printer's own language, where the settings ask for it."""
    found = adapter(**{"config.label_type": "ZPL"}).buy(order())

    assert (found.label_kind, found.label) == ("label_zpl", b"^XA^FDlabel^FS^XZ")


def test_the_token_is_kept(adapter, fake):
    """A second label does not log in again."""
    one = adapter()

    one.buy(order())
    one.buy(order())

    assert fake.calls == {"token": 1, "ship": 2}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Wrong.SILENT_BEFORE, "carrier_silent"),
        (Wrong.SILENT_AFTER, "carrier_silent"),
        (Wrong.CUT_AFTER, "carrier_silent"),
        (Wrong.ERROR_AFTER, "carrier_error"),
        (Wrong.GARBAGE_AFTER, "carrier_nonsense"),
        (Reply(200, {"hello": 1}), "carrier_nonsense"),
    ],
)
def test_uncertain(adapter, fake, wrong, reason):
    """It may have been bought; it was asked once."""
    fake.wrongs = [wrong]

    timeout_s = "0.3" if str(wrong).startswith("silent") else "20"
    assert refused(adapter(timeout_s=timeout_s), Uncertain)[0] == reason
    assert fake.calls["ship"] == 1


@pytest.mark.parametrize("status", [408, 409, 425, 429])
def test_busy(adapter, fake, status):
    """What heals by waiting, for as long as the carrier asks."""
    fake.wrongs = [Reply(status, {}, {"Retry-After": "17"})]

    with pytest.raises(Transient) as raised:
        adapter().buy(order())

    assert type(raised.value) is Transient
    assert (raised.value.reason, raised.value.retry_after_s) == ("carrier_busy", 17)


@pytest.mark.parametrize(
    ("said", "wait_s"), [("inf", None), ("nan", None), ("86400", 3600), ("soon", None)]
)
def test_busy_for_no_sensible_time(adapter, fake, said, wait_s):
    """No answer keeps the whole cluster from a carrier for more than an hour."""
    fake.wrongs = [Reply(429, {}, {"Retry-After": said})]

    with pytest.raises(Transient) as raised:
        adapter().buy(order())

    assert raised.value.retry_after_s == wait_s


def test_not_reached():
    """A refused connection has bought nothing."""
    away = Karrio("ups", CREDENTIALS | {"server_url": "http://127.0.0.1:9", "service": "x"})

    assert refused(away, Transient)[0] == "carrier_away"


def test_a_login_that_gets_no_answer(adapter, fake):
    """Before the login nothing can have been bought."""
    fake.login = Reply(503, b"down")

    assert refused(adapter(), Transient)[0] == "carrier_error"
    assert fake.calls == {"token": 1}


def test_bad_credentials(adapter, fake):
    """A person must look."""
    reason, message = refused(adapter(client_secret="other"), Terminal)

    assert reason == "bad_credentials"
    assert message.startswith("ups refuses the credentials (10401): correct")
    assert fake.calls == {"token": 1}


def test_a_token_that_is_refused(adapter, fake):
    """It is asked for anew."""
    fake.wrongs = [ups.refusal(401, "250002", "Invalid Authentication Information.")]
    one = adapter()

    assert refused(one, Transient)[0] == "carrier_login"
    one.buy(order())

    assert fake.calls == {"token": 2, "ship": 2}


def test_a_bad_address(adapter, fake):
    """The fields to correct are named; what they hold is not quoted."""
    fake.wrongs = [ups.BAD_POSTAL_CODE]

    assert refused(adapter(), Terminal) == (
        "bad_address",
        "correct ship_to: postal_code; code 120206 (ups)",
    )


def test_another_refusal(adapter, fake):
    """The carrier's words are kept without what they quote of people."""
    fake.wrongs = [ups.refusal(400, "121210", "No service today for Customer 1")]

    assert refused(adapter(), Terminal) == (
        "carrier_refused",
        "ups: 121210 No service today for ...",
    )


def test_another_refusal_in_capitals(adapter, fake):
    """Carriers write names as they like."""
    fake.wrongs = [ups.refusal(400, "121210", "NO SERVICE TODAY FOR CUSTOMER 1")]

    assert refused(adapter(), Terminal) == (
        "carrier_refused",
        "ups: 121210 NO SERVICE TODAY FOR ...",
    )


def test_a_refusal_in_no_words(adapter, fake):
    """A refusal that is no JSON is one still."""
    fake.wrongs = [Reply(413, b"too large")]

    assert refused(adapter(), Terminal) == ("carrier_refused", "ups: HTTP 413")


def test_a_line_that_would_be_cut(adapter, fake):
    """Nothing is bought for an address of which karrio would leave something out."""
    reason, message = refused(
        adapter(), Terminal, ship_to=labels.address(lines=("1 Example Street " + "x" * 30,))
    )

    assert (reason, message) == ("bad_address", "correct ship_to: lines: too long")
    assert fake.calls == {}


def test_a_service_of_another_name(adapter, fake):
    """What a service is called in commands can be something else to the carrier."""
    adapter(**{"service.Express": "ups_next_day_air"}).buy(order(service="Express"))

    assert fake.asked[0]["ShipmentRequest"]["Shipment"]["Service"]["Code"] == "01"


def test_no_service(fake):
    """Without a service nothing is asked."""
    one = Karrio("ups", CREDENTIALS | {"server_url": fake.url})

    assert refused(one, Terminal)[0] == "service_missing"


def test_voided(adapter, fake):
    """A label is given back, also when it was before."""
    one = adapter()
    found = one.buy(order())

    one.void(found.carrier_id, found.tracking_number)
    one.void(found.carrier_id, found.tracking_number)

    assert (fake.alive, fake.calls["void"]) == ([], 2)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Time for voiding has expired.", "in_transit"),
        ("No shipment found within the allowed void period", "void_refused"),
    ],
)
def test_not_voided(adapter, fake, message, reason):
    """Why a label cannot be given back."""
    fake.void_answer = ups.refusal(400, "190101", message)

    with pytest.raises(Terminal) as raised:
        adapter().void("1Z1", "1Z1")

    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("status", "state"),
    [("M", "announced"), ("I", "in_transit"), ("X", "exception"), ("D", "delivered")],
)
def test_tracked(adapter, fake, status, state):
    """Where a parcel is, and since when."""
    fake.track_answer = ups.tracked("1Z1", status, "scan")

    found = adapter().track("1Z1")

    assert found.state == state
    assert found.at
    assert found.at.isoformat() == "2026-03-03T10:15:00+00:00"


def test_not_tracked_yet(adapter):
    """A label that was not scanned yet is not known."""
    assert adapter().track("1Z1") == Transit("announced")


def test_busy_with_tracking(adapter, fake):
    """What karrio's threads raised arrives."""
    fake.track_answer = Reply(429, {}, {"Retry-After": "17"})

    with pytest.raises(Transient) as raised:
        adapter().track("1Z1")

    assert (raised.value.reason, raised.value.retry_after_s) == ("carrier_busy", 17)


def test_settings_that_cannot_be():
    """Each is named."""
    for settings, said in [
        ({}, "client_id, client_secret missing"),
        (CREDENTIALS | {"acount_number": "1"}, "acount_number is no setting of ups: client_id"),
        (CREDENTIALS | {"carrier": "pigeon"}, "karrio has no carrier 'pigeon' here; it has ups"),
        (CREDENTIALS | {"timeout_s": "soon"}, "timeout_s must be a number of seconds"),
    ]:
        with pytest.raises(ValueError, match=r".*") as raised:
            Karrio("ups", settings)
        assert str(raised.value).startswith(said)


def test_certificates_are_checked(adapter):
    """Importing karrio turns that off for the whole process."""
    adapter()

    assert ssl._create_default_https_context().verify_mode is ssl.CERT_REQUIRED


def test_the_terminal_is_ours():
    """Karrio writes its log there; nothing of it is seen."""
    program = (
        "from worker.postage.karrio import Karrio\n"
        "from worker.errors import Transient\n"
        f"one = Karrio('ups', {CREDENTIALS | {'server_url': 'http://127.0.0.1:9'}})\n"
        "try: one.track('1Z1')\n"
        "except Transient as error: print(error.reason)\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("carrier_away\n", "")
