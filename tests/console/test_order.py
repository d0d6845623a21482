"""An order's page: what is known of it, what can be done, and all that was done."""

# ruff: noqa: RUF001  # pages write quantities with a multiplication sign

import re
import uuid

import pytest

from messages import Address, Customer, Fee, Payment, Reason
from tests import factories as make
from tests.console.pages import plain, text
from tests.work import rig
from worker.console.order import MOST_LOOKS
from worker.console.pages import _environment

PATH = "/orders/O-1"
HTMX = {"HX-Request": "true"}
ADDRESS = Address(
    name="Ada Example", lines=("1 Example Street",), city="Springfield", postal_code="62701",
    country="US",
)  # fmt: skip


@pytest.fixture
def order(engine):
    """Mugs and a download for Ada, paid, with a shipping fee; two of three mugs shipped, one
    cancelled with half its price back.
    """
    rig.with_lines(
        engine,
        make.order_line("A", 3, name="Mug <1>", sku="MUG"),
        make.order_line("D", 1, name="Download", item_type="digital"),
        number="#1001",
        customer=Customer(name="Ada Example", email="ada@shop.example"),
        ship_to=ADDRESS,
        ship_from=ADDRESS,
        billing_address=ADDRESS,
        fees=(Fee(kind="shipping", net_minor=500),),
        payments=(Payment(payment_id="P1", captured_minor=900, method="card"),),
    )
    ship = make.ship(
        items=make.items(A=2), carrier="dhl", tracking_number="JD014600003", issued_by="kim"
    )
    cancel = make.cancel(items=make.items(A=1), refund=make.money(50), reason="broken")
    assert rig.decided(engine, ship, cancel) == ["applied"] * 2
    return ship


def test_all_that_is_known(order, sign_in):
    """Number, statuses, lines with their counters, addresses, money, the parcel with its links."""
    answer = sign_in().get(PATH)
    page = text(answer)

    for said in (
        "#1001 Partially fulfilled Paid Refund on its way",
        "Mug <1> MUG Ordered 3 Shipped 2 Completed 0 Cancelled 1 Left 0 Refunded 0 Price €3.00",
        "Download D · digital Ordered 1 Shipped 0 Completed 0 Cancelled 0 Left 1",
        "Ada Example ada@shop.example",
        "Ship to Ada Example 1 Example Street 62701 Springfield US Billing",
        "Shipping fee €5.00 Total €9.00 Paid · card €9.00 of it refunded €0.50",
        "P1 €0.50 waiting",
        "2 × Mug <1> DHL · JD014600003",
    ):
        assert said in page
    links = set(re.findall(r'<a href="([^"]+)"', answer.text))
    assert links >= {
        "https://www.dhl.com/global-en/home/tracking.html?tracking-id=JD014600003",
        f"/shipments/{order.command_id}/label.pdf",
        f"/shipments/{order.command_id}/slip.pdf",
    }
    assert "Mug <1>" not in answer.text


def test_every_transaction_is_told_newest_first(order, sign_in, engine):
    """What commands did, what they were refused for, what follows from them and how far it is."""
    refused = make.ship(items=make.items(A=1), issued_by="lou")
    assert rig.decided(engine, refused) == ["rejected"]
    rig.run(
        engine,
        "update followups set state = 'skipped', outcome = '{\"skipped\": \"no_address\"}',"
        " decided_at = now() where name = 'cancelled'",
    )

    page = sign_in().get(PATH)
    entries = [plain(one) for one in page.text.partition("<ol")[2].split("<li>")[1:]]

    words = [re.split(r" [A-Z][a-z]{2} \d+, \d{4}", one)[0] for one in entries]
    assert words == [
        "E-mail: cancelled not needed no e-mail address is known",
        "Mark as shipped refused That is more than what is left. line A: 1 asked, 0 of 3 left",
        "Refund to the payment waiting",
        "E-mail: shipped waiting",
        "Refund requested €0.50 P1 €0.50 broken",
        "Cancelled 1 × Mug <1> broken",
        "Shipped 2 × Mug <1> DHL JD014600003",
        "Order taken in €9.00",
    ]
    assert "· lou · " in entries[1]
    assert f"· kim · {order.command_id}" in entries[6]


