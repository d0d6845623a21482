"""What tests of bought labels look at."""

from tests.work import rig


def followup(engine, route="labels", name="label"):
    return rig.one(
        engine,
        "select *, extract(epoch from next_at - now())::float8 as due_in_s from followups"
        " where route = %(route)s and name = %(name)s order by seq desc limit 1",
        route=route,
        name=name,
    )


def last_error(engine, route="labels", name="label"):
    """Reason and message."""
    error = followup(engine, route, name).errors[-1]
    return error["reason"], error["message"]


def purchases(engine):
    """In the order in which they were asked for."""
    return rig.rows(engine, "select * from purchases order by asked_at")


def states(engine):
    return [one.state for one in purchases(engine)]


def shipment(engine):
    return rig.one(engine, "select * from shipments")


def history(engine, event):
    """The details of such lines."""
    rows = rig.rows(
        engine, "select details from history where event = %(event)s order by history_id",
        event=event,
    )  # fmt: skip
    return [row.details for row in rows]


def due_now(engine, route="labels"):
    """Let time pass for what waits."""
    rig.run(
        engine,
        "update followups set next_at = now() where route = %(route)s and state = 'pending'",
        route=route,
    )


def void(engine):
    """As the command `void` does: the shipment is called back, its label to be given back."""
    rig.run(engine, "update shipments set voided_at = now()")
    rig.run(
        engine,
        "insert into followups (id, route, name, order_id, command_id, subject_id)"
        " select gen_random_uuid(), 'labels', 'void', order_id, command_id, shipment_id"
        " from shipments",
    )
