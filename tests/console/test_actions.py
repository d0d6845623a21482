"""Acting on an order: each form is the command that it says, once, of what was seen."""

# ruff: noqa: RUF001  # pages write quantities with a multiplication sign

import uuid
from typing import get_args

import pytest

from messages import Customer, Fee, Payment
from tests import factories as make
from tests.console.filling import act, form_of, go_on, quantities
from tests.console.pages import csrf, text
from tests.work import rig
from worker.console.drafts import Kind

PATH = "/orders/O-1"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def order(engine):
    """Three mugs, two bags and a download, paid, with a shipping fee; version 1."""
    rig.with_lines(
        engine,
        make.order_line("A", 3, name="Mug"),
        make.order_line("B", 2, name="Bag"),
        make.order_line("D", 1, name="Download", item_type="digital"),
        customer=Customer(name="Ada", email="ada@shop.example"),
        fees=(Fee(kind="shipping", net_minor=500),),
        payments=(Payment(payment_id="P1", captured_minor=1100),),
    )


@pytest.fixture
def agent(order, sign_in):
    """Somebody who acts on it."""
    return sign_in("agent")


def sent(engine):
    """The bodies of the commands that came from the console, the last one last."""
    return [
        {name: value for name, value in body.items() if name not in {"command_id", "order_id"}}
        for (body,) in rig.rows(
            engine, "select body from commands where body ->> 'issued_by' = 'agent' order by seq"
        )
    ]


@pytest.mark.parametrize(
    ("path", "changes", "body"),
    [
        (
            "ship",
            {"line": ["A"], **quantities(A=2, B=2), "carrier": "+", "new_carrier": "Vélo & Co",
             "new_carrier_url": "https://velo.example/{number}", "tracking_number": " V1 ",
             "service": "Express", "label": "true", "notify": None},
            {"items": [{"line_id": "A", "quantity": 2}, {"line_id": "B", "quantity": 0}],
             "new_carrier": {"code": "velo-co", "name": "Vélo & Co",
                             "tracking_url": "https://velo.example/{number}"},
             "tracking_number": "V1", "service": "Express", "label": "generate",
             "notify_customer": False},
        ),
        (
            "ship",
            {"carrier": "dhl"},
            {"items": [{"line_id": "A", "quantity": 3}, {"line_id": "B", "quantity": 2}],
             "carrier": "dhl"},
        ),
        ("complete", {}, {"items": [{"line_id": "D", "quantity": 1}]}),
        (
            "cancel",
            {},
            {"items": [{"line_id": "A", "quantity": 3}, {"line_id": "B", "quantity": 2},
                       {"line_id": "D", "quantity": 1}], "refund": "full"},
        ),
        (
            "cancel",
            {**quantities(A=1, B=0, D=0), "refund": "amount", "amount": "0,50",
             "reason": "broken", "shipping": "true"},
            {"items": [{"line_id": "A", "quantity": 1}, {"line_id": "B", "quantity": 0},
                       {"line_id": "D", "quantity": 0}],
             "refund": {"amount_minor": 50, "currency": "EUR"}, "reason": "broken",
             "include_shipping": True},
        ),
        (
            "cancel",
            {"line": ["B"], "refund": "none"},
            {"items": [{"line_id": "A", "quantity": 0}, {"line_id": "B", "quantity": 2},
                       {"line_id": "D", "quantity": 0}]},
        ),
        ("refund", {"shipping": "true"}, {"include_shipping": True}),
        ("refund", {"amount": "2.5"}, {"amount": {"amount_minor": 250, "currency": "EUR"}}),
        (
            "refund",
            {"line": ["A"], **quantities(A=1), "notify": None},
            {"items": [{"line_id": "A", "quantity": 1}], "notify_customer": False},
        ),
        ("hold", {"reason": "address unclear"}, {"reason": "address unclear"}),
    ],
)  # fmt: skip
def test_a_form_is_the_command_that_it_says(agent, engine, path, changes, body):
    """What is chosen, once confirmed, with the user's name and the version that was shown; it is
    applied.
    """
    answer = act(agent, f"{PATH}/{path}", **changes)
    rig.drainer(engine)()

    kind = {"kind": path, "issued_by": "agent", "expected_version": 1}
    assert sent(engine) == [kind | body]
    ((command_id, state),) = rig.rows(
        engine, "select id, state from commands where body ->> 'issued_by' = 'agent'"
    )
    assert state == "applied"
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}?command={command_id}")


