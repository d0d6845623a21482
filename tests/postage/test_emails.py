"""The e-mail of a parcel whose number comes with its label."""

from tests import factories as make
from tests.fakes.server import Wrong
from tests.postage import lab
from worker.work.dead import Chosen, discard


def email(engine):
    return lab.followup(engine, "emails", "shipped")


def test_it_waits_for_the_number(engine, shipped, drain, tmp_path):
    """It goes when the label is bought, at once, and names the number."""
    shipped()

    drain("emails")
    row = email(engine)
    assert (row.state, row.waits_for, row.attempts) == ("pending", "label", 0)
    assert 50 < row.due_in_s <= 60
    drain()
    assert email(engine).due_in_s <= 0
    drain("emails")

    assert email(engine).state == "done"
    (mail,) = (tmp_path / "mail").rglob("*.eml")
    assert "FC000000001" in mail.read_text()


def test_it_waits_while_the_label_is_dead(engine, shipped, drain, carrier):
    """A dead label has not ended: a person will see to it."""
    carrier.wrongs = [Wrong.DECLINED]
    shipped()
    drain()

    drain("emails")

    assert email(engine).waits_for == "label"


def test_a_label_that_was_given_up(engine, shipped, drain, carrier):
    """Once its label is discarded the e-mail goes without a number."""
    carrier.wrongs = [Wrong.DECLINED]
    shipped()
    drain()
    with engine.begin() as connection:
        discard(connection, Chosen(route="labels"), actor="operator", because="by hand", limit=1)

    drain("emails")

    assert email(engine).state == "done"


def test_a_number_of_its_own(engine, shipped, drain, carrier):
    """A parcel with a number is told of at once, and its label is drawn, not bought."""
    shipped(tracking_number="1Z999AA10123456784")

    drain("emails")
    drain()

    assert email(engine).state == "done"
    assert set(lab.followup(engine).outcome["label_made"]) == {"label_pdf", "label_zpl", "slip_pdf"}
    assert carrier.calls == {}


def test_another_carrier(engine, shipped, drain, carrier):
    """The label of a carrier without an adapter is drawn, and nothing waits."""
    shipped(carrier="dhl")

    drain("emails")
    drain()

    assert (email(engine).state, lab.followup(engine).state) == ("done", "done")
    assert carrier.calls == {}


def test_called_back(engine, shipped, drain, tmp_path):
    """Nobody is told of a parcel that was called back before the e-mail went."""
    shipped(items=make.items(A=1))
    lab.void(engine)

    drain("emails")

    row = email(engine)
    assert (row.state, row.outcome) == ("skipped", {"skipped": "voided"})
    assert not list((tmp_path / "mail").rglob("*.eml"))
