"""The checker itself: it is silent about books that are right, and names what is wrong."""

import re
import uuid
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import copytree

import psycopg
import pytest

from messages import Customer, DoneShipment, Fee, NewCarrier, Payment
from messages.order import DoneRefund, DoneRefundItem, DoneRefundPart
from tests import factories as make
from tests.fakes.carrier import FakeCarrier
from tests.fakes.server import Wrong
from tests.fakes.square import FakeSquare
from tests.faults.checker import LAWS, Doubled, Lost, check
from tests.labels import lab
from tests.work import rig
from worker.emails.route import emails_route
from worker.labels.making import labels_route
from worker.postage.adapters import carriers
from worker.refunds.providers import Providers
from worker.refunds.route import refunds_route
from worker.refunds.square import Square
from worker.settings import Settings
from worker.store.engine import make_engine

SHIP, CANCEL, REFUND, LOST, UPSTREAM = (uuid.UUID(int=n, version=4) for n in range(1, 6))


def order(**fields):
    """Seven physical units in two odd-priced lines, a digital one; two payments, shipping."""
    return make.placed_order(
        make.order_line("A", 3, net_minor=1000, tax_minor=200, discount_minor=1),
        make.order_line("B", 4, net_minor=401),
        make.order_line("D", 2, item_type="digital"),
        fees=(Fee(kind="shipping", net_minor=590),),
        payments=(
            Payment(payment_id="P1", captured_minor=500),
            Payment(payment_id="P2", captured_minor=1890),
        ),
        ship_to=lab.address(),
        ship_from=lab.SHOP,
        customer=Customer(name="Customer 1", email="customer1@shop.example"),
        **fields,
    )


def upstream():
    """An order of which a part was shipped and given back before it came here."""
    return order(
        shipments=(DoneShipment(items=make.items(A=1)),),
        refunds=(
            DoneRefund(
                parts=(DoneRefundPart(payment_id="P1", amount_minor=400),),
                items=(DoneRefundItem(line_id="A", quantity=1, gross_minor=400),),
            ),
        ),
    )


def commands():
    """Every kind of command, applied and rejected, on three orders."""
    nothing = make.items(A=0, B=0, D=0)
    local = NewCarrier(code="bikes", name="Bikes")
    return [
        make.place(order=order()),
        make.place(command_id=UPSTREAM, order_id="O-2", order=upstream()),
        make.place(order_id="O-3", order=order()),
        make.ship(command_id=SHIP, items=make.items(A=2), label="generate", new_carrier=local),
        make.ship(items=make.items(B=1), carrier="bikes", notify_customer=False),
        make.complete(),
        make.cancel(command_id=CANCEL, items=make.items(B=2), refund="full", include_shipping=True),
        make.refund(command_id=REFUND, amount=make.money(700)),
        make.refund(items=make.items(A=2)),
        make.refund(items=make.items(A=3, B=1), policy="clamp"),
        make.refund(amount=make.money(1)),  # nothing is left
        make.ship(items=make.items(A=9)),  # so many are not there
        make.ship(order_id="O-2", items=make.items(A=9), policy="clamp"),
        make.cancel(order_id="O-2", items=nothing, refund=make.money(5)),
        make.refund(order_id="O-2", items=make.items(A=1, B=3)),
        make.cancel(order_id="O-2", refund="full", notify_customer=False),
        make.ship(command_id=LOST, order_id="O-3", items=make.items(A=2), label="generate"),
        make.update_tracking(LOST, order_id="O-3", tracking_number="T", notify_customer=True),
        make.update_tracking(LOST, order_id="O-3", tracking_number="T", notify_customer=True),
        make.void(LOST, order_id="O-3"),
        make.void(LOST, order_id="O-3"),  # it was voided
        make.hold(order_id="O-3"),
        make.hold(order_id="O-3"),  # it says nothing new
        make.ship(order_id="O-3"),  # it is on hold
        make.release(order_id="O-3"),
        make.release(order_id="O-3"),  # it is not any more
        make.hold("recall", order_id="O-3"),
        make.void(LOST),  # it is another order's
        make.void(uuid.uuid5(UPSTREAM, "shipment 0"), order_id="O-2", notify_customer=False),
        make.cancel(order_id="O-3", refund="full"),
        make.refund(order_id="O-3", amount=make.money(10**6), policy="clamp"),
        make.cancel(order_id="O-3"),  # all is cancelled
    ]