def test_forms_of_a_parcel_and_of_a_hold(agent, engine):
    """A parcel is tracked otherwise, then called back; a hold is put on and taken off: without
    anything to choose the form is the page that asks. Tracking tells the customer only on request.
    """
    ship = make.ship(items=make.items(A=1), carrier="dhl", tracking_number="X1")
    rig.decided(engine, ship, make.hold())
    parcel = f"shipment={ship.command_id}"

    act(agent, f"{PATH}/update_tracking?{parcel}", tracking_number="X2")
    rig.drainer(engine)()
    act(agent, f"{PATH}/void?{parcel}", reason="wrong parcel")
    rig.drainer(engine)()
    act(agent, f"{PATH}/release")
    rig.drainer(engine)()

    common = {"issued_by": "agent", "shipment_id": str(ship.command_id)}
    assert sent(engine) == [
        common
        | {"kind": "update_tracking", "expected_version": 3, "carrier": "dhl",
           "tracking_number": "X2"},
        common | {"kind": "void", "expected_version": 4, "reason": "wrong parcel"},
        {"kind": "release", "issued_by": "agent", "expected_version": 5},
    ]  # fmt: skip
    assert rig.one(engine, "select version, hold from orders") == (6, None)
    assert rig.line(engine).shipped == 0


class Hints:
    """Counts hints."""

    sent = 0

    def send(self, route="commands"):
        self.sent += 1
        return True


def test_a_form_that_is_sent_twice_is_one_command(agent, engine):
    """At a double click, and again after the outcome; both lead to it, and workers are woken once.
    The same form with something else in it is refused.
    """
    hints = agent.app.state.door.hints = Hints()
    shown = go_on(agent, f"{PATH}/cancel", line=["A"])
    action, fields = form_of(shown)

    answers = [agent.post(action, data=fields) for _ in range(2)]
    rig.drainer(engine)()
    answers.append(agent.post(action, data=fields))
    other = agent.post(action, data=fields | {"refund": "none"})
    again = agent.post(f"{action}/preview", data=fields)

    (place,) = {one.headers["location"] for one in answers}
    assert [one.status_code for one in answers] == [303] * 3
    assert (again.status_code, again.headers["location"]) == (303, place)
    assert other.status_code == 409
    assert "This form was sent before, with something else in it." in text(other)
    assert hints.sent == 1
    assert len(sent(engine)) == 1
    assert rig.line(engine).cancelled == 3


def test_nobody_acts_on_what_was_not_seen(agent, engine):
    """What changed since the form was shown is told before it is sent; what changes after that has
    the command refused, and nothing happens.
    """
    action, fields = form_of(go_on(agent, f"{PATH}/ship"))
    rig.decided(engine, make.cancel(items=make.items(A=1)))
    before = rig.dump(engine, rig.EFFECTS)

    told = agent.post(f"{action}/preview", data=fields)
    answer = agent.post(action, data=fields)
    rig.drainer(engine)()

    assert told.status_code == 409
    assert "Somebody changed the order meanwhile." in text(told)
    page = text(agent.get(answer.headers["location"]))
    assert "Mark as shipped: refused, nothing was changed. Somebody changed the order" in page
    assert rig.dump(engine, rig.EFFECTS) == before


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        ("refund", {"amount": "1,000"}, "Amount: must be an amount such as 12.50."),
        ("refund", {"amount": "-1"}, "Amount: must be an amount"),
        ("refund", {"amount": "1", "line": ["A"]}, "give amount or items, not both"),
        ("ship", quantities(A="1.5"), "Items: must be a whole number."),
        ("ship", {"carrier": "+"}, "Name of the new carrier: is needed."),
        ("ship", {"carrier": "no such carrier"}, "Carrier: cannot be this."),
        ("hold", {"reason": " "}, "Why: is needed."),
    ],
)
def test_what_cannot_be_is_not_sent(agent, engine, path, changes, said):
    """The form comes back and says what is wrong; sent nevertheless it is refused, and nothing is
    written.
    """
    before = rig.dump(engine)
    action, fields = form_of(agent.get(f"{PATH}/{path}"), **changes)

    told = agent.post(action, data=fields)
    answer = agent.post(action.removesuffix("/preview"), data=fields)

    assert (told.status_code, answer.status_code) == (422, 422)
    assert said in text(told)
    assert form_of(told)[1]["command_id"] == fields["command_id"]
    assert rig.dump(engine) == before


