"""An order with all that can be known of its person, in every place where it can be."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine

from messages import Payment
from messages.order import Address, Customer, DoneRefund, DoneRefundPart, DoneShipment
from tests import factories as make
from tests.work import refund_rig, rig
from worker.emails.route import emails_route
from worker.labels.making import labels_route
from worker.settings import Settings
from worker.work.accept import record_stray
from worker.work.dead import Chosen, discard
from worker.work.mending import edit_and_replay
from worker.work.strays import ChosenStrays, discard_strays

CANARIES: Final = (
    "canaryname",
    "canarymail",
    "5550142",
    "canarybilling",
    "canaryroad",
    "canaryzip",
    "canarycity",
    "canarynote",
)
"""In lower case; nothing else holds them."""


def address(line: str) -> Address:
    return Address(
        name="Canaryname One",
        lines=(line,),
        city="Canarycity",
        district="IL",
        postal_code="CANARYZIP",
        country="US",
    )


def placed_order(**fields: Any) -> Any:
    """Five of A and two of B, of which one of A was shipped, and 1.00 refunded, upstream."""
    lines = (make.order_line("A", 5, sku="SKU-1"), make.order_line("B", 2))
    return make.placed_order(
        *lines,
        **{
            "number": "1001",
            "customer": Customer(
                name="Canaryname One",
                email="canarymail@shop.invalid",
                phone="+1 5550142",
                locale="fr",
            ),
            "billing_address": address("1 Canarybilling Row"),
            "ship_to": address("2 Canaryroad"),
            "payments": (Payment(payment_id="P1", captured_minor=700),),
            "shipments": (
                DoneShipment(
                    items=make.items(A=1),
                    tracking_number="T-0",
                    tracking_url="https://carrier.invalid/?zip=CANARYZIP",
                ),
            ),
            "refunds": (
                DoneRefund(
                    parts=(DoneRefundPart(payment_id="P1", amount_minor=100),),
                    reason="canarynote upstream",
                ),
            ),
        }
        | fields,
    )


def tell(engine: Engine, config: Settings, order_id: str = make.ORDER_ID) -> dict[str, Any]:
    """Everything that can happen to it; its commands by what they are."""

    def decide(*names: str) -> None:
        rig.accepted(engine, *(told[name] for name in names))
        rig.drainer(engine)()

    def follow_up() -> None:
        rig.drain_of(labels_route(engine, config), engine)()
        rig.drain_of(emails_route(engine, config), engine)()

    told: dict[str, Any] = {}
    base: dict[str, Any] = {"order_id": order_id, "issued_by": "canarymail@shop.invalid"}
    number = order_id.replace("O-", "100")
    told["place"] = make.place(**base, order=placed_order(number=number))
    told["ship"] = make.ship(
        **base,
        items=make.items(A=2),
        label="generate",
        tracking_number="T-1",
        tracking_url="https://carrier.invalid/T-1?zip=CANARYZIP",
    )
    decide("place", "ship")
    _set_right(engine, order_id, "labels", {"ship_to.city": "Canarycity North"})
    _set_right(engine, order_id, "emails", {"to": "canarymail2@shop.invalid"})
    follow_up()
    told["retracked"] = make.update_tracking(
        told["ship"],
        **base,
        tracking_url="https://carrier.invalid/T-2?zip=CANARYZIP",
        tracking_number="T-2",
        notify_customer=True,
    )
    told["cancel"] = make.cancel(
        **base, items=make.items(B=1), refund="full", reason="canarynote cancelled"
    )
    told["hold"] = make.place(**base, order=placed_order(number=number, hold="canarynote held"))
    told["held"] = make.ship(**base)
    told["release"] = make.place(**base, order=placed_order(number=number))
    decide("retracked", "cancel", "hold", "held", "release")
    _settle(engine, order_id)
    told["given_up"] = make.complete(order_id=order_id, issued_by="Canaryname One")
    rig.accepted(engine, told["given_up"])
    _give_up(engine, told["given_up"].command_id)
    follow_up()
    _strays(engine, order_id)
    return told


def _settle(engine: Engine, order_id: str) -> None:
    for (part_id,) in rig.rows(
        engine,
        "select part_id from refund_parts where order_id = %(id)s and state = 'pending'",
        id=order_id,
    ):
        assert refund_rig.by_hand(engine, part_id, "settled", "canarynote settled") == "done"


def _set_right(engine: Engine, order_id: str, route: str, sets: dict[str, str]) -> None:
    """A follow-up that died is set right, and is due again."""
    (work_id,) = rig.one(
        engine,
        "update followups set state = 'dead', dead_reason = 'refused', decided_at = now(),"
        """ errors = '[{"reason": "refused", "message": "canarynote", "at": "2026-01-01"}]'"""
        " where order_id = %(order_id)s and route = %(route)s returning id",
        order_id=order_id,
        route=route,
    )
    with engine.begin() as connection:
        edit_and_replay(connection, work_id, sets, actor="desk")


def _give_up(engine: Engine, command_id: UUID) -> None:
    """A command that died is given up."""
    rig.run(
        engine,
        "update commands set state = 'dead', dead_reason = 'bug', decided_at = now()"
        " where id = %(id)s",
        id=command_id,
    )
    with engine.begin() as connection:
        discard(connection, Chosen(ids=[command_id]), actor="desk", because="canarynote given up")


def _strays(engine: Engine, order_id: str) -> None:
    """Two of the order, of which one was discarded."""
    for body in (
        f'{{\\"order_id\\":\\"{order_id}\\", \\"name\\": \\"Canaryname\\"',
        f'{{"args": [{{"order_id": "{order_id}", "name": "Canaryname"}}], "x": 1}}',
    ):
        with engine.begin() as connection:
            record_stray(connection, "invalid", body)
    (last,) = rig.one(engine, "select max(stray_id) from strays")
    with engine.begin() as connection:
        chosen = ChosenStrays(ids=[last])
        discard_strays(connection, chosen, actor="desk", because="canarynote stray", limit=1)
