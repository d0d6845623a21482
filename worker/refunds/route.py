"""The route of refund parts: ask the provider, end the part."""

from functools import partial
from typing import Final

from sqlalchemy import Engine

from messages.wire import REFUNDS
from worker.refunds.ending import end
from worker.refunds.provider import Failed, Part, Provider, Settled, Underway
from worker.work.drain import Route
from worker.work.followups import Answer, ByHand, Ended, Later, Task, followups_route
from worker.work.observer import SILENT, Observer

LOAD_PART: Final = """
-- load_part
select p.part_id, p.order_id, p.payment_id, y.method, p.amount_minor, o.currency, p.state
from refund_parts p join orders o using (order_id) join payments y using (order_id, payment_id)
where p.part_id = %(part_id)s
"""


def refunds_route(engine: Engine, provider: Provider, *, observer: Observer = SILENT) -> Route:
    """Parts are taken to this provider."""

    def call(task: Task) -> Answer:
        with engine.connect() as connection:
            row = connection.exec_driver_sql(LOAD_PART, {"part_id": task.subject_id}).one()
        part = Part(*row)
        if part.state in {"settled", "failed"}:
            return Ended({part.state: part.amount_minor})
        match provider.refund(part):
            case Settled():
                write = partial(end, part_id=part.part_id, order_id=part.order_id, state="settled")
                return Ended({"settled": part.amount_minor}, write=write)
            case Failed(reason):
                write = partial(
                    end, part_id=part.part_id, order_id=part.order_id, state="failed", note=reason
                )
                return Ended({"failed": part.amount_minor, "reason": reason}, write=write)
            case Underway():
                return Later(60, "provider")
            case ByHand() as answer:
                return answer

    return followups_route(engine, REFUNDS, call, observer=observer)