def test_actions_as_the_rules_allow_them(order, sign_in, engine):
    """What is possible is a link; what is not is disabled and says why, in the page's language."""
    client = sign_in("agent")
    answer = client.get(PATH)
    french = text(client.get(PATH, headers={"Accept-Language": "fr"}))

    links = re.findall(rf'class="button[^"]*" href="{PATH}/(\w+)"', answer.text)
    assert links == ["complete", "cancel", "refund", "hold"]
    assert 'disabled aria-describedby="why-ship">Mark as shipped' in answer.text
    assert "Mark as shipped: Nothing is left to ship." in text(answer)
    assert "Marquer comme expédiée : Il ne reste rien à expédier." in french
    heads = "Article Commandés Expédiés Terminés Annulés Restants Remboursés Prix"
    assert heads in french

    rig.decided(engine, make.hold(reason="address unclear"))
    held = client.get(PATH)
    assert "Mark as completed: The order is on hold." in text(held)
    assert "On hold: address unclear" in text(held)
    assert f'href="{PATH}/release"' in held.text
    assert client.get(f"{PATH}/complete").status_code == 409


def test_who_may_only_look_sees_no_action(order, sign_in):
    """All are disabled, with the reason; labels can be printed."""
    answer = sign_in("viewer").get(PATH)

    assert re.findall(rf'href="{PATH}/(\w+)', answer.text) == []
    assert "You may look. Whoever has the role agent may act." in text(answer)
    assert 'href="/labels.pdf?order=O-1&amp;slips=true"' in answer.text


def test_the_page_follows_the_outcome(order, sign_in, engine):
    """As long as the command is undecided the page asks again; then it says what was done, or that
    it was refused and why, in French as well; a command of another order is not told.
    """
    client = sign_in("agent")
    complete, ship = make.complete(), make.ship()
    rig.accepted(engine, complete, ship)
    address = f"{PATH}?command={complete.command_id}"

    waiting = client.get(address)
    rig.drainer(engine)()
    followed = client.get(address, headers=HTMX)
    refused = f"{PATH}?command={ship.command_id}"

    assert "Mark as completed: was taken in and is being done." in text(waiting)
    follow = f'hx-get="{PATH}?command={complete.command_id}&amp;look=1"'
    assert f'{follow} hx-trigger="load delay:0s"' in waiting.text
    assert followed.text.startswith('<div id="order">')
    assert "Mark as completed: done. 1 × Download." in text(followed)
    assert "refused, nothing was changed. Nothing is left to ship." in text(client.get(refused))
    assert "refusé, rien n’a changé. Il ne reste rien à expédier." in text(
        client.get(refused, headers={"Accept-Language": "fr"})
    )
    rig.placed(engine, "O-2")
    assert "refused" not in text(client.get(f"/orders/O-2?command={ship.command_id}"))
    assert "refused" not in text(client.get(f"/orders/O-2?command={uuid.uuid4()}"))


def test_the_page_does_not_follow_for_ever(order, sign_in):
    """Whoever left it open is signed out at last."""
    client = sign_in()

    assert f"look={MOST_LOOKS}" in client.get(f"{PATH}?look={MOST_LOOKS - 1}").text
    assert "hx-get" not in client.get(f"{PATH}?look={MOST_LOOKS}").text


def test_label_and_slip_of_a_parcel(order, sign_in, engine):
    """For whoever is signed in, drawn where none was made; of one that was called back there is
    none.
    """
    client, parcel = sign_in(), f"/shipments/{order.command_id}"

    files = [client.get(f"{parcel}/{name}") for name in ("label.pdf", "label.zpl", "slip.pdf")]
    rig.decided(engine, make.void(shipment_id=order.command_id))

    assert [one.headers["content-type"] for one in files] == [
        "application/pdf", "application/vnd.zebra-zpl", "application/pdf",
    ]  # fmt: skip
    assert [one.content[:4] for one in files] == [b"%PDF", b"^XA^", b"%PDF"]
    assert client.get(f"{parcel}/label.pdf").status_code == 409
    assert client.get(f"/shipments/{uuid.uuid4()}/slip.pdf").status_code == 404


def test_an_order_that_is_not_here(sign_in):
    """Says so."""
    answer = sign_in().get("/orders/O-9")

    assert (answer.status_code, "This is not here." in text(answer)) == (404, True)


def test_every_reason_has_its_words():
    """None is told as a code."""
    words = _environment("fr").get_template("order/words.html").module

    assert set(words.reason_words) == set(Reason)
