"""A store in which everything has gone wrong that the runbook and the alerts speak of."""

from uuid import uuid4

from sqlalchemy import Engine

from messages import Payment
from tests import factories as make
from tests.jobs import job_rig
from tests.labels import lab
from tests.work import rig
from worker.postage import purchases
from worker.web import keys
from worker.work.accept import accept_bodies, record_stray
from worker.work.queues import pause

SPOILT = (
    "update commands set crashes = 2 where id = %(crashing)s",
    """update followups set state = 'dead', dead_reason = 'smtp_550', decided_at = now(),
      attempts = 3,
      errors = '[{"reason": "smtp_550", "message": "gone", "at": "2026-11-28T10:00:00Z"}]'
    where route = 'emails'""",
    """update refund_parts set state = 'unknown', provider = 'tests.work.refund_rig:till',
      asked_at = now() - interval '2 hours', last_asked_at = now() - interval '2 hours'
    where refund_id = %(unknown)s""",
    "update refund_parts set state = 'overpaid', ended_at = now() where refund_id = %(overpaid)s",
    """update followups set state = 'dead', dead_reason = 'overpaid', decided_at = now()
    where route = 'refunds' and command_id = %(overpaid)s""",
)


def prepared(engine: Engine) -> dict[str, str]:
    """Let everything go wrong; the page's words in capitals."""
    rig.with_lines(
        engine,
        make.order_line("A", 5, net_minor=10_000),
        payments=(Payment(payment_id="P1", captured_minor=10_000, method="card"),),
        ship_to=lab.address(),
        customer={"email": "customer@example.com"},
    )
    ship = make.ship(items=make.items(A=1), carrier="ups", tracking_number=None, label="generate")
    unknown, overpaid = (make.refund(amount=make.money(100)) for _ in range(2))
    drawn = make.ship(items=make.items(A=1), carrier="dhl", tracking_number="JD014600003")
    rig.decided(engine, ship, drawn, unknown, overpaid, make.ship(order_id="O-9"))
    rig.decided(engine, make.hold())
    job = job_rig.loaded(engine, "order,line,quantity\nO-1,A,1\n")
    dead, crashing = uuid4(), uuid4()
    with engine.begin() as connection:
        bodies = [
            {"kind": "ship", "command_id": one, "order_id": "O-1", "schema_version": 2}
            for one in (dead, crashing)
        ]
        accept_bodies(connection, bodies[:1])
    rig.drainer(engine)()
    with engine.begin() as connection:
        accept_bodies(connection, bodies[1:])
        record_stray(connection, "invalid", "{}")
        pause(connection, "emails", "mail server down", actor="night shift")
        key = keys.add(connection, "night shift", "shop", kinds=["ship"], may_read=True)
        shipment = purchases.look(connection, ship.command_id)
        purchases.ask(connection, shipment, uuid4(), "ups")
        for statement in SPOILT:
            connection.exec_driver_sql(
                statement,
                {
                    "unknown": unknown.command_id,
                    "overpaid": overpaid.command_id,
                    "crashing": crashing,
                },
            )
    part = "select part_id from refund_parts where refund_id = %(id)s"
    return {
        "ORDER": "O-1",
        "ID": str(dead),
        "STRAY": str(rig.one(engine, "select stray_id from strays")[0]),
        "PART": str(rig.one(engine, part, id=unknown.command_id)[0]),
        "OVERPAID": str(rig.one(engine, part, id=overpaid.command_id)[0]),
        "SHIPMENT": str(ship.command_id),
        "JOB": str(job),
        "KEY": key.split("_")[1],
    }
