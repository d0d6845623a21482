"""JSON objects that know where they stand, so that a refusal can name the field.

Absent, null and empty text are the same. Anything of an unexpected type is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from babel.numbers import list_currencies
from pydantic import BaseModel, ValidationError

from messages.fields import MAX_QUANTITY
from worker.intake.refusal import OrderRefused, Why
from worker.orders.money import BadAmount, decimals, to_minor

_WHOLE = re.compile(r"(\d{1,12})(?:\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)
_AMOUNT = re.compile(r"-?\d{1,12}(?:\.\d{1,12})?", re.ASCII)

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON object, the path to it, and the currency that all money in it must have."""

    value: Mapping[str, Any]
    path: str = ""
    currency: str = ""

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        return self.value.get(key) is not None

    def text(self, key: str) -> str | None:
        value = self.value.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise OrderRefused(Why.INVALID, f"{self.at(key)}: must be text")
        return value.strip() or None

    def id(self, key: str) -> str | None:
        """An id as text, whether upstream writes it as a number or as text."""
        value = self.value.get(key)
        return str(value) if type(value) is int else self.text(key)

    def word(self, key: str, allowed: Sequence[str]) -> str:
        """The text there, which must be one of those allowed."""
        word = self.text(key)
        if word is None or word not in allowed:
            message = f"{self.at(key)}: must be one of {', '.join(allowed)}"
            raise OrderRefused(Why.INVALID, message)
        return word

    def currency_code(self, key: str) -> str:
        code = self.text(key)
        if code not in list_currencies():
            raise OrderRefused(Why.INVALID, f"{self.at(key)}: must be an ISO 4217 code")
        return code

    def flag(self, key: str) -> bool | None:
        """A boolean, or its name, which spreadsheets write in capitals."""
        value = self.value.get(key)
        if isinstance(value, bool):
            return value
        name = (self.text(key) or "").casefold()
        if name not in {"", "true", "false"}:
            raise OrderRefused(Why.INVALID, f"{self.at(key)}: must be true or false")
        return name == "true" if name else None

    def node(self, key: str) -> "Node":
        """The object there; an empty one when there is none."""
        value = self.value.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise OrderRefused(Why.INVALID, f"{self.at(key)}: must be an object")
        return Node(value, self.at(key), self.currency)

    def nodes(self, key: str) -> list["Node"]:
        """The objects of the list there; none when there is no list."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple) or not all(isinstance(v, Mapping) for v in value):
            raise OrderRefused(Why.INVALID, f"{self.at(key)}: must be a list of objects")
        return [
            Node(one, f"{self.at(key)}[{place}]", self.currency) for place, one in enumerate(value)
        ]

    def money(self, key: str) -> int | None:
        """Minor units of the order's currency; None when there is no such money."""
        if not self.has(key):
            return None
        money = self.node(key)
        amount = money.value.get("amount")
        if type(amount) is not int:  # True is an int, too
            raise OrderRefused(
                Why.INVALID, f"{money.at('amount')}: must be a whole number of minor units"
            )
        if money.text("currency") != self.currency:
            message = f"{money.at('currency')}: is not {self.currency}, the currency of the order"
            raise OrderRefused(Why.OTHER_CURRENCY, message)
        return amount

    def decimal(self, key: str) -> int | None:
        """Minor units of an amount with decimals, a text or a number: `"19.90"` is 1990."""
        value = self.value.get(key)
        amount = str(value) if type(value) in {int, float} else self.text(key)
        if amount is None:
            return None
        try:
            if _AMOUNT.fullmatch(amount):
                return to_minor(amount, self.currency)
        except BadAmount:
            pass  # refused below, without repeating it
        message = f"{self.at(key)}: must be an amount of {self.currency} with at most "
        raise OrderRefused(Why.INVALID, f"{message}{decimals(self.currency)} decimals")

    def required(self, key: str, minor: int | None) -> int:
        """The amount that was read there, if there was one; else the order is refused."""
        if minor is None:
            raise OrderRefused(Why.NO_TOTAL, f"{self.at(key)}: is missing")
        return minor

    def required_money(self, key: str) -> int:
        return self.required(key, self.money(key))

    def required_decimal(self, key: str) -> int:
        return self.required(key, self.decimal(key))

    def quantity(self, key: str = "quantity") -> int:
        """Whole units, as a number or, as Square and a CSV write them, a string such as `"3"`."""
        value = self.value.get(key)
        value = str(value) if type(value) is int else value
        if isinstance(value, str):
            if (whole := _WHOLE.fullmatch(value)) and int(whole[1]) <= MAX_QUANTITY:
                return int(whole[1])
            if _DECIMAL.fullmatch(value) and not whole:
                message = f"{self.at(key)}: is a fraction; only whole units can be fulfilled"
                raise OrderRefused(Why.FRACTIONAL_QUANTITY, message)
        raise OrderRefused(
            Why.INVALID, f"{self.at(key)}: must be a whole number from 0 to {MAX_QUANTITY}"
        )

    def moment(self, key: str) -> datetime | None:
        value = self.text(key)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise OrderRefused(Why.INVALID, f"{self.at(key)}: must be a time with its offset")
        return moment


def by_id(nodes: Iterable[tuple[str, Node]], key: str) -> dict[str, Node]:
    """Nodes by their ids, no two of which may be equal. `key` is where the ids stand."""
    found: dict[str, Node] = {}
    for uid, node in nodes:
        if uid in found:
            raise OrderRefused(Why.INVALID, f"{node.at(key)}: is there more than once")
        found[uid] = node
    return found


def make(model: type[M], names: Mapping[str, str], /, **fields: Any) -> M:
    """The model; what it forbids is refused under the name that the field has upstream."""
    try:
        return model(**fields)
    except ValidationError as error:
        found = []
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            path = [str(part) for part in one["loc"]] or [model.__name__]
            name = names.get(".".join(path[:2])) or names.get(path[0], path[0])
            found.append(f"{name}: {one['msg'].removeprefix('Value error, ')}")
        raise OrderRefused(Why.INVALID, "; ".join(dict.fromkeys(found))) from None
