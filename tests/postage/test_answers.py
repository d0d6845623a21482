"""What a carrier answers that is no label: money is spent, and nothing of it gets any further."""

import base64

import pytest

from tests.fakes.server import Reply
from tests.hostile import corpus
from tests.postage import lab
from tests.work import rig
from worker.errors import Uncertain
from worker.postage.adapter import Bought
from worker.postage.answers import MAX_LABEL_BYTES, usable

PAGE = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
NO_LABELS = {
    "a page": PAGE,
    "nothing": b"",
    "zeros": b"\0" * 1_000,
    "half a PDF": b"F-1.4\n%%EOF",
    "50 MB of PDF": b"%PDF-1.4\n" + b"\0" * 50_000_000,
    "50 MB of ZPL": b"^XA" + b" " * 50_000_000,
}


def answer(**fields):
    return Bought(
        **{
            "carrier_id": "L1",
            "tracking_number": "FC000000001",
            "label": b"%PDF-1.4",
            "label_kind": "label_pdf",
        }
        | fields
    )


@pytest.mark.parametrize("name", NO_LABELS)
def test_what_is_no_label(name):
    """It is left out, and all else is kept: the label is bought."""
    assert usable(answer(label=NO_LABELS[name])) == answer(label=b"")


def test_labels():
    """A PDF and ZPL are what they are, whatever they are called; also of the greatest size."""
    longest = b"%PDF-" + b"\0" * (MAX_LABEL_BYTES - 5)

    assert usable(answer(label=longest)) == answer(label=longest)
    assert usable(answer(label=b"^XA^XZ")) == answer(label=b"^XA^XZ", label_kind="label_zpl")


BAD_NUMBERS = [one.text for one in (corpus.REFUSED | corpus.NO_TEXT).values()] + [
    corpus.STORED["right to left"].text,
    "x" * 10_000_000,
    "",
    None,
    7,
]


@pytest.mark.parametrize("field", ["tracking_number", "carrier_id"])
def test_numbers_that_make_no_sense(field):
    """What cannot be written down or printed is no number; nothing of it is repeated."""
    fits = {"x" * 501} if field == "carrier_id" else set()  # which nobody but the carrier reads
    for number in (one for one in BAD_NUMBERS if one not in fits):
        with pytest.raises(Uncertain) as refused:
            usable(answer(**{field: number}))
        assert (refused.value.reason, str(refused.value)) == (
            "carrier_nonsense",
            "the label's number makes no sense",
        )


def bought(carrier, **fields):
    """The carrier's answer to whoever asks, and the label in its books, with something else in."""

    def buy(reference):
        reply = type(carrier).buy(carrier, reference)
        reply.body.update(fields)
        return reply

    carrier.buy = buy


@pytest.mark.timeout(60)
def test_a_page_in_place_of_a_label(engine, shipped, drain, carrier, tmp_path):
    """The parcel has its number and its slip, no file holds the page, and nothing is bought again:
    the label is to be printed at the carrier.
    """
    bought(carrier, label=base64.b64encode(PAGE).decode())
    shipped()

    drain()

    assert lab.followup(engine).state == "done"
    assert set(lab.followup(engine).outcome["label_made"]) == {"slip_pdf"}
    (purchase,) = lab.purchases(engine)
    assert (purchase.state, purchase.label, purchase.label_kind) == ("bought", None, None)
    assert lab.shipment(engine).tracking_number == "FC000000001"
    stored = [path.read_bytes() for path in (tmp_path / "store").rglob("*.*")]
    assert len(stored) == 1
    assert stored[0].startswith(b"%PDF-")
    assert carrier.bought == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", ["a\0b", "a\r\nBcc: b@shop.invalid", "\x1b[31m", "x" * 5_000])
def test_a_hostile_number(engine, shipped, drain, carrier, number):
    """It is bought, as far as we know, and never again: unknown until somebody finds out, and the
    number stands nowhere.
    """
    bought(carrier, tracking_number=number)
    shipped()

    drain()
    lab.due_now(engine)
    drain()

    assert lab.states(engine) == ["unknown"]
    assert lab.last_error(engine) == ("carrier_nonsense", "the label's number makes no sense")
    assert lab.shipment(engine).tracking_number is None
    assert lab.history(engine, "label_bought") == []
    assert rig.count(engine, "documents") == 0
    assert (carrier.bought, carrier.calls["buy"], carrier.calls["find"]) == (1, 1, 1)


@pytest.mark.parametrize("page", [PAGE, b"[" * 100_000, b"", b"{}"])
def test_where_a_parcel_is(engine, shipped, drain, carrier, page):
    """A page in place of where the parcel is changes nothing."""
    shipped()
    drain()
    before = rig.dump(engine, ("shipments", "history", "purchases", "documents"))
    carrier.wrong_track = Reply(200, page)

    lab.due_now(engine, "tracking")
    drain("tracking")

    assert rig.dump(engine, ("shipments", "history", "purchases", "documents")) == before
    row = lab.followup(engine, "tracking", "track")
    assert (row.state, row.attempts) == ("pending", 1)
