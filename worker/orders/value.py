"""What the rules pass around: immutable for whoever writes code, cheap for whoever runs it."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A slotted dataclass that the type checker holds frozen and the interpreter does not.

    A dataclass that is frozen when it runs takes seven times as long to make (3.2 us instead of
    0.4 us with 13 fields), and a batch makes thousands: an eighth of the worker's time.
    """
    return dataclass(slots=True)(cls)
