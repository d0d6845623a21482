"""What importing a file of orders would come to; nothing is written.

An order that the file holds twice is compared with what is here, not with its first form.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from sqlalchemy import Engine

from messages import Place
from worker.intake.reading import read_orders
from worker.intake.refusal import Refused
from worker.intake.refusals import Refusals
from worker.orders.model import Decision, Rejection
from worker.work.accept import Receipt
from worker.work.preview import preview

CHUNK: Final = 500


@dataclass(slots=True)
class Foreseen:
    """What would become of a file's orders."""

    new: int = 0
    changed: int = 0
    """They are here, and would get more lines or payments, or another hold."""
    unchanged: int = 0
    """They are here, and nothing about them is new."""
    refused: Refusals = field(default_factory=Refusals)


def foresee(
    engine: Engine,
    stream: BinaryIO,
    *,
    grace_s: float,
    progress: Callable[[int], None] = lambda _: None,
) -> Foreseen:
    """Judge the orders of a file as a worker would; `progress` is told how many, now and then."""
    foreseen = Foreseen()
    chunk: list[tuple[int, Place]] = []
    position = 0
    for position, found in enumerate(read_orders(stream), start=1):
        if isinstance(found, Refused):
            foreseen.refused.append(found)
        else:
            chunk.append((position, found))
        if len(chunk) == CHUNK:
            _judge(engine, chunk, foreseen, grace_s)
            progress(position)
            chunk = []
    _judge(engine, chunk, foreseen, grace_s)
    progress(position)
    return foreseen


def _judge(
    engine: Engine, chunk: list[tuple[int, Place]], foreseen: Foreseen, grace_s: float
) -> None:
    previews = preview(engine, [place for _, place in chunk], grace_s=grace_s)
    for (position, place), one in zip(chunk, previews, strict=True):
        match one.verdict:
            case Decision(outcome=outcome) if outcome.order_version == 1 and outcome.changed:
                foreseen.new += 1
            case Decision(outcome=outcome) if outcome.changed:
                foreseen.changed += 1
            case Decision() | Receipt(answer="known"):
                foreseen.unchanged += 1
            case Rejection(reason=reason, message=message):
                foreseen.refused.append(Refused(position, place.order_id, reason, message))
            case _:
                message = "its id belongs to another command"
                foreseen.refused.append(Refused(position, place.order_id, "id_reused", message))