def test_a_list_without_lines_is_not_all_of_them(agent, engine):
    """A form that offers no line cannot be sent: to the worker it would mean all that remains."""
    action, fields = form_of(agent.get(f"{PATH}/ship"))
    fields = {name: value for name, value in fields.items() if "quantity" not in name}

    answer = agent.post(action.removesuffix("/preview"), data=fields)

    assert (answer.status_code, sent(engine)) == (422, [])


def test_what_would_happen_follows_the_typing(agent, engine):
    """The total to refund, line by line and by payment, by the worker's own judgement; a refusal in
    plain words; nothing is written.
    """
    before = rig.dump(engine)
    action, fields = form_of(agent.get(f"{PATH}/cancel"))

    def told(**changes):
        answer = agent.post(action, data=fields | changes, headers=HTMX)
        assert answer.status_code == 200
        return text(answer)

    assert told() == (
        "Total to refund €6.00 Cancel items: 3 × Mug, 2 × Bag, 1 × Download 3 × Mug: €3.00"
        " 2 × Bag: €2.00 1 × Download: €1.00 Back to payment P1: €6.00"
        " An e-mail goes to ada@shop.example."
    )
    assert told(**quantities(B=0, D=0), shipping="true").startswith("Total to refund €8.00")
    assert told(refund="amount", amount="99").startswith(
        "Total to refund €0.00 That is more than what can be paid back."
    )
    assert "must be an amount" in told(refund="amount", amount="x")
    assert rig.dump(engine) == before


def test_going_back_keeps_what_was_chosen(agent):
    """From the page that asks, to the form, with the same command's id."""
    shown = go_on(agent, f"{PATH}/ship", line=["A"], **quantities(A=2), carrier="dhl")
    action, fields = form_of(shown)

    form = form_of(agent.post(f"{action}/edit", data=fields))[1]

    kept = ("line", "quantity.A", "carrier", "command_id", "version")
    assert {name: form[name] for name in kept} == {name: fields[name] for name in kept}


def test_who_may_only_look_does_nothing(order, sign_in, engine):
    """No form, no look at what would happen, no command: 403, nothing written."""
    client = sign_in("viewer")
    fields = {
        "csrf": csrf(client.get("/orders")),
        "command_id": str(uuid.uuid4()),
        "version": "1",
        "reason": "-",
    }
    before = rig.dump(engine)

    answers = [
        answer.status_code
        for kind in get_args(Kind)
        for answer in (
            client.get(f"{PATH}/{kind}"),
            *(
                client.post(f"{PATH}/{kind}{step}", data=fields)
                for step in ("", "/preview", "/edit")
            ),
        )
    ]

    assert answers == [403] * 32
    assert rig.dump(engine) == before


def test_what_is_not_there(agent, engine):
    """An order, an action or a parcel that is not there is no form; a parcel of another order is
    not there.
    """
    rig.placed(engine, "O-2")
    ship = make.ship(order_id="O-2")
    rig.decided(engine, ship)

    paths = (
        "/orders/O-9/ship",
        f"{PATH}/void",
        f"{PATH}/void?shipment={ship.command_id}",
        f"{PATH}/update_tracking?shipment={uuid.uuid4()}",
    )

    assert [agent.get(path).status_code for path in paths] == [404] * 4
    assert agent.get(f"{PATH}/explode").status_code == 422