@dataclass
class Outside:
    """What was sent, and what others have in their books."""

    published: dict
    ledger: list
    labels: list
    mail: list
    files: Path

    def check(self, database_url):
        return check(
            database_url,
            self.published,
            ledger=self.ledger,
            labels=self.labels,
            mail=self.mail,
            files=self.files,
        )


@pytest.fixture(scope="module")
def decided(lent, template):
    """The log of a small world in which everything was decided, and the name of its database."""
    with lent(template) as url:
        engine = make_engine(url, Settings())
        sent = commands()
        rig.decided(engine, *sent)
        engine.dispose()
        yield {str(one.command_id): one.body() for one in sent}, url.rpartition("/")[2]


@pytest.fixture(scope="module")
def asked_for(decided, lent, tmp_path_factory):
    """Refunds and labels of that world were asked for: one refund failed, the rest went well.
    Customers were told. What others have, and the name of the database.
    """
    published, world = decided
    folder = tmp_path_factory.mktemp("outside")
    with lent(world) as url, FakeSquare() as provider, FakeCarrier() as carrier:
        engine = make_engine(url, Settings(), look_ups_only=True)
        for payment_id in ("P1", "P2"):
            provider.ledger.capture(payment_id, 10_000)
        provider.refunds_go(Wrong.FAILED)
        config = Settings(
            label_store=str(folder / "labels"),
            email_folder=folder / "mail",
            carrier_adapters={
                "bikes": {"adapter": "tests.fakes.carrier:FakeAdapter", "url": carrier.url}
            },
            parcel_weight_g=500,
        )
        square = Square(provider.token, url=provider.url)
        rig.drain_of(refunds_route(engine, Providers({"*": "square"}, lambda _: square)), engine)()
        rig.drain_of(labels_route(engine, config, carriers(engine, config)), engine)()
        rig.drain_of(emails_route(engine, config), engine)()
        square.close()
        engine.dispose()
        ledger = [asdict(one) for one in provider.ledger.refunds.values()]
        bought = [dict(label) for label in carrier.labels.values()]
        mail = [f"<{path.stem}@shop.invalid>" for path in (folder / "mail").glob("*.eml")]
        found = Outside(published, ledger, bought, mail, folder / "labels")
        yield found, url.rpartition("/")[2]


@pytest.fixture
def books(decided, lent):
    """The log of that world, and the URL of a database of it for this test alone."""
    published, world = decided
    with lent(world) as url:
        yield published, url


@pytest.fixture
def both(asked_for, lent, tmp_path):
    """The same with what others have; all of it for this test alone."""
    found, world = asked_for
    files = copytree(found.files, tmp_path / "labels")
    with lent(world) as url:
        yield replace(deepcopy(found), files=files), url


def test_right_books_are_left_alone(books):
    """Nothing is found in a database that the worker alone has written."""
    published, database_url = books
    assert check(database_url, published) == []
    with psycopg.connect(database_url) as connection:
        states = connection.execute("select state, count(*) from commands group by 1").fetchall()
    assert dict(states) == {"applied": 25, "rejected": 7}


