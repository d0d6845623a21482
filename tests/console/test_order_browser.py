"""A merchant's day by mouse alone, in a real browser, with somebody deciding beside it."""

import threading

import pytest

from messages import Address, Customer, Fee, Payment
from tests import factories as make
from tests.console.browser import look
from tests.work import rig

# ruff: noqa: RUF001  # pages write quantities with a multiplication sign

pytestmark = pytest.mark.heavy

ADDRESS = Address(
    name="Ada Example", lines=("1 Example Street",), city="Springfield", postal_code="62701",
    country="US",
)  # fmt: skip


@pytest.fixture
def worker(engine):
    """Decides what comes in, until the test is over."""
    drain, is_over = rig.drainer(engine), threading.Event()

    def work():
        while not is_over.wait(0.05):
            drain()

    with rig.running(work):
        yield
        is_over.set()


@pytest.fixture
def order(engine):
    """Three mugs, a bag and a download, paid, with a shipping fee; and others around it."""
    lines = (
        make.order_line("A", 3, name="Stoneware mug", sku="MUG-1", net_minor=2997),
        make.order_line("B", 1, name="Canvas bag", sku="BAG-7", net_minor=3000),
        make.order_line("D", 1, name="Pattern book", item_type="digital", net_minor=900),
    )
    for n in (1, 2, 3):
        rig.with_lines(
            engine,
            *lines,
            order_id=f"O-{n}",
            number=f"#100{n}",
            customer=Customer(name="Ada Example", email="ada@shop.example"),
            ship_to=ADDRESS,
            ship_from=ADDRESS,
            billing_address=ADDRESS,
            fees=(Fee(kind="shipping", net_minor=500),),
            payments=(Payment(payment_id="P1", captured_minor=7397),),
        )


def test_a_merchants_day(browser, engine, order, worker):  # noqa: PLR0915  # a day has many steps
    """An order is found; two of three mugs leave with a new carrier and no e-mail, later the rest;
    the download is completed; a bag is cancelled with half its price back, by an amount that the
    total follows; the shipping fee goes back alone; a parcel is tracked otherwise and called back,
    the order held and released; every transaction is told. axe finds nothing on the way.
    """
    seen = browser("agent")
    page = seen.goto("/orders")

    def click(name, role="button"):
        page.get_by_role(role, name=name, exact=True).first.click()

    def confirm(name, said):
        """Go on, confirm, and read what became of it."""
        click("Go on")
        page.get_by_role("heading", name="This will happen").wait_for()
        click(name)
        page.get_by_text(said).wait_for()

    page.fill("#search", "1002")
    page.wait_for_url("**/orders?search=1002")
    click("#1002", "link")

    click("Mark as shipped", "link")
    page.get_by_text("Mark as shipped: 3 × Stoneware mug, 1 × Canvas bag").wait_for()
    page.fill("[name='quantity.A']", "2")
    page.fill("[name='quantity.B']", "0")
    assert not page.locator("[value=B]").is_checked()
    page.select_option("#carrier", label="Add a new carrier…")
    page.fill("#new_carrier", "City Bikes")
    page.uncheck("[name=notify]")
    page.get_by_text("Carrier: City Bikes (new)").wait_for()
    page.get_by_text("No e-mail to the customer.").wait_for()
    look(seen, "order-ship")
    click("Go on")
    page.get_by_role("heading", name="This will happen").wait_for()
    look(seen, "order-confirm")
    click("Change")
    assert page.input_value("[name='quantity.A']") == "2"
    assert page.input_value("#new_carrier") == "City Bikes"
    confirm("Mark as shipped", "done. 2 × Stoneware mug.")

    click("Cancel items", "link")
    page.uncheck("[value=A]")
    page.uncheck("[value=D]")
    page.locator(".total b").get_by_text("€30.00").wait_for()
    page.fill("#amount", "15")
    assert page.locator("#refund-amount").is_checked()
    page.locator(".total b").get_by_text("€15.00").wait_for()
    look(seen, "order-cancel")
    confirm("Cancel items", "done. 1 × Canvas bag. €15.00 are paid back.")

    click("Mark as shipped", "link")
    page.select_option("#carrier", label="City Bikes")
    page.fill("#tracking_number", "CB-7")
    confirm("Mark as shipped", "done. 1 × Stoneware mug.")

    click("Mark as completed", "link")
    confirm("Mark as completed", "done. 1 × Pattern book.")
    assert page.get_by_role("button", name="Mark as completed").is_disabled()
    assert page.get_by_text("Nothing is left to complete.").is_visible()

    click("Refund", "link")
    page.fill("#amount", "99")
    page.get_by_text("That is more than what can be paid back.").wait_for()
    look(seen, "order-refund-refused")
    page.fill("#amount", "")
    page.check("[name=shipping]")
    page.locator(".total b").get_by_text("€5.00").wait_for()
    confirm("Refund", "€5.00 are paid back.")

    page.locator(".parcels li").nth(1).get_by_role("link", name="Correct tracking").click()
    page.fill("#tracking_number", "CB-8")
    confirm("Correct tracking", "done.")
    page.locator(".parcels li").nth(1).get_by_role("link", name="Call the parcel back").click()
    page.fill("#reason", "wrong parcel")
    confirm("Call the parcel back", "done. 1 × Stoneware mug.")

    click("Put on hold", "link")
    page.fill("#reason", "address unclear")
    confirm("Put on hold", "done.")
    look(seen, "order-held")
    click("Release", "link")
    click("Release")
    page.get_by_text("Release: done.").wait_for()

    told = page.locator(".history .what b").all_inner_texts()
    assert [one for one in told if not one.startswith(("E-mail", "Refund to"))] == [
        "Released",
        "Put on hold",
        "Parcel called back",
        "Tracking corrected",
        "Refund requested",
        "Completed",
        "Shipped",
        "Refund requested",
        "Cancelled",
        "Shipped",
        "Order taken in",
    ]

    found = rig.rows(
        engine,
        "select kind, body ->> 'notify_customer' from commands"
        " where body ->> 'issued_by' = 'agent' and state = 'applied' order by seq",
    )
    assert [tuple(one) for one in found] == [
        ("ship", "false"),
        ("cancel", None),
        ("ship", None),
        ("complete", None),
        ("refund", None),
        ("update_tracking", None),
        ("void", None),
        ("hold", None),
        ("release", None),
    ]
    assert rig.rows(engine, "select line_id, shipped, completed, cancelled, refunded_minor"
                    " from order_lines where order_id = 'O-2' order by line_id") == [
        ("A", 2, 0, 0, 0), ("B", 0, 0, 1, 0), ("D", 0, 1, 0, 0),
    ]  # fmt: skip


def test_the_page_follows_without_being_touched(browser, engine, order):
    """While nobody decides the page says so; as soon as somebody does it tells the outcome, and
    goes on following what comes of it.
    """
    seen = browser("agent")
    page = seen.goto("/orders/O-1/complete")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Mark as completed").click()
    page.get_by_text("was taken in and is being done.").wait_for()

    rig.drainer(engine)()

    page.get_by_text("done. 1 × Pattern book.").wait_for()
    page.locator(".history").get_by_text("E-mail: completed").wait_for()
    rig.run(engine, "update followups set state = 'done', decided_at = now(), outcome = '{}'")
    page.locator(".history li", has_text="E-mail: completed").get_by_text("done").wait_for()
