"""From a decided command to an e-mail on a server: what is told, what is skipped, what fails."""

from datetime import UTC, datetime

import orjson
import pytest
import structlog

from messages import Customer, DoneShipment, NewCarrier, Payment
from tests import factories as make
from tests.emails import mail_rig
from tests.work import rig
from worker.emails.folder import Folder
from worker.emails.language import Languages
from worker.emails.message import Sender
from worker.emails.rendering import Rendering
from worker.emails.route import Emails, emails_route
from worker.settings import Settings
from worker.work.followups import followups_route

ZOE = Customer(name="Zoë", email="zoe@shop.example", locale="fr")
DHL = NewCarrier(code="dhl", name="DHL", tracking_url="https://track.example/{number}")


def drained(engine, delivery, *, templates=None):
    """Carry out every e-mail that is due."""
    emails = Emails(
        engine,
        Rendering(Languages(), folder=templates, shop_name="Shop"),
        Sender("orders@shop.example", "Shop"),
        delivery,
    )
    rig.drain_of(followups_route(engine, "emails", emails), engine)()


def ordered(engine, *lines, customer=ZOE, **fields):
    """An order of this customer that is there, paid by card."""
    lines = lines or (make.order_line("A", 3),)
    total = sum(one.net_minor for one in lines)
    payments = fields.pop("payments", (("P1", total, "card"),))
    rig.with_lines(
        engine,
        *lines,
        customer=customer,
        payments=tuple(
            Payment(payment_id=name, captured_minor=captured, method=method)
            for name, captured, method in payments
        ),
        **fields,
    )


def followup(engine):
    """The one e-mail's row."""
    return rig.one(engine, "select * from followups where route = 'emails'")


def told(server):
    """Text and HTML of the one e-mail that came."""
    (envelope,) = server.got
    return mail_rig.parts(envelope.content)


def edit(engine, **edits):
    rig.run(engine, "update followups set edits = %(edits)s", edits=orjson.dumps(edits).decode())


def test_shipped(engine, server, connect):
    """A parcel is told of: who carries it, where to follow it, what is in it, what is still to come
    of what can be shipped; the follow-up is done.
    """
    ordered(
        engine,
        make.order_line("A", 5, name="Mug"),
        make.order_line("B", 2, name="Plate"),
        make.order_line("C", 1, name="Course", item_type="digital"),
    )
    rig.decided(engine, make.cancel(items=make.items(A=1)))
    rig.run(engine, "delete from followups")
    rig.decided(
        engine,
        make.ship(items=make.items(A=2), new_carrier=DHL, tracking_number="1 Z/9"),
    )

    drained(engine, connect(server.url))

    row = followup(engine)
    (envelope,) = server.got
    message = mail_rig.read(envelope.content)
    assert (row.state, row.outcome) == ("done", {"message_id": f"<{row.id}@shop.example>"})
    assert (envelope.mail_from, envelope.rcpt_tos) == ("orders@shop.example", ["zoe@shop.example"])
    assert message["Message-ID"] == row.outcome["message_id"]
    assert message["Date"].datetime == row.staged_at.replace(microsecond=0)
    assert message["Subject"] == "Une partie de votre commande O-1 a été expédiée"
    day = rig.one(engine, "select staged_at::date from followups")[0]
    text, html = told(server)
    assert text.splitlines() == [
        "Bonjour Zoë,",
        "",
        "Votre colis est en route.",
        "Transporteur\N{NO-BREAK SPACE}: DHL",
        "Numéro de suivi\N{NO-BREAK SPACE}: 1 Z/9",
        "Suivre votre colis",
        "https://track.example/1%20Z%2F9",
        "",
        "2 articles dans ce colis",
        mail_rig.row(2, "Mug"),
        "",
        "4 articles restent à expédier",
        mail_rig.row(2, "Mug"),
        mail_rig.row(2, "Plate"),
        "",
        "-- ",
        f"Commande O-1 · {Languages().of('fr').date(day)}",
        "Shop",
    ]
    assert mail_rig.Page(html).links == ["https://track.example/1%20Z%2F9"]