BREAKAGES = [
    pytest.param(
        f"delete from commands where id = '{REFUND}'",
        {"accepted", "effects", "versions", "followups", "replay"},
        id="a command was lost",
    ),
    pytest.param(
        "insert into commands (id, kind, order_id, body, fingerprint)"
        " select gen_random_uuid(), kind, order_id, body, fingerprint from commands limit 1",
        {"accepted", "ended"},
        id="a command came from nowhere",
    ),
    pytest.param(
        f"update commands set body = body || '{{\"reason\": \"x\"}}' where id = '{REFUND}'",
        {"accepted"},
        id="a command holds something else",
    ),
    pytest.param(
        f"update commands set outcome = null where id = '{SHIP}'",
        {"ended", "versions", "followups", "replay"},
        id="an outcome is gone",
    ),
    pytest.param(
        f"update commands set state = 'rejected' where id = '{SHIP}'",
        {"ended", "effects"},
        id="an applied command calls itself rejected",
    ),
    pytest.param(
        "update commands set state = 'pending', outcome = null where state = 'rejected'",
        {"ended"},
        id="a command is pending",
    ),
    pytest.param(
        "insert into shipments select gen_random_uuid(), order_id, command_id, carrier,"
        f" carrier_name, null, null, label, now() from shipments where command_id = '{SHIP}'",
        {"effects", "replay"},
        id="a shipment was made twice",
    ),
    pytest.param(
        f"update shipment_lines set quantity = quantity + 1 where shipment_id = '{SHIP}'",
        {"parcels"},
        id="a parcel holds one more",
    ),
    pytest.param(
        f"update shipments set voided_at = now() where shipment_id = '{SHIP}'",
        {"parcels"},
        id="a parcel was voided by nobody",
    ),
    pytest.param(
        f"update shipments set voided_at = null where shipment_id = '{LOST}'",
        {"parcels"},
        id="a parcel that was voided stands",
    ),
    pytest.param(
        "update orders set hold = null where order_id = 'O-3'",
        {"replay"},
        id="a hold came off",
    ),
    pytest.param(
        "update order_lines set voided = 0 where order_id = 'O-3' and line_id = 'A'",
        {"parcels"},
        id="voided units are forgotten",
    ),
    pytest.param(
        f"update shipments set tracking_number = 'U' where shipment_id = '{LOST}'",
        {"replay"},
        id="a parcel has another number",
    ),
    pytest.param(
        f"delete from followups where name = 'voided' and subject_id = '{LOST}'",
        {"followups"},
        id="nobody is told of a void",
    ),
    pytest.param(
        "update order_lines set shipped = shipped - 1 where order_id = 'O-1' and line_id = 'A'",
        {"parcels", "replay"},
        id="a line shipped one less",
    ),
    pytest.param(
        "update order_lines set cancelled = 9 where order_id = 'O-3' and line_id = 'A'",
        {"conservation", "statuses", "replay"},
        id="a line did more than it has",
    ),
    pytest.param(
        "update order_lines set refunded_units = 9 where order_id = 'O-2' and line_id = 'A'",
        {"conservation", "refunded", "replay"},
        id="a line gave back more units than it has",
    ),
    pytest.param(
        "update payments set refunded_minor = captured_minor + 1"
        " where order_id = 'O-2' and payment_id = 'P2'",
        {"conservation", "parts"},
        id="a payment gave back more than it took",
    ),
    pytest.param(
        f"delete from history where command_id = '{CANCEL}'", {"effects"}, id="history is gone"
    ),
    pytest.param(
        "insert into history (order_id, event, command_id, details)"
        f" select order_id, event, command_id, details from history where command_id = '{SHIP}'",
        {"effects"},
        id="history tells it twice",
    ),
    pytest.param(
        "update refund_parts set amount_minor = amount_minor - 1 where part_id ="
        f" (select part_id from refund_parts where refund_id = '{REFUND}' limit 1)",
        {"parts"},
        id="a part is smaller",
    ),
    pytest.param(
        f"update refund_parts set state = 'settled' where refund_id = '{REFUND}'",
        {"parts", "endings", "listed"},
        id="a part settled without its payment",
    ),
    pytest.param(
        "delete from refund_parts where refund_id in"
        f" (select refund_id from refunds where command_id = '{REFUND}');"
        f" delete from refunds where command_id = '{REFUND}'",
        {"parts", "effects", "followups", "replay"},
        id="a refund is gone",
    ),
    pytest.param(
        "update refund_lines set quantity = quantity + 1 where line_id = 'B' and refund_id ="
        f" '{CANCEL}'",
        {"refunded"},
        id="a refund names more units",
    ),
    pytest.param(
        "update orders set shipping_refunded_minor = 590 where order_id = 'O-3'",
        {"refunded"},
        id="the shipping fee was given back unsaid",
    ),
    pytest.param(
        "update orders set version = version + 1 where order_id = 'O-1'",
        {"versions"},
        id="a version was counted twice",
    ),
    pytest.param(
        "update commands set outcome = jsonb_set(outcome, '{order_version}', '3')"
        f" where id = '{SHIP}'",
        {"versions"},
        id="two commands made the same version",
    ),
    pytest.param(
        "update orders set fulfillment_status = 'unfulfilled' where order_id = 'O-1'",
        {"statuses"},
        id="a status is old",
    ),
    pytest.param(
        "update orders set payment_status = 'unpaid' where order_id = 'O-2'",
        {"statuses"},
        id="a payment status is old",
    ),
    pytest.param(
        "update orders set refund_pending = false where order_id = 'O-1'",
        {"statuses"},
        id="a refund is pending, and the order does not say so",
    ),
    pytest.param(
        f"delete from followups where route = 'emails' and command_id = '{CANCEL}'",
        {"followups"},
        id="an e-mail was forgotten",
    ),
    pytest.param(
        "insert into followups (id, route, name, order_id, command_id, subject_id)"
        " select gen_random_uuid(), route, name, order_id, command_id, subject_id"
        " from followups where route = 'labels'",
        {"followups"},
        id="a label was ordered twice",
    ),
    pytest.param(
        "update followups set state = 'pending' where state = 'skipped'",
        {"followups"},
        id="a customer is written to against their wish",
    ),
    pytest.param(
        "update commands set outcome = jsonb_set(outcome, '{items,0,quantity}', '1')"
        f" where id = '{SHIP}'",
        {"replay"},
        id="an outcome tells of other units",
    ),
    pytest.param(
        "update order_lines set cancelled = cancelled + 1, completed = completed - 1"
        " where order_id = 'O-1' and line_id = 'D'",
        {"replay"},
        id="a line was cancelled consistently, and by nobody",
    ),
]


