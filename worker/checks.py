"""What is known against replaying follow-ups, by route: asked by a dry run, before anybody replays.

A line for each route; one that is not here has nothing to say.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import EMAILS, LABELS, REFUNDS
from worker.errors import Terminal
from worker.labels.bought import order_of
from worker.labels.facts import parcel
from worker.plugins import CannotUse
from worker.postage.buying import unknown_outcome
from worker.postage.purchases import look
from worker.refunds.ending import OVERPAID, would_fit
from worker.settings import settings
from worker.work.followups import Task
from worker.work.prospects import Check

CUSTOMER = """
-- customer: whether an e-mail can reach anybody
select customer_opted_out, customer_email is not null from orders where order_id = %(order_id)s
"""

PART = """
-- part: how far a refund part is
select state from refund_parts where part_id = %(part_id)s
"""


def email(connection: Connection, task: Task) -> str | None:
    """Why no e-mail would go out: the customer wants none, or nobody knows an address."""
    row = connection.exec_driver_sql(CUSTOMER, {"order_id": task.order_id}).one()
    opted_out, has_address = row
    if opted_out:
        return "skipped: the customer wants no e-mails"
    if not has_address and "to" not in task.edits:
        return "skipped: the order has no e-mail address; give one with --set to=ADDRESS"
    return None


def label(connection: Connection, task: Task) -> str | None:
    """Why no label can be drawn: an address that lacks something, or no number left for it. Or why
    none can be bought, as far as that is known here.
    """
    from worker.labels.printer import Printer  # noqa: PLC0415  # slow, and few dry runs need it
    from worker.postage.adapters import adapters  # noqa: PLC0415  # likewise

    if task.name not in {"label", "relabel"}:
        return None
    facts = parcel(connection, task.subject_id)
    shipment = look(connection, task.subject_id)
    if facts is None or shipment is None:
        return "the shipment is not here"
    config = settings()
    try:
        if not shipment.wants(config.carrier_adapters):
            Printer(config).draw(facts, "label_zpl")
        elif shipment.kept is None and not shipment.is_voided:
            known = adapters(config)
            for one in shipment.unknown:
                adapter = known.get(one.carrier)
                if adapter is None or not adapter.can_find:
                    raise unknown_outcome(shipment, one)
            order_of(config, facts, UUID(int=0), shipment)
    except Terminal as error:
        return f"{error.reason}: {error}"
    except CannotUse as error:
        return str(error)
    return None


def refund(connection: Connection, task: Task) -> str | None:
    """Why an overpaid refund would stay so: what it was for is still given out."""
    (state,) = connection.exec_driver_sql(PART, {"part_id": task.subject_id}).one()
    if state == "overpaid" and not would_fit(connection, task.subject_id, task.order_id):
        return f"overpaid: {OVERPAID}"
    return None


CHECKS: Final[Mapping[str, Check]] = {EMAILS: email, LABELS: label, REFUNDS: refund}