def test_completed(engine, server, connect):
    """What was completed is told, by its own items."""
    ordered(
        engine,
        make.order_line("A", 3, name="Course", item_type="service"),
        make.order_line("B", 1, name="Mug"),
        customer=Customer(email="zoe@shop.example"),
    )
    rig.decided(engine, make.complete(items=make.items(A=2)))

    drained(engine, connect(server.url))

    text, _ = told(server)
    assert text.splitlines()[:4] == [
        "Hello,",
        "",
        "2 items of your order are completed",
        mail_rig.row(2, "Course"),
    ]


@pytest.mark.parametrize(("refund", "said"), [("none", False), ("full", True)])
def test_cancelled(engine, server, connect, refund, said):
    """What was cancelled is told, and that it will be refunded where it will be."""
    ordered(engine)
    rig.decided(engine, make.cancel(items=make.items(A=2), refund=refund))

    drained(engine, connect(server.url))

    text, html = told(server)
    assert f"2 articles ont été annulés\n{mail_rig.row(2, 'Product A')}\n" in text
    sentence = "Montant qui vous sera remboursé : 2,00 €."
    plain = " ".join(text.split())
    assert [sentence in plain, sentence in mail_rig.Page(html).text] == [said, said]


def test_whole_order_cancelled(engine, server, connect):
    """An order of which nothing is left is cancelled, not part of it."""
    ordered(engine)
    rig.decided(engine, make.cancel())

    drained(engine, connect(server.url))

    subject = mail_rig.read(server.got[0].content)["Subject"]
    assert subject == "Votre commande O-1 a été annulée"


def refunded(engine, *states):
    """A refund over two payments whose parts ended so, and its e-mail staged."""
    payments = (("P1", 100, "card"), ("P2", 200, "gift_card"))
    ordered(engine, payments=payments, customer=Customer(email="zoe@shop.example"))
    command = make.refund(amount=make.money(250))
    assert rig.decided(engine, command) == ["applied"]
    for payment, state in zip(("P1", "P2"), states, strict=True):
        rig.run(
            engine,
            "update refund_parts set state = %(state)s where payment_id = %(payment)s",
            state=state,
            payment=payment,
        )
    rig.run(
        engine,
        "insert into followups (id, route, name, order_id, command_id, subject_id)"
        " values (%(id)s, 'emails', 'refunded', 'O-1', %(id)s, %(id)s)",
        id=command.command_id,
    )


def test_refunded(engine, server, connect):
    """A refund is told with its amount and where each part of it went."""
    refunded(engine, "settled", "settled")

    drained(engine, connect(server.url))

    text, _ = told(server)
    assert text.splitlines()[2:5] == [
        "€2.50 has been refunded to:",
        "- €1.00 (Card)",
        "- €1.50 (Gift card)",
    ]


def test_only_what_settled_is_refunded(engine, server, connect):
    """A part that failed has gone nowhere: the amount is that of the others."""
    refunded(engine, "failed", "settled")

    drained(engine, connect(server.url))

    text, _ = told(server)
    assert text.splitlines()[2:4] == ["€1.50 has been refunded to:", "- €1.50 (Gift card)"]
    assert "Card)" not in text


def test_refund_that_failed(engine, server, connect):
    """A refund of which nothing settled is not told."""
    refunded(engine, "failed", "failed")

    drained(engine, connect(server.url))

    row = followup(engine)
    assert (row.state, row.outcome) == ("skipped", {"skipped": "nothing_refunded"})
    assert server.sessions == []


@pytest.mark.parametrize(
    ("customer", "reason"),
    [
        (Customer(), "no_address"),
        (Customer(email="zoe at shop.example"), "bad_address"),
        (Customer(email="zoe@shop.example", opted_out=True), "opted_out"),
    ],
)
def test_skipped(engine, server, connect, customer, reason):
    """Nobody is written to without a usable address, or who wants no e-mails; the reason is kept,
    the order is as before, and the server is not even asked.
    """
    ordered(engine, customer=customer)
    rig.decided(engine, make.ship())
    before = rig.dump(engine, ("orders", "history", "shipments"))

    drained(engine, connect(server.url))

    row = followup(engine)
    assert (row.state, row.outcome, row.errors) == ("skipped", {"skipped": reason}, [])
    assert server.sessions == []
    assert rig.dump(engine, ("orders", "history", "shipments")) == before


def test_switched_off(engine, server, connect):
    """With `notify_customer = false` nothing is sent, and the follow-up says so."""
    ordered(engine)
    rig.decided(engine, make.ship(notify_customer=False))

    drained(engine, connect(server.url))

    row = followup(engine)
    assert (row.state, row.outcome) == ("skipped", {"skipped": "switched_off"})
    assert server.sessions == []