@pytest.mark.parametrize(("statement", "laws"), BREAKAGES)
def test_broken_books_are_named(statement, laws, books):
    """Each law that is broken is named, and no other."""
    published, database_url = books
    with psycopg.connect(database_url, autocommit=True) as connection:
        drop_constraints(connection)
        for one in statement.split("; "):
            assert connection.execute(one).rowcount > 0

    found = check(database_url, published)

    assert {one.partition(":")[0] for one in found} == laws, found


def test_right_ledgers_are_left_alone(both):
    """Nothing is found where a provider and a carrier have done what they were asked for."""
    outside, database_url = both
    assert outside.check(database_url) == []
    assert {one["state"] for one in outside.ledger} == {"settled", "failed"}
    assert [one["alive"] for one in outside.labels] == [True]
    assert len(outside.mail) == 13
    assert len(list(outside.files.glob("*/*.pdf"))) == 4


def settled(outside):
    return next(one for one in outside.ledger if one["state"] == "settled")


def again(rows, row, **fields):
    rows.append(row | fields)


def a_file(outside):
    return next(outside.files.glob("*/*.pdf"))


SURPLUS = uuid.UUID(int=9)
OUTSIDE = [
    pytest.param(
        lambda there: again(there.ledger, settled(there)),
        None,
        {"paid_once", "money"},
        id="a part was paid twice",
    ),
    pytest.param(
        lambda there: again(there.ledger, settled(there), state="pending"),
        None,
        {"paid_once", "money"},
        id="a part may be paid once more",
    ),
    pytest.param(
        lambda there: settled(there).update(amount=1),
        None,
        {"paid_once", "money"},
        id="a part was paid in part",
    ),
    pytest.param(
        lambda there: settled(there).update(payment_id="P9"),
        None,
        {"paid_once", "money"},
        id="a part was paid on another payment",
    ),
    pytest.param(
        lambda there: again(there.ledger, settled(there), tag="refund by hand", amount=7),
        None,
        {"paid_once", "money"},
        id="a refund is nobody's",
    ),
    pytest.param(
        lambda there: settled(there).update(state="failed"),
        None,
        {"money"},
        id="a part is booked as settled and failed there",
    ),
    pytest.param(
        lambda there: there.ledger[0].update(state="settled"),
        None,
        {"money"},
        id="a part is booked as failed and settled there",
    ),
    pytest.param(
        lambda there: there.ledger.clear(), None, {"money"}, id="the provider has paid nothing"
    ),
    pytest.param(
        None,
        "update followups set state = 'pending' where route = 'refunds' and id ="
        " (select id from followups where route = 'refunds' order by seq limit 1)",
        {"listed"},
        id="a part that ended is asked for again",
    ),
    pytest.param(
        None,
        "update history set event = 'refund_settled' where event = 'refund_failed'",
        {"endings"},
        id="history tells of another end",
    ),
    pytest.param(
        None,
        "insert into history (order_id, event, command_id, details)"
        " select order_id, event, command_id, details from history where event = 'refund_failed'",
        {"endings"},
        id="history tells twice of one end",
    ),
    pytest.param(
        None,
        "delete from followups where route = 'emails' and name = 'refunded'",
        {"followups", "mailed"},
        id="nobody is told of money that went back",
    ),
    pytest.param(
        lambda there: again(there.labels, there.labels[0], alive=False),
        None,
        {"bought_once"},
        id="a label was bought twice under one reference",
    ),
    pytest.param(
        lambda there: again(there.labels, there.labels[0], reference=SURPLUS.hex),
        None,
        {"bought_once"},
        id="a label is nobody's",
    ),
    pytest.param(
        lambda there: there.labels[0].update(alive=False),
        None,
        {"bought_once"},
        id="the label of a parcel was given back",
    ),
    pytest.param(
        None,
        "update purchases set state = 'none'",
        {"bought_once", "labels"},
        id="a label is alive that we believe was never bought",
    ),
    pytest.param(
        None,
        "update purchases set state = 'unknown'",
        {"labels"},
        id="nobody will ever look what became of a purchase",
    ),
    pytest.param(
        lambda there: again(there.labels, there.labels[0], reference=SURPLUS.hex),
        "insert into purchases (purchase_id, shipment_id, order_id, carrier, state,"
        f" tracking_number) select '{SURPLUS}', shipment_id, order_id, carrier, state,"
        " tracking_number from purchases;"
        " insert into history (order_id, event, command_id, details)"
        " select order_id, event, command_id, details from history where event = 'label_bought'",
        {"labels"},
        id="a surplus label was never given back",
    ),
    pytest.param(
        None,
        f"update shipments set tracking_number = 'X' where shipment_id = '{SHIP}'",
        {"labels"},
        id="a parcel has not its label's number",
    ),
    pytest.param(
        None,
        "delete from history where event = 'label_bought'",
        {"labels"},
        id="history does not tell of a label",
    ),
    pytest.param(
        None,
        "update followups set name = 'void_surplus' where route = 'labels' and name = 'label'"
        f" and subject_id = '{SHIP}'",
        {"followups"},
        id="what is given back was never bought",
    ),
    pytest.param(
        lambda outside: outside.mail.pop(),
        None,
        {"mailed"},
        id="an e-mail never arrived",
    ),
    pytest.param(
        lambda outside: outside.mail.append(f"<{SURPLUS}@shop.invalid>"),
        None,
        {"mailed"},
        id="an e-mail came from nowhere",
    ),
    pytest.param(
        lambda outside: a_file(outside).unlink(),
        None,
        {"stored"},
        id="a label's file is gone",
    ),
    pytest.param(
        lambda outside: a_file(outside).write_bytes(b"%PDF-1.4 half"),
        None,
        {"stored"},
        id="a label's file is half of one",
    ),
    pytest.param(
        None,
        "delete from documents where kind = 'slip_pdf'",
        {"stored"},
        id="a slip is forgotten",
    ),
    pytest.param(
        None,
        "update followups set state = 'skipped' where route = 'emails' and state = 'done'",
        {"mailed"},
        id="e-mails arrived that were skipped",
    ),
]


