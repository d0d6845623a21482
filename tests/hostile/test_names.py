"""Hostile texts and ids where files are made: files keep to their folder, under names of ours."""

import json

import pytest

from tests.hostile import bodies, corpus
from tests.work import rig
from worker.emails.route import emails_route
from worker.labels.making import labels_route
from worker.settings import Settings

IDS = ["CON", "LPT1.pdf", "a..b", "C:x", "x.eml", "a-b", "0" * 64, "A:stream", "nul"]
"""Ids as the contract takes them, that a file should not have for its name."""
TEXTS = [
    corpus.STORED[name].text
    for name in (
        "relative path", "absolute path", "device", "backslashes", "scheme", "encoded break",
        "right to left", "shell", "format",
    )
]  # fmt: skip


@pytest.fixture
def shipped(engine, drain):
    """An order under each id, with a text in every field, a parcel, and more to ship."""
    sent = [body for one in zip(TEXTS, IDS, strict=True) for body in commands(*one)]
    with engine.begin() as connection:
        answers = connection.exec_driver_sql(
            "select answer from accept_commands(%(sent)s::jsonb)", {"sent": json.dumps(sent)}
        )
        assert set(answers.scalars()) == {"accepted"}
    drain()
    assert rig.count(engine, "shipments") == len(IDS)


def commands(text, order_id):
    return [
        bodies.placing(text, order_id),
        bodies.shipping(text, order_id, f"carrier-{IDS.index(order_id)}"),
        bodies.cancelling(text, order_id),
    ]


def files_in(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_what_is_stored(engine, shipped, tmp_path):
    """Labels and slips are under the hash of what they hold, e-mails under the follow-up's id, and
    there is no other file.
    """
    config = Settings(state_dir=tmp_path / "state")

    for route in (labels_route(engine, config), emails_route(engine, config)):
        rig.drain_of(route, engine)()

    assert rig.count(engine, "followups", "state <> 'done' and route <> 'refunds'") == 0
    hashes = rig.rows(engine, "select encode(sha256, 'hex'), right(kind, 3) from documents")
    mails = rig.rows(engine, "select id from followups where route = 'emails'")
    assert (len(hashes), len(mails)) == (3 * len(IDS), 2 * len(IDS))
    assert files_in(tmp_path) == sorted(
        [f"state/labels/{digest[:2]}/{digest}.{kind}" for digest, kind in hashes]
        + [f"state/mail/{mail_id}.eml" for (mail_id,) in mails]
    )


def test_what_is_printed(cli, engine, shipped, tmp_path):
    """Printed files have the shipment's number, or no name but their own."""
    ids = [str(one) for (one,) in rig.rows(engine, "select shipment_id from shipments")]
    numbers = [number for (number,) in rig.rows(engine, "select number from shipments")]

    cli("labels", "print", *ids, "--out", f"{tmp_path}/parcels/")
    for order_id in ("CON", "a..b"):
        cli("labels", "print", "--order", order_id, "--out", f"{tmp_path}/{len(order_id)}/")

    assert files_in(tmp_path) == sorted(
        [f"parcels/{kind}-{n}.pdf" for n in numbers for kind in ("label", "slip")]
        + [f"{folder}/{kind}.pdf" for folder in (3, 4) for kind in ("label", "slip")]
    )
