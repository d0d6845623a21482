"""The route of refund parts: ask the provider, end the part.

A part is marked `unknown` before the provider is asked, so that this is what it is whenever nobody
heard the answer, also after a kill. From then on nothing is asked that could pay twice: the same
key while the provider keeps it, then only a look-up.

What is left: a process that stands still after its last look at the clock, in the midst of its
call, until the provider has forgotten the key or others have believed a look-up. That takes as long
as the provider's times say, less our margins: the supervisor has ended the process long before,
unless it stood still with it.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn
from uuid import UUID

from sqlalchemy import Connection, Engine

from messages.wire import REFUNDS
from worker.errors import Terminal, Transient, Uncertain
from worker.orders.model import OPEN
from worker.refunds import provider as told
from worker.refunds.asking import Asked, Step, next_step, pause_s
from worker.refunds.ending import OVERPAID, end
from worker.refunds.provider import MANUAL, Failed, Part, Provider, Settled, Underway
from worker.refunds.providers import Providers
from worker.work.drain import Route
from worker.work.followups import Answer, ByHand, Ended, Later, Task, followups_route
from worker.work.observer import SILENT, Observer

CALL_WITHIN_S: Final = 3.0
"""A process that stood still for longer between its mark and its call does not call any more."""

LOAD_PART: Final = """
-- load_part: ages are on the database's clock, which alone writes and reads these times
select p.part_id, p.order_id, p.payment_id, y.method, p.amount_minor, o.currency, p.state,
  p.provider_id, p.provider,
  extract(epoch from clock_timestamp() - p.asked_at)::float8,
  extract(epoch from clock_timestamp() - p.last_asked_at)::float8
from refund_parts p join orders o using (order_id) join payments y using (order_id, payment_id)
where p.part_id = %(part_id)s
"""

MARK_ASKED: Final = """
-- mark_asked: from now on the provider may have paid
update refund_parts set state = 'unknown', provider = %(provider)s,
  asked_at = coalesce(asked_at, clock_timestamp()), last_asked_at = clock_timestamp()
where part_id = %(part_id)s
"""

FORGET: Final = """
-- forget: it was not asked, or surely nothing came of it
update refund_parts set state = 'pending', provider = null, provider_id = null,
  asked_at = null, last_asked_at = null
where part_id = %(part_id)s and state in ('pending', 'unknown') and provider_id is null
"""

MARK_UNDERWAY: Final = """
-- mark_underway: the provider has it, and has given it a name
update refund_parts set state = 'pending', provider_id = %(provider_id)s
where part_id = %(part_id)s and state in ('pending', 'unknown')
"""


def refunds_route(
    engine: Engine,
    providers: Providers,
    *,
    drainers: int | None = None,
    observer: Observer = SILENT,
    clock: Callable[[], float] = time.monotonic,
) -> Route:
    """Each part is taken to the provider of its payment's method. One at a time, or a slow provider
    would hold the second of a batch beyond its limit.
    """

    def call(task: Task) -> Answer:
        with engine.connect() as connection:
            part, asked = load(connection, task.subject_id)
        if part.state == "overpaid":
            return _again(task, part)
        if part.state not in OPEN:
            return Ended({part.state: part.amount_minor})
        name = asked.provider or providers.name_for(part.method)
        if name == MANUAL:
            return ByHand()
        provider = providers.of(name)
        match next_step(asked, provider):
            case Step.REFUND:
                return _refund(task, part, provider, name, clock)
            case Step.FIND:
                return _find(part, asked, provider, name)

    return followups_route(
        engine, REFUNDS, call, batch_size=1, drainers=drainers, observer=observer
    )


def load(connection: Connection, part_id: UUID) -> tuple[Part, Asked]:
    """The part, and what it has been asked for so far."""
    *columns, provider, asked_s, last_asked_s = connection.exec_driver_sql(
        LOAD_PART, {"part_id": part_id}
    ).one()
    part = Part(*columns)
    return part, Asked(provider, part.provider_id, asked_s, last_asked_s)


def _refund(
    task: Task, part: Part, provider: Provider, name: str, clock: Callable[[], float]
) -> Answer:
    until = clock() + CALL_WITHIN_S
    with task.fenced() as connection:
        # Again: another worker may have asked since we looked, and this one's ages are older.
        _, asked = load(connection, part.part_id)
        if next_step(asked, provider) is not Step.REFUND or asked.provider not in {None, name}:
            return Later(0, "provider")
        connection.exec_driver_sql(MARK_ASKED, {"part_id": part.part_id, "provider": name})
    try:
        if clock() > until:
            _stood_still()
        answer = provider.refund(part)
    except Uncertain:
        raise
    except (Transient, Terminal):
        _unasked(task, part, asked)
        raise
    if isinstance(answer, ByHand):
        _unasked(task, part, asked)
        return answer
    return _heard(part, answer, asked)


def _stood_still() -> NoReturn:
    raise Transient("stood_still", "the process stood still before it asked the provider")


def _unasked(task: Task, part: Part, asked: Asked) -> None:
    """This call paid nothing. If it was the first one, nothing at all has been paid."""
    if asked.ago_s is None:
        with task.fenced() as connection:
            forget(connection, part.part_id)


def _find(part: Part, asked: Asked, provider: Provider, name: str) -> Answer:
    try:
        answer = provider.find(part)
    except Terminal as error:
        raise _unknown_outcome(part, name, str(error)) from error
    if answer is not None:
        return _heard(part, answer, asked)
    if asked.provider_id is not None:
        raise _unknown_outcome(part, name, "it no longer knows a refund that it had taken on")
    wait_s = asked.settles_in_s(provider)
    if wait_s > 0:
        return Later(max(wait_s, 1), "provider")
    # Believed: nothing was paid. Asked afresh, with the same key.
    return Later(0, "provider", write=partial(forget, part_id=part.part_id))


def _heard(part: Part, answer: told.Answer, asked: Asked) -> Answer:
    ending = partial(end, part_id=part.part_id, order_id=part.order_id)
    match answer:
        case Settled(provider_id):
            write = partial(ending, news="settled", provider_id=provider_id)
            return Ended({"settled": part.amount_minor}, write=write)
        case Failed(reason, provider_id):
            write = partial(ending, news="failed", note=reason, provider_id=provider_id)
            return Ended({"failed": part.amount_minor, "reason": reason}, write=write)
        case Underway(provider_id):
            told_of = partial(mark_underway, part_id=part.part_id, provider_id=provider_id)
            return Later(pause_s(asked), "provider", is_heard=True, write=told_of)


def _again(task: Task, part: Part) -> Answer:
    """An overpaid part whose dead letter is replayed: there may be room for it by now."""
    with task.fenced() as connection:
        state = end(connection, part.part_id, part.order_id, "settled")
    if state == "overpaid":
        raise Terminal("overpaid", OVERPAID)
    return Ended({state: part.amount_minor})


def forget(connection: Connection, part_id: UUID) -> None:
    """As if the part had never been asked for."""
    connection.exec_driver_sql(FORGET, {"part_id": part_id})


def mark_underway(connection: Connection, part_id: UUID, provider_id: str) -> None:
    """The provider has the part, and this is its name for it."""
    connection.exec_driver_sql(MARK_UNDERWAY, {"part_id": part_id, "provider_id": provider_id})


def _unknown_outcome(part: Part, name: str, why: str) -> Terminal:
    return Terminal(
        "unknown_outcome",
        f"{name} cannot say what became of the refund ({why}); look there, then say "
        f"`fulfillment refunds settle {part.part_id}` or `fail`",
    )