@pytest.mark.parametrize(("there", "here", "laws"), OUTSIDE)
def test_ledgers_that_differ_are_named(there, here, laws, both):
    """What a provider or carrier has, and we have not, and the other way round."""
    outside, database_url = both
    if there:
        there(outside)
    with psycopg.connect(database_url, autocommit=True) as connection:
        drop_constraints(connection)
        for one in here.split("; ") if here else ():
            assert connection.execute(one).rowcount > 0

    found = outside.check(database_url)

    assert {one.partition(":")[0] for one in found} == laws, found


def test_every_law_is_broken_once():
    """No law is there that could be silent for ever."""
    assert set().union(*(one.values[-1] for one in BREAKAGES + OUTSIDE)) == LAWS.keys()


def test_what_is_lost_and_what_is_doubled(both):
    """Whoever counts can tell what is not there from what is there twice, and from other laws."""
    outside, database_url = both
    outside.mail.clear()
    again(outside.ledger, settled(outside))

    kinds = {one.partition(":")[0]: type(one) for one in outside.check(database_url)}

    assert kinds == {"mailed": Lost, "paid_once": Doubled, "money": str}


def test_the_checker_shares_no_code_with_the_worker():
    """A mistake in the worker's code cannot hide itself from the checker."""
    source = Path(check.__code__.co_filename).read_text()
    imports = re.findall(r"^\s*(?:from|import) (\w+)", source, re.MULTILINE)

    assert not {"messages", "worker", "actors", "tests"} & set(imports)


def drop_constraints(connection):
    """Let the database take what its constraints forbid."""
    rows = connection.execute(
        "select conrelid::regclass::text, conname from pg_constraint"
        " where connamespace = 'public'::regnamespace and contype in ('c', 'f')"
    )
    for table, name in rows.fetchall():
        connection.execute(f'alter table {table} drop constraint "{name}"')
