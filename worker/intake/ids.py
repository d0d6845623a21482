"""Ids that a second import of the same order gives again."""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic import TypeAdapter, ValidationError

from messages import Place, PlacedOrder
from messages.fields import Id
from worker.intake.refusal import OrderRefused, Why
from worker.orders.intake import take_in
from worker.orders.model import Rejection

PLACE: Final = UUID("5d0f4f0e-6c1b-5a53-9d3e-0d6f2f9f5b71")
"""Namespace of `place` commands made by an import. Frozen: another one would import all twice."""

_ID: TypeAdapter[str] = TypeAdapter(Id)


def place_id(order_id: str, body: Mapping[str, Any]) -> UUID:
    """The id of the command that places this content: of equal content always the same."""
    content = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return uuid5(PLACE, f"{order_id}\n{content}")


def is_id(value: object) -> bool:
    """Whether it is an id of the contract."""
    try:
        _ID.validate_python(value)
    except ValidationError:
        return False
    return isinstance(value, str)


def created_id(order_id: str | None) -> str:
    """The `id` that upstream gave the order.

    Raises:
      OrderRefused: It gave none, or one that is no id of the contract.
    """
    if order_id is None:
        raise OrderRefused(Why.NO_ID, "id: is missing; only an order that was created has one")
    if not is_id(order_id):
        raise OrderRefused(Why.INVALID, "id: must be letters, digits and ._:-, at most 64")
    return order_id


def place(order_id: str, order: PlacedOrder) -> Place:
    """The command that places the order, if the rules would take it.

    Raises:
      OrderRefused: They would not; this is the function that the worker asks as well.
    """
    command_id = place_id(order_id, order.model_dump(mode="json", exclude_defaults=True))
    taken = take_in(order_id, command_id, order)
    if isinstance(taken, Rejection):
        raise OrderRefused(taken.reason, taken.message)
    return Place(command_id=command_id, order_id=order_id, order=order)