def test_edits(engine, server, connect):
    """What an operator set right goes before the order's address and language; the order stays."""
    ordered(engine, customer=Customer(email="nobody", locale="fr"))
    rig.decided(engine, make.ship())
    edit(engine, to="zoe@bücher.example", locale="en")
    before = rig.dump(engine, ("orders",))

    drained(engine, connect(server.url))

    assert server.got[0].rcpt_tos == ["zoe@xn--bcher-kva.example"]
    assert told(server)[0].startswith("Hello,")
    assert followup(engine).state == "done"
    assert rig.dump(engine, ("orders",)) == before


@pytest.mark.parametrize("edits", [{"to": "nobody"}, {"locale": "français"}, {"subject": "Hi"}])
def test_bad_edits(engine, server, connect, edits):
    """An edit that cannot be used is dead at once, for whoever made it to see; nothing is sent."""
    ordered(engine)
    rig.decided(engine, make.ship())
    edit(engine, **edits)

    drained(engine, connect(server.url))

    row = followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "bad_edit")
    assert server.sessions == []


def test_edits_do_not_opt_in(engine, server, connect):
    """A customer who wants no e-mails gets none at an operator's address either."""
    ordered(engine, customer=Customer(email="zoe@shop.example", opted_out=True))
    rig.decided(engine, make.ship())
    edit(engine, to="other@shop.example")

    drained(engine, connect(server.url))

    assert followup(engine).outcome == {"skipped": "opted_out"}
    assert server.sessions == []


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("451 4.7.1 zoe@shop.example: later", ("pending", "smtp_deferred")),
        ("550 5.1.1 zoe@shop.example: no such user", ("dead", "smtp_rejected")),
    ],
)
def test_refused(engine, server, connect, answer, end):
    """4xx is tried again later, 5xx is dead at once; neither the row nor the log quotes an address,
    though the server's text does.
    """
    ordered(engine)
    rig.decided(engine, make.ship())
    server.answers["RCPT"] = [answer]

    with structlog.testing.capture_logs() as logs:
        drained(engine, connect(server.url))

    row = followup(engine)
    (error,) = row.errors
    assert (row.state, error["reason"]) == end
    assert error["message"] == f"the mail server refused RCPT TO: {answer[:9]}"
    assert "zoe" not in str(logs)
    assert server.got == []


def test_later(engine, server, connect):
    """What the server put off goes out at the next try, once, and is done."""
    ordered(engine)
    rig.decided(engine, make.ship())
    server.answers["DATA"] = ["451 4.3.0 busy"]
    smtp = connect(server.url)
    drained(engine, smtp)
    rig.run(engine, "update followups set next_at = now()")

    drained(engine, smtp)

    row = followup(engine)
    assert (row.state, row.attempts, len(server.got)) == ("done", 1, 1)


def test_copies_are_equal(engine, server, connect):
    """A copy, sent because the server's answer was lost, is the same to the byte."""
    ordered(engine)
    rig.decided(engine, make.ship())
    smtp = connect(server.url)
    drained(engine, smtp)
    rig.run(engine, "update followups set state = 'pending', decided_at = null, outcome = null")

    drained(engine, smtp)

    first, second = server.got
    assert first.content == second.content


def test_subject_that_is_not_here(engine, server, connect):
    """A follow-up whose parcel is not here is dead, not silent."""
    ordered(engine)
    rig.decided(engine, make.ship())
    rig.run(engine, "delete from shipments")

    drained(engine, connect(server.url))

    row = followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "nothing_to_tell")
    assert server.sessions == []


def test_kind_that_is_not_known(engine, server, connect):
    """A follow-up of a kind that this version does not know is dead, not silent."""
    ordered(engine)
    rig.decided(engine, make.ship())
    rig.run(engine, "update followups set name = 'placed'")

    drained(engine, connect(server.url))

    row = followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "unknown_email")
    assert server.sessions == []


def test_broken_template(engine, server, connect, tmp_path):
    """A template of the merchant's that cannot be filled is dead, with its name and no data."""
    (tmp_path / "shipped.txt").write_text("{{ custmer_name }}")
    ordered(engine)
    rig.decided(engine, make.ship())

    drained(engine, connect(server.url), templates=tmp_path)

    row = followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "broken_template")
    assert row.errors[0]["message"] == "template shipped.txt: UndefinedError"
    assert server.sessions == []


