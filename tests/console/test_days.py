"""A merchant's day and an operator's, by mouse and keys, in a real browser, with a real worker."""

# ruff: noqa: RUF001  # pages write quantities with a multiplication sign

from hashlib import sha256
from uuid import uuid4

import pytest

from messages import Address, Customer, Fee, Payment
from tests import factories as make
from tests.console.browser import look
from tests.console.shop import WITHIN_S, at_work
from tests.fakes.square import BAD_REQUEST, refusal
from tests.work import rig
from tests.work.test_strays import stray
from worker.work.accept import accept_bodies

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

ADDRESS = Address(
    name="Ada Example", lines=("1 Example Street",), city="Springfield", postal_code="62701",
    country="US",
)  # fmt: skip
LETTERS = 12
REFUSAL = "554 5.7.1 you are not welcome"
CSV = b"order,line,quantity,carrier,tracking\nF-0,A,1,dhl,7\nF-1,A,99,dhl,8\nF-2,A,x,dhl,9\n"


@pytest.fixture(scope="module")
def shop(_chromium, lent, template, file_redis_url, tmp_path_factory):
    """Open for the whole module: each test has orders and users of its own in it."""
    folder = tmp_path_factory.mktemp("shop")
    with lent(template) as url, at_work(_chromium, folder, url, file_redis_url) as opened:
        yield opened


def order(order_id, number, **fields):
    """Three mugs, a bag and a download, paid, with a shipping fee."""
    placed = make.placed_order(
        make.order_line("A", 3, name="Stoneware mug", sku="MUG-1", net_minor=2997),
        make.order_line("B", 1, name="Canvas bag", sku="BAG-7", net_minor=3000),
        make.order_line("D", 1, name="Pattern book", item_type="digital", net_minor=900),
        number=number,
        customer=Customer(name="Ada Example", email=f"{order_id}@shop.example"),
        ship_to=ADDRESS,
        ship_from=ADDRESS,
        billing_address=ADDRESS,
        fees=(Fee(kind="shipping", net_minor=500),),
        payments=(Payment(payment_id=f"P-{order_id}", captured_minor=7397),),
        **fields,
    )
    return make.place(order_id=order_id, order=placed)


