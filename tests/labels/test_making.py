"""The follow-up: from a shipment with `label = generate` to files that rows point to."""

import hashlib
import threading

import pytest

from tests import factories as make
from tests.labels import lab
from tests.work import rig
from worker.labels.making import make as make_label
from worker.work.dead import Chosen, replay
from worker.work.followups import Ended, followups_route


def followup(engine):
    return rig.one(engine, "select * from followups where route = 'labels'")


def documents(engine):
    """Hash by kind."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("select kind, sha256 from documents").all()
    return {row.kind: bytes(row.sha256).hex() for row in rows}


def stored(tmp_path):
    """Content by file name."""
    return {path.name: path.read_bytes() for path in (tmp_path / "store").glob("*/*")}


def again(engine):
    """As if the commit of the label had been lost."""
    rig.run(
        engine,
        "update followups set state = 'pending', decided_at = null, next_at = now()"
        " where route = 'labels'",
    )


def test_a_label_is_made_stored_and_named(engine, shipped, drain, tmp_path):
    """`label = generate` gives a PDF, a ZPL and a slip, each under its SHA-256, and rows that name
    them; the follow-up's outcome says the same.
    """
    shipped(items=make.items(A=2))

    drain()

    made = followup(engine).outcome["label_made"]
    named = {kind: one["sha256"] for kind, one in made.items()}
    files = stored(tmp_path)
    assert followup(engine).state == "done"
    assert documents(engine) == named
    assert set(files) == {
        f"{named['label_pdf']}.pdf",
        f"{named['label_zpl']}.zpl",
        f"{named['slip_pdf']}.pdf",
    }
    for name, content in files.items():
        assert hashlib.sha256(content).hexdigest() == name[:64]
        assert len(content) in {one["size_bytes"] for one in made.values()}
    (picture,) = lab.pictures(files[f"{named['label_pdf']}.pdf"])
    assert lab.scanned(picture) == [("JD014600003SE", "Text")]


def test_no_label_asked_for(engine, shipped, drain, tmp_path):
    """`label = none` makes nothing."""
    shipped(label="none")

    drain()

    assert followup(engine) is None
    assert (documents(engine), stored(tmp_path)) == ({}, {})


def test_the_serial_number_is_drawn_once(engine, shipped, drain, tmp_path):
    """The SSCC is that of the number which the shipment got when it was written."""
    command = shipped(tracking_number=None)
    number = rig.one(
        engine, "select number from shipments where shipment_id = %(id)s", id=command.command_id
    ).number

    drain(gs1_company_prefix="0614141")

    content = stored(tmp_path)[f"{documents(engine)['label_zpl']}.zpl"]
    (picture,) = lab.rendered(content)
    ((text, _),) = lab.scanned(picture)
    assert text[:-1] == f"(00)00614141{number:09d}"


def test_made_again_it_is_the_same(engine, shipped, drain, tmp_path):
    """A run whose commit was lost, and what happened to the order since, change no byte."""
    shipped(items=make.items(A=2))
    drain()
    before, files = documents(engine), stored(tmp_path)
    shipped(items=make.items(A=1), label="none")
    rig.decided(engine, make.cancel())
    again(engine)

    drain()

    assert followup(engine).state == "done"
    assert (documents(engine), stored(tmp_path)) == (before, files)


def test_a_run_that_lost_its_lease_overwrites_nothing(engine, shipped, config, drain, tmp_path):
    """What the late run draws is put beside what the second drew and committed; the rows stay."""
    shipped()
    reached, go = threading.Event(), threading.Event()

    def slow(task):
        reached.set()
        assert go.wait(20)
        return make_label(engine, config.model_copy(update={"ship_from": None}), task)

    late = rig.drain_of(followups_route(engine, "labels", slow), engine)
    with rig.running(late):
        assert reached.wait(20)
        rig.lease_over(engine, table="followups")
        quick = rig.drain_of(
            followups_route(engine, "labels", lambda task: make_label(engine, config, task)), engine
        )
        quick.has_suspects.set()
        quick()
        first = documents(engine)
        go.set()

    assert followup(engine).state == "done"
    assert documents(engine) == first
    assert {name[:64] for name in stored(tmp_path)} > set(first.values())


@pytest.mark.parametrize(
    ("ship_to", "said"),
    [
        (None, "correct ship_to: the whole address"),
        (lab.address(city=None, district=None), "correct ship_to: city, district"),
    ],
)
def test_an_address_that_cannot_be_posted_to(engine, drain, tmp_path, ship_to, said):
    """The label is dead at once, the reason says what to correct, and nothing is stored."""
    lab.placed(engine, ship_to=ship_to)
    rig.decided(engine, lab.ship())

    drain()

    row = followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "bad_address")
    assert row.errors[-1]["message"] == said
    assert (documents(engine), stored(tmp_path)) == ({}, {})


def test_an_operators_address(engine, drain, tmp_path):
    """An address that an operator set goes before the order's, on the label and when it is drawn
    again; the order stays as it is.
    """
    lab.placed(engine, ship_to=lab.address(city=None))
    rig.decided(engine, lab.ship())
    drain()
    rig.run(
        engine,
        "update followups set edits = jsonb_build_object('ship_to', %(address)s::jsonb)"
        " where route = 'labels'",
        address=lab.address(city="Corrected").model_dump_json(),
    )
    with engine.begin() as connection:
        assert replay(connection, Chosen(route="labels"), actor="operator", limit=1)

    drain()

    assert followup(engine).state == "done"
    label = stored(tmp_path)[f"{documents(engine)['label_pdf']}.pdf"]
    assert "CORRECTED, IL 62701" in lab.words(label)
    assert "city" not in rig.one(engine, "select ship_to from orders").ship_to


def test_an_operators_address_that_is_none(engine, shipped, drain):
    """What is no address is dead with the names of its fields."""
    shipped()
    rig.run(engine, """update followups set edits = '{"ship_to": {"country": "France"}}'""")

    drain()

    row = followup(engine)
    assert (row.dead_reason, row.errors[-1]["message"]) == (
        "bad_address",
        "correct ship_to: country",
    )
    assert documents(engine) == {}


def test_no_numbers_left(engine, shipped, drain, tmp_path):
    """An SSCC that the prefix has no digits for is dead with the reason; nothing is stored."""
    rig.run(engine, "alter table shipments alter number restart with 100000")
    shipped(tracking_number=None)

    drain(gs1_company_prefix="061414112345")

    row = followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "sscc_exhausted")
    assert (documents(engine), stored(tmp_path)) == ({}, {})


def test_a_store_that_refuses(engine, shipped, drain, tmp_path):
    """A store that cannot be used heals: the label waits for its next try, and no row names it."""
    shipped()
    (tmp_path / "file").write_text("no folder")

    drain(label_store=str(tmp_path / "file"))

    row = followup(engine)
    assert (row.state, row.waits_for, row.attempts) == ("pending", "retry", 1)
    assert row.errors[-1]["reason"] == "label_store"
    assert documents(engine) == {}


def test_a_font_that_is_none(engine, shipped, drain, tmp_path):
    """A font that cannot be used heals by its setting: the label waits."""
    shipped()

    drain(label_font=tmp_path / "missing.ttf")

    row = followup(engine)
    assert (row.state, row.errors[-1]["reason"]) == ("pending", "label_font")
    assert documents(engine) == {}


def test_the_call_holds_no_transaction(engine, shipped, config):
    """While a label is drawn and stored, no transaction is open and nothing is locked."""
    shipped()
    observer = rig.other_engine(engine.url.render_as_string(hide_password=False))
    found = []

    def watched(task) -> Ended:
        made = make_label(engine, config, task)
        with observer.connect() as connection:
            found.append(
                connection.exec_driver_sql(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and xact_start is not null and pid <> pg_backend_pid()"
                ).scalar()
            )
        return made

    rig.drain_of(followups_route(engine, "labels", watched), engine)()
    observer.dispose()

    assert found == [0]


def test_a_new_tracking_number_gets_a_new_label(engine, shipped, drain, tmp_path):
    """What is printed follows the number; an address that was set right before stays so."""
    command = shipped(items=make.items(A=2))
    address = lab.address(name="Customer 2", lines=("2 Example Street",))
    edits = f'{{"ship_to": {address.model_dump_json(exclude_none=True)}}}'
    rig.run(engine, "update followups set edits = %(e)s where route = 'labels'", e=edits)
    drain()
    before = documents(engine)

    rig.decided(engine, make.update_tracking(command, tracking_number="JD014600003SF"))
    drain()

    after = documents(engine)
    assert after["slip_pdf"] == before["slip_pdf"]
    content = stored(tmp_path)[f"{after['label_pdf']}.pdf"]
    (picture,) = lab.pictures(content)
    assert lab.scanned(picture) == [("JD014600003SF", "Text")]
    assert "2 Example Street" in lab.words(content)
    names = "select name, state from followups where route = 'labels' order by seq"
    assert [tuple(row) for row in rig.rows(engine, names)] == [
        ("label", "done"),
        ("relabel", "done"),
    ]


def test_a_drawn_label_costs_nothing_to_void(engine, shipped, drain):
    """A parcel that was called back has its files, and nothing is drawn for it."""
    command = shipped()
    drain()
    before = documents(engine)
    rig.decided(engine, make.void(command))
    drain()

    found = rig.one(engine, "select state, outcome from followups where name = 'void'")
    assert found == ("skipped", {"skipped": "nothing_to_void"})
    assert documents(engine) == before
