"""Labels and packing slips over HTTP."""

from uuid import uuid4

import pytest

from messages.order import Address
from tests import factories as make
from tests.work import rig
from worker.labels.files import digest_of, files, name_of
from worker.settings import Settings

ADDRESS = Address(
    name="Customer 1",
    lines=("1 Example Street",),
    city="Springfield",
    district="IL",
    postal_code="62701",
    country="US",
)


@pytest.fixture
def ship(engine):
    """A parcel that left."""
    rig.placed(engine, ship_to=ADDRESS, ship_from=ADDRESS)
    command = make.ship(label="generate")
    assert rig.decided(engine, command) == ["applied"]
    return command


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("label.pdf", ("application/pdf", b"%PDF-")),
        ("label.zpl", ("application/vnd.zebra-zpl", b"^XA")),
        ("slip.pdf", ("application/pdf", b"%PDF-")),
    ],
)
def test_a_file_that_was_not_made_is_drawn(client, ship, name, begins):
    """As `labels print` would; twice the same bytes."""
    answers = [client.get(f"/v1/shipments/{ship.command_id}/{name}") for _ in range(2)]

    assert [one.status_code for one in answers] == [200, 200]
    assert (answers[0].headers["content-type"], answers[0].content[: len(begins[1])]) == begins
    assert answers[0].content == answers[1].content


def test_a_file_that_was_made_comes_as_it_was(make_client, everything, engine, ship, tmp_path):
    """Byte for byte from the store; one that was pruned is not drawn anew."""
    content, store = b"%PDF-made", str(tmp_path)
    files(Settings(label_store=store)).put(name_of(digest_of(content), "label_pdf"), content)
    rig.run(
        engine,
        "insert into documents (shipment_id, kind, sha256, size_bytes)"
        " values (%(id)s, 'label_pdf', %(sha256)s, 9)",
        id=ship.command_id,
        sha256=digest_of(content),
    )
    client = make_client(everything, label_store=store)
    address = f"/v1/shipments/{ship.command_id}/label.pdf"

    made = client.get(address)
    rig.run(engine, "update documents set pruned_at = now()")
    pruned = client.get(address)

    assert made.content == content
    assert (pruned.status_code, pruned.json()["reason"]) == (409, "pruned")


def test_a_parcel_that_was_called_back_has_no_label(client, engine, ship):
    """409 with the reason: its items come with another. An unknown parcel is 404."""
    assert rig.decided(engine, make.void(ship)) == ["applied"]

    voided = client.get(f"/v1/shipments/{ship.command_id}/label.pdf")
    unknown = client.get(f"/v1/shipments/{uuid4()}/slip.pdf")

    assert (voided.status_code, voided.json()["type"], voided.json()["reason"]) == (
        409,
        "/problems/not-printable",
        "voided",
    )
    assert unknown.status_code == 404