def test_a_merchants_day(shop):  # noqa: PLR0915  # a day has many steps
    """An order is found; two of three mugs leave with a new carrier and no e-mail, later the rest,
    whose label arrives as it was made; the download is completed; a bag is cancelled with half its
    price back, by an amount that the total follows; the shipping fee goes back alone; a parcel is
    tracked otherwise and called back, the order held and released. What follows is done and told
    without a touch: labels, money, e-mails where they were wanted. axe finds nothing on the way.
    """
    shop.square.ledger.capture("P-O-2", 7397)
    shop.done(*(order(f"O-{n}", f"#100{n}") for n in (1, 2, 3)))

    with shop.person("kim", "agent") as kim:
        page = kim.goto("/orders")

        def confirm(name, said):
            """Go on, confirm, and read what became of it."""
            kim.click("Go on")
            page.get_by_role("heading", name="This will happen").wait_for()
            kim.click(name)
            kim.reads(said)

        def settle():
            """The page tells by itself that all that follows is done."""
            page.locator(".history .badge.wait").first.wait_for(state="detached")

        page.keyboard.press("/")
        page.keyboard.type("1002")
        page.wait_for_url("**/orders?search=1002")
        kim.click("#1002", "link")

        kim.click("Mark as shipped", "link")
        kim.reads("Mark as shipped: 3 × Stoneware mug, 1 × Canvas bag")
        kim.type("Quantity of Stoneware mug", "2")
        kim.type("Quantity of Canvas bag", "0")
        assert not page.locator("[value=B]").is_checked()
        kim.choose("Carrier", "Add")
        kim.type("Name of the new carrier", "City Bikes")
        page.get_by_label("Tell the customer by e-mail").uncheck()
        kim.reads("Carrier: City Bikes (new)")
        kim.reads("No e-mail to the customer.")
        look(kim, "order-ship")
        kim.click("Go on")
        page.get_by_role("heading", name="This will happen").wait_for()
        look(kim, "order-confirm")
        kim.click("Change")
        assert page.input_value("[name='quantity.A']") == "2"
        assert page.input_value("#new_carrier") == "City Bikes"
        confirm("Mark as shipped", "done. 2 × Stoneware mug.")

        kim.click("Cancel items", "link")
        page.locator("[value=A]").uncheck()
        page.locator("[value=D]").uncheck()
        page.locator(".total b").get_by_text("€30.00").wait_for()
        kim.type("Amount in EUR", "15")
        assert page.locator("#refund-amount").is_checked()
        page.locator(".total b").get_by_text("€15.00").wait_for()
        look(kim, "order-cancel")
        confirm("Cancel items", "done. 1 × Canvas bag. €15.00 are paid back.")

        kim.click("Mark as shipped", "link")
        kim.choose("Carrier", "City")
        kim.type("Tracking number (optional)", "CB-7")
        page.get_by_label("Make a label and a packing slip").check()
        confirm("Mark as shipped", "done. 1 × Stoneware mug.")
        settle()
        assert kim.save(page, "Print label").startswith(b"%PDF")
        parcel = page.locator(".parcels li").nth(1)
        label = kim.save(parcel, "Label")
        made = rig.one(shop.engine, "select sha256, size_bytes from documents"
                       " join shipments using (shipment_id)"
                       " where order_id = 'O-2' and kind = 'label_pdf'")  # fmt: skip
        assert tuple(made) == (sha256(label).digest(), len(label))

        kim.click("Mark as completed", "link")
        confirm("Mark as completed", "done. 1 × Pattern book.")
        assert page.get_by_role("button", name="Mark as completed").is_disabled()
        assert page.get_by_text("Nothing is left to complete.").is_visible()

        kim.click("Refund", "link")
        kim.type("Amount in EUR", "99")
        kim.reads("That is more than what can be paid back.")
        kim.type("Amount in EUR", " ")
        page.get_by_label("The shipping fee, €5.00").check()
        page.locator(".total b").get_by_text("€5.00").wait_for()
        confirm("Refund", "€5.00 are paid back.")

        parcel.get_by_role("link", name="Correct tracking").click()
        kim.type("Tracking number", "CB-8")
        page.get_by_label("Tell the customer by e-mail").check()
        confirm("Correct tracking", "done.")
        settle()
        parcel.get_by_role("link", name="Call the parcel back").click()
        kim.type("Why (not told to the customer)", "wrong parcel")
        confirm("Call the parcel back", "done. 1 × Stoneware mug.")

        kim.click("Put on hold", "link")
        kim.type("Why", "address unclear")
        confirm("Put on hold", "done.")
        look(kim, "order-held")
        kim.click("Release", "link")
        kim.click("Release")
        kim.reads("Release: done.")

        settle()
        told = [one.replace("\n", " ") for one in page.locator(".history .what").all_inner_texts()]
        assert page.locator(".refunds .badge").all_inner_texts() == ["paid", "paid"]

    ends = [one for one in told if one.endswith((" done", " not needed")) or " paid " in one]
    assert [one for one in told if one not in ends] == [
        "Released",
        "Put on hold",
        "Parcel called back",
        "Tracking corrected",
        "Refund requested €5.00",
        "Completed",
        "Shipped",
        "Refund requested €15.00",
        "Cancelled",
        "Shipped",
        "Order taken in €73.97",
    ]
    assert sorted(ends) == [
        "E-mail: cancelled done",
        "E-mail: completed done",
        "E-mail: new tracking done",
        "E-mail: parcel called back done",
        "E-mail: refunded done",
        "E-mail: refunded done",
        "E-mail: shipped done",
        "E-mail: shipped not needed",
        "Label and packing slip done",
        "Label called back not needed",
        "Label made anew done",
        "Refund paid €15.00",
        "Refund paid €5.00",
    ]
    assert shop.mailbox("O-2@shop.example") == [
        "A parcel of your order #1002 will not arrive",
        "New tracking for a parcel of your order #1002",
        "Part of your order #1002 has been cancelled",
        "Refund for your order #1002: €15.00",
        "Refund for your order #1002: €5.00",
        "Your order #1002 has been shipped",
        "Your order #1002: items completed",
    ]
    assert [(one.payment_id, one.amount, one.state) for one in shop.square.ledger.of("P-O-2")] == [
        ("P-O-2", 1500, "settled"),
        ("P-O-2", 500, "settled"),
    ]
    found = rig.rows(
        shop.engine,
        "select kind, body ->> 'notify_customer' from commands"
        " where body ->> 'issued_by' = 'kim' and state = 'applied' order by seq",
    )
    assert [tuple(one) for one in found] == [
        ("ship", "false"),
        ("cancel", None),
        ("ship", None),
        ("complete", None),
        ("refund", None),
        ("update_tracking", "true"),
        ("void", None),
        ("hold", None),
        ("release", None),
    ]
    assert rig.rows(shop.engine, "select line_id, shipped, completed, cancelled, refunded_minor"
                    " from order_lines where order_id = 'O-2' order by line_id") == [
        ("A", 2, 0, 0, 0), ("B", 0, 0, 1, 0), ("D", 0, 1, 0, 0),
    ]  # fmt: skip


