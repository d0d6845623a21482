"""How people name shipments: by id, or by the number that stands on the label."""

from typing import Final
from uuid import UUID

from worker.cli.exits import Code, Failure
from worker.cli.show import plain

_BIGINT_DIGITS: Final = 19
"""So many digits may be more than PostgreSQL's bigint holds."""


def shipment_key(asked: str) -> UUID | int:
    """The id or the number.

    Raises:
      Failure: It is neither.
    """
    if asked.isascii() and asked.isdigit() and len(asked) < _BIGINT_DIGITS:
        return int(asked)
    try:
        return UUID(asked)
    except ValueError:
        raise Failure(f"no such shipment: {plain(asked)}", Code.NOT_FOUND) from None
