"""The console in a real browser: on orders by the thousand, and in a shop at work."""

import pytest

from messages import Customer, Payment
from tests import factories as make
from tests.console.browser import look
from tests.work import rig

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture
def shop(engine):
    """Orders in every state that the list shows."""
    captured = (Payment(payment_id="P1", captured_minor=300),)
    names = ["Ada Lovelace", "Jean-Baptiste Poquelin", "Zoë Ångström", None]
    for n in range(60):
        rig.accepted(
            engine,
            make.place(
                order_id=f"O-{n:03}",
                order=make.placed_order(
                    number=f"#{1000 + n}",
                    customer=Customer(name=names[n % 4]),
                    payments=captured if n % 3 else (),
                ),
            ),
        )
    rig.drainer(engine)()
    rig.decided(
        engine,
        make.hold(order_id="O-059"),
        make.ship(order_id="O-058", items=make.items(A=1), carrier="dhl"),
        make.ship(order_id="O-056", carrier="dhl", tracking_number="JD014600003"),
        make.refund(order_id="O-055", amount=make.money(50)),
        make.cancel(order_id="O-054"),
    )


def test_orders_by_keyboard_and_by_typing(browser, shop):
    """`/` goes to the search, typing replaces the table and the address and says how many; j and k
    walk the rows, x selects; all of it can be turned off; the filters survive going back; nothing
    breaks axe's rules anywhere.
    """
    seen = browser("viewer")
    page = seen.goto("/orders")
    look(seen, "orders")

    page.keyboard.press("/")
    page.keyboard.type("poq")
    page.wait_for_url("**/orders?search=poq")
    assert page.locator("tbody tr").count() == 15
    assert page.evaluate("document.activeElement.id") == "search"

    page.select_option("#status", "unfulfilled")
    page.wait_for_url("**/orders?search=poq&status=unfulfilled")
    page.go_back()
    page.wait_for_url("**/orders?search=poq")
    # The address is that of before at once, the page a moment later.
    page.locator("#status option:checked[value='']").wait_for(state="attached")
    assert page.input_value("#search") == "poq"

    page.locator("body").click(position={"x": 5, "y": 300})
    for key in "jjkx":
        page.keyboard.press(key)
    assert page.locator("[data-count]").inner_text() == "1"
    assert page.locator("tbody tr").first.locator("input").is_checked()
    page.locator("[data-all]").check()
    assert page.locator("[data-count]").inner_text() == "15"
    assert page.locator("#count").inner_text() == "15 orders on this page"
    look(seen, "orders-selected")

    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.locator("tbody a.row").first.focus()
    page.keyboard.press("x")
    assert page.locator("[data-count]").inner_text() == "15"

    page.fill("#search", "nobody at all")
    page.get_by_text("No order is like that.").wait_for()
    look(seen, "orders-empty")


def test_signing_in_and_out(browser, engine, cli):
    """A link signs in at the press of a button; signing out leads to the form, in the language that
    was chosen.
    """
    cli("users", "add", "kim", "--role", "agent")
    path = cli("users", "link", "kim", "--url", "").stdout.strip()
    seen = browser(None)

    page = seen.goto(path)
    look(seen, "sign-in-link")
    page.get_by_role("button", name="Sign in as kim").click()
    page.wait_for_url("**/orders")
    page.get_by_text("There are no orders yet.").wait_for()
    page.get_by_role("button", name="Français").click()
    page.get_by_role("button", name="Se déconnecter").click()
    page.wait_for_url("**/sign-in")
    look(seen, "sign-in")