def test_what_is_refused_is_told(shop):
    """What cannot be asked for, what the rules refuse, what somebody was quicker with, what is not
    there: each page says so in plain words, and nothing is done. axe finds nothing on any of them.
    """
    shop.done(order("R-1", "#2001"), order("R-2", "#2002"), make.cancel(order_id="R-2"))

    with shop.person("lou", "agent") as lou:
        page = lou.goto("/orders/R-1/refund")
        lou.type("Amount in EUR", "99")
        lou.click("Go on")
        page.get_by_role("alert").get_by_text("That is more than what can be paid back.").wait_for()
        look(lou, "order-refund-refused")
        lou.type("Amount in EUR", "x")
        lou.click("Go on")
        page.get_by_role("alert").get_by_text("must be an amount such as").wait_for()
        look(lou, "order-refund-wrong")

        lou.goto("/orders/R-1/cancel")
        lou.click("Go on")
        page.get_by_role("heading", name="This will happen").wait_for()
        shop.done(make.ship(order_id="R-1", items=make.items(A=1)))
        lou.click("Cancel items")
        lou.reads("refused, nothing was changed. Somebody changed the order meanwhile.")
        look(lou, "order-refused")

        lou.goto("/orders/R-2/ship")
        lou.reads("Nothing is left to ship.")
        look(lou, "order-nothing-left")
        lou.goto("/labels.pdf?order=R-1&order=R-2")
        lou.reads("1 order cannot be printed")
        look(lou, "labels-refused")
        lou.goto("/orders/R-9")
        lou.reads("This is not here.")
        look(lou, "not-here")
        assert all("the server responded with a status of 4" in one for one in lou.complaints)
        lou.complaints.clear()

    assert rig.rows(shop.engine, "select kind, state from commands where order_id = 'R-1'"
                    " order by seq") == [
        ("place", "applied"), ("ship", "applied"), ("cancel", "rejected"),
    ]  # fmt: skip


def test_the_page_follows_without_being_touched(shop):
    """While an operator holds the commands up the page says that it waits; as soon as they go on it
    tells the outcome, and goes on following what comes of it.
    """
    shop.done(order("W-1", "#3001"))

    with shop.person("ann", "agent") as ann, shop.person("bob", "operator") as bob:
        bob.goto("/queues")
        bob.choose("Queue", "Commands")
        bob.type("Why, for others", "stocktaking")
        bob.click("Pause")
        bob.reads("stocktaking")

        page = ann.goto("/orders/W-1/complete")
        ann.click("Go on")
        ann.click("Mark as completed")
        ann.reads("was taken in and is being done.")
        look(ann, "order-pending")

        bob.click("Let Commands go on")
        ann.reads("done. 1 × Pattern book.")
        sent = page.locator(".history li", has_text="E-mail: completed")
        sent.get_by_text("done", exact=True).wait_for()

    assert shop.mailbox("W-1@shop.example") == ["Your order #3001: items completed"]


