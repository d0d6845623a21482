"""How people name shipments: by id, or by the number that stands on the label."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from worker.cli.exits import Code, Failure
from worker.cli.show import plain
from worker.store import reading

_BIGINT_DIGITS: Final = 19
"""So many digits may be more than PostgreSQL's bigint holds."""


def named_shipments(connection: Connection, asked: Iterable[str]) -> dict[UUID, str]:
    """The order of each shipment by its id, in the order named, each once.

    Raises:
      Failure: One is not here; the message says which.
    """
    keys = {one: _key(one) for one in asked}
    found = reading.shipments(
        connection,
        ids=[key for key in keys.values() if isinstance(key, UUID)],
        numbers=[key for key in keys.values() if isinstance(key, int)],
    )
    if missing := [plain(one) for one, key in keys.items() if key not in found]:
        raise Failure(f"no such shipment: {', '.join(missing)}", Code.NOT_FOUND)
    return dict(found[key] for key in keys.values())


def _key(asked: str) -> UUID | int:
    if asked.isascii() and asked.isdigit() and len(asked) < _BIGINT_DIGITS:
        return int(asked)
    try:
        return UUID(asked)
    except ValueError:
        raise Failure(f"no such shipment: {plain(asked)}", Code.NOT_FOUND) from None
