"""What is left of a command's body once it is emptied.

Who issued it stays, and whether the customer is to be told, for a refund may end late. A body that
holds its `command_id` is whole: no door takes one without it.
"""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

EMPTIED: Final = """
  jsonb_strip_nulls(jsonb_build_object(
    'emptied_at', now(),
    'issued_by', left(body ->> 'issued_by', 255),
    'notify_customer', case when body -> 'notify_customer' = 'false' then false end))
"""
"""A column, of a row of `commands`."""

EMPTY: Final = f"""
-- empty: what was refused with its body gone
update commands set body = {EMPTIED} where id = any(%(ids)s)
"""  # noqa: S608  # our own column


def empty(connection: Connection, command_ids: Collection[UUID]) -> None:
    """Empty the bodies of commands whose rows the transaction has locked."""
    connection.exec_driver_sql(EMPTY, {"ids": sorted(command_ids)})