def test_files(engine, tmp_path):
    """Without a mail server each e-mail is a file named by its follow-up; the same one again leaves
    the same file, and nothing else lies about.
    """
    ordered(engine)
    rig.decided(engine, make.ship())
    route = emails_route(engine, Settings(state_dir=tmp_path))
    drain = rig.drain_of(route, engine)
    drain()
    row = followup(engine)
    first = (tmp_path / "mail" / f"{row.id}.eml").read_bytes()
    rig.run(engine, "update followups set state = 'pending', decided_at = null, outcome = null")

    drain()

    assert row.state == "done"
    assert [path.name for path in (tmp_path / "mail").iterdir()] == [f"{row.id}.eml"]
    assert (tmp_path / "mail" / f"{row.id}.eml").read_bytes() == first
    assert mail_rig.read(first)["To"] == "zoe@shop.example"
    assert mail_rig.read(first)["From"] == "orders@shop.invalid"


def test_folder_that_cannot_be_written(engine, tmp_path):
    """A folder that cannot be made is tried again later; nothing is lost."""
    (tmp_path / "mail").write_text("a file is in the way")
    ordered(engine)
    rig.decided(engine, make.ship())

    drained(engine, Folder(tmp_path / "mail"))

    row = followup(engine)
    assert (row.state, row.attempts) == ("pending", 1)
    assert row.errors[0]["reason"] == "mail_folder"
    assert (tmp_path / "mail").read_text() == "a file is in the way"


def test_facts_are_one_statement(engine, server, connect):
    """An order of many lines takes as many statements as one of few: one."""
    ordered(engine, *(make.order_line(f"L{n}", 2) for n in range(60)))
    rig.decided(engine, make.ship())

    with rig.statements(engine) as sent:
        drained(engine, connect(server.url))

    names = [rig.name(statement) for statement, _ in sent]
    assert names == [
        "claim", "lock_claimed", "number_to_come", "facts", "lock_claimed", "finish",
        "claim",  # of the bulk lane
    ]  # fmt: skip
    text, _ = told(server)
    assert text.count(mail_rig.row(2, "Product L")) == 60


def test_date_is_that_of_the_fact(engine, server, connect):
    """The date is when the follow-up was staged, however late it is sent."""
    ordered(engine)
    rig.decided(engine, make.ship())
    rig.run(engine, "update followups set staged_at = '2026-02-28 23:30:00+00'")

    drained(engine, connect(server.url))

    message = mail_rig.read(server.got[0].content)
    assert message["Date"].datetime == datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    assert "28 février 2026" in told(server)[0]


def due(engine):
    """Let time pass for what waits."""
    rig.run(engine, "update followups set next_at = now() where state = 'pending'")


def emails(engine):
    """Name, state, outcome and what is waited for, in the order of staging."""
    rows = rig.rows(
        engine,
        "select name, state, outcome, waits_for from followups where route = 'emails' order by seq",
    )
    return [tuple(row) for row in rows]


def test_voided(engine, server, connect):
    """Whoever was told of a parcel is told that it does not come, and what is sent again."""
    ordered(engine, make.order_line("A", 3, name="Mug"))
    parcel = make.ship(items=make.items(A=2), carrier=None, tracking_number="T 1")
    rig.decided(engine, parcel)
    delivery = connect(server.url)
    drained(engine, delivery)
    server.got.clear()
    rig.decided(engine, make.void(parcel))

    drained(engine, delivery)

    (envelope,) = server.got
    assert (
        mail_rig.read(envelope.content)["Subject"]
        == "Un colis de votre commande O-1 n\N{RIGHT SINGLE QUOTATION MARK}arrivera pas"
    )
    text, _ = told(server)
    assert text.splitlines()[:7] == [
        "Bonjour Zoë,",
        "",
        "Nous vous avions annoncé que ce colis était en route. Son envoi a été annulé.",
        "Numéro de suivi\N{NO-BREAK SPACE}: T 1",
        "",
        "2 articles qu\N{RIGHT SINGLE QUOTATION MARK}il contenait seront expédiés de nouveau",
        mail_rig.row(2, "Mug"),
    ]
    assert [row[:2] for row in emails(engine)] == [("shipped", "done"), ("voided", "done")]


