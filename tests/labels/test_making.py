"""The follow-up: from a shipment with `label = generate` to files that rows point to."""

import hashlib

from tests import factories as make
from tests.labels import lab
from tests.work import rig


def test_a_label_is_made_stored_and_named(engine, shipped, drain, tmp_path):
    """`label = generate` gives a PDF, a ZPL and a slip, each under its SHA-256, and rows that name
    them; the follow-up's outcome says the same.
    """
    command = shipped(items=make.items(A=2))

    drain()

    followup = rig.one(engine, "select state, outcome from followups where route = 'labels'")
    made = followup.outcome["label_made"]
    files = {
        "label_pdf": f"{made['label_pdf']['sha256']}.pdf",
        "label_zpl": f"{made['label_zpl']['sha256']}.zpl",
        "slip_pdf": f"{made['slip_pdf']['sha256']}.pdf",
    }
    assert followup.state == "done"
    stored = {path.name: path.read_bytes() for path in (tmp_path / "store").glob("*/*")}
    assert set(stored) == set(files.values())
    for kind, name in files.items():
        row = rig.one(
            engine,
            "select * from documents where shipment_id = %(id)s and kind = %(kind)s",
            id=command.command_id,
            kind=kind,
        )
        assert hashlib.sha256(stored[name]).digest() == bytes(row.sha256)
        assert (row.sha256.hex(), row.size_bytes) == tuple(made[kind].values())
    (picture,) = lab.pictures(stored[files["label_pdf"]])
    assert lab.scanned(picture) == [("JD014600003SE", "Text")]