def test_a_broken_mail_servers_dead_letters(shop):
    """Seen among the queues, counted and judged before they are tried again, sent once each; a
    command is set right, and done.
    """
    shop.mail.answers["RCPT"] = [REFUSAL] * LETTERS
    shop.square.refunds_go(refusal(BAD_REQUEST))
    shop.done(*(order(f"E-{n}", f"#40{n:02}") for n in range(LETTERS)))
    shop.done(
        *(make.ship(order_id=f"E-{n}", items=make.items(A=1)) for n in range(LETTERS)),
        make.refund(order_id="E-0", amount=make.money(50)),
    )
    too_new = make.ship(order_id="E-1", items=make.items(A=1)).body() | {"schema_version": 2}
    with shop.engine.begin() as connection:
        accept_bodies(connection, [too_new | {"command_id": str(uuid4())}])

    with shop.person("max", "operator") as max_:
        page = max_.goto("/queues")
        max_.reads("1 worker process is alive")
        for queue, letters in (("E-mails", LETTERS), ("Refunds", 1), ("Commands", 1)):
            page.get_by_role("link", name=f"Dead: {queue}, {letters}").wait_for()
        look(max_, "queues")

        max_.click(f"Dead: E-mails, {LETTERS}", "link")
        page.wait_for_url("**/dead?queue=emails")
        max_.choose("Queue", "Any")
        page.wait_for_url("**/dead")
        look(max_, "dead")

        page.get_by_role("link", name="Replay… E-mails smtp_rejected").click()
        max_.reads(f"Would succeed: {LETTERS}")
        look(max_, "dead-replay")
        max_.click(f"Replay {LETTERS} letters")
        max_.reads(f"{LETTERS} letters replayed.")
        look(max_, "dead-replayed")
        rig.until(lambda: len(shop.mail.got) >= LETTERS, within_s=WITHIN_S)

        max_.click("Dead letters", "link")
        max_.goto("/dead/discard")
        max_.reads("1 refund part is among them, and stays")
        look(max_, "dead-discard")
        max_.click("Back", "link")
        max_.click("Mark as shipped", "link")
        body = page.locator("#body")
        mended = body.input_value().replace('"schema_version": 2', '"schema_version": 1')
        body.click()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text(mended)
        max_.click("Check")
        page.locator("#foreseen").get_by_text("Would succeed").wait_for()
        look(max_, "dead-letter")
        max_.click("Replace and replay")
        max_.reads("It is due again: Commands, order E-1.")
        look(max_, "dead-mended")
        max_.click("To the order", "link")
        page.locator(".parcels li").nth(1).wait_for()
        page.locator(".history .badge.wait").first.wait_for(state="detached")

    for n in range(LETTERS):
        sent = [f"Part of your order #40{n:02} has been shipped"]
        assert shop.mailbox(f"E-{n}@shop.example") == sent * (2 if n == 1 else 1)
    assert rig.rows(shop.engine, "select act, count(*)::integer from audit where actor = 'max'"
                    " group by act order by act") == [
        ("edited", 1), ("replayed", LETTERS), ("signed_in", 1)]  # fmt: skip


def test_strays_files_and_a_queue_held_up(shop):  # noqa: PLR0915  # likewise
    """A stray is checked; a queue is held up, of which the page, looking again, tells others; a
    file is checked, sent and stopped, and goes on when it is let; all of it is in the audit.
    """
    shop.done(*(order(f"F-{n}", f"#500{n}") for n in range(3)))
    hold = make.hold(order_id="F-0").body()
    stray(shop.engine, hold | {"schema_version": 2}, problem="unknown")
    stray(shop.engine, make.hold(order_id="F-1").body(), reason="unsigned")

    with shop.person("eve", "operator") as eve:
        page = eve.goto("/queues")
        eve.choose("Queue", "Jobs")
        eve.type("Why, for others", "a file is wrong")
        eve.click("Pause")
        go_on = page.get_by_role("button", name="Let Jobs go on")
        go_on.wait_for()
        rig.run(shop.engine, "update paused_routes set reason = 'it is being mended'")
        eve.reads("it is being mended")  # the page has looked again
        look(eve, "queues-paused")

        eve.click("Strays", "link")
        look(eve, "strays")
        page.locator("table.letters a.row").first.click()
        page.get_by_label("I have looked at it, and vouch for it").check()
        eve.click("Check")
        page.locator("#foreseen").get_by_text("Would succeed").wait_for()
        look(eve, "stray")

        eve.click("Jobs", "link")
        with page.expect_file_chooser() as asked:
            page.locator("#file").click()
        asked.value.set_files({"name": "parcels.csv", "mimeType": "text/csv", "buffer": CSV})
        eve.click("Check")
        eve.reads("Nothing was sent.")
        assert rig.count(shop.engine, "jobs") == 0
        look(eve, "jobs")
        eve.click("Send")
        page.wait_for_url("**/jobs/*")
        eve.click("Stop it")
        page.get_by_role("button", name="Let it go on").wait_for()
        look(eve, "job")

        job = page.url
        eve.click("Queues", "link")
        go_on.click()
        page.locator("#queue-jobs").get_by_text("Paused").wait_for(state="detached")
        eve.goto(job)
        eve.click("Let it go on")
        eve.reads("Rejected: 1")
        page.locator("#job[data-live]").wait_for(state="detached")
        look(eve, "job-done")

        eve.click("Audit", "link")
        eve.type("Who", "eve")
        page.keyboard.press("Enter")
        page.wait_for_url("**/audit?actor=eve**")
        page.get_by_text("Details").nth(2).click()
        look(eve, "audit")

    assert rig.rows(shop.engine, "select act from audit where actor = 'eve' order by audit_id") == [
        ("signed_in",),
        ("paused",),
        ("job_cancelled",),
        ("resumed",),
        ("job_resumed",),
    ]  # fmt: skip
    assert rig.rows(shop.engine, "select order_id, shipped from order_lines where line_id = 'A'"
                    " and order_id like 'F-%%' order by order_id") == [
        ("F-0", 1), ("F-1", 0), ("F-2", 0)]  # fmt: skip