def test_voided_before_anybody_was_told(engine, server, connect):
    """While it is open whether the customer was told of the parcel, the other e-mail waits, and
    nothing is counted; told of nothing, nobody is told that it does not come.
    """
    ordered(engine)
    parcel = make.ship()
    rig.decided(engine, parcel)
    rig.run(engine, "update followups set next_at = now() + interval '1 hour'")
    rig.decided(engine, make.void(parcel))

    drained(engine, connect(server.url))

    row = rig.one(
        engine,
        "select *, extract(epoch from next_at - now()) as in_s from followups"
        " where name = 'voided'",
    )
    assert (row.state, row.waits_for, row.attempts) == ("pending", "email", 0)
    assert 5 < row.in_s <= 10
    rig.run(engine, "update followups set state = 'discarded' where name = 'shipped'")
    due(engine)
    drained(engine, connect(server.url))
    assert emails(engine)[1] == ("voided", "skipped", {"skipped": "not_told"}, None)
    assert server.got == []


@pytest.mark.parametrize("shipped", [{"notify_customer": False}, None], ids=["off", "upstream's"])
def test_voided_of_what_we_did_not_tell(engine, server, connect, shipped):
    """A parcel that was sent without a word, or by upstream, is called back without one."""
    done = DoneShipment(items=make.items(A=1)) if shipped is None else None
    ordered(engine, shipments=(done,) if done else ())
    if shipped:
        rig.decided(engine, make.ship(**shipped))
    (shipment_id,) = rig.one(engine, "select shipment_id from shipments")
    rig.decided(engine, make.void(shipment_id))

    drained(engine, connect(server.url))

    assert emails(engine)[-1] == ("voided", "skipped", {"skipped": "not_told"}, None)
    assert server.got == []


def test_tracking_updated(engine, server, connect):
    """On request the customer gets the number and the page of now."""
    ordered(engine, make.order_line("A", 3, name="Mug"))
    parcel = make.ship(items=make.items(A=2), new_carrier=DHL, tracking_number="1")
    rig.decided(engine, parcel)
    rig.run(engine, "delete from followups")
    one = make.update_tracking(parcel, tracking_number="2")
    two = make.update_tracking(parcel, tracking_number="3", notify_customer=True)
    rig.decided(engine, one, two)

    drained(engine, connect(server.url))

    (envelope,) = server.got
    assert (
        mail_rig.read(envelope.content)["Subject"]
        == "Nouveau suivi pour un colis de votre commande O-1"
    )
    text, html = told(server)
    assert text.splitlines()[2:10] == [
        "Le suivi de votre colis a changé\N{NO-BREAK SPACE}:",
        "Transporteur\N{NO-BREAK SPACE}: DHL",
        "Numéro de suivi\N{NO-BREAK SPACE}: 3",
        "Suivre votre colis",
        "https://track.example/3",
        "",
        "2 articles dans ce colis",
        mail_rig.row(2, "Mug"),
    ]
    assert mail_rig.Page(html).links == ["https://track.example/3"]


def test_tracking_of_a_parcel_that_does_not_come(engine, server, connect):
    """Nobody follows it, so nobody is told how."""
    ordered(engine)
    parcel = make.ship()
    rig.decided(engine, parcel)
    rig.run(engine, "delete from followups")
    tracking = make.update_tracking(parcel, tracking_number="2", notify_customer=True)
    rig.decided(engine, tracking, make.void(parcel, notify_customer=False))

    drained(engine, connect(server.url))

    assert emails(engine)[0] == ("tracking_updated", "skipped", {"skipped": "voided"}, None)
    assert server.got == []


def test_what_is_still_to_come_after_a_void(engine, server, connect):
    """The next parcel's e-mail counts the units of the one that was called back."""
    ordered(engine, make.order_line("A", 5, name="Mug"))
    lost = make.ship(items=make.items(A=4), notify_customer=False)
    rig.decided(engine, lost, make.void(lost, notify_customer=False))
    rig.decided(engine, make.ship(items=make.items(A=2)))

    drained(engine, connect(server.url))

    text, _ = told(server)
    assert text.splitlines()[-6:-3] == [
        "3 articles restent à expédier",
        mail_rig.row(3, "Mug"),
        "",
    ]
