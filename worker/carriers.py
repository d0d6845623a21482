"""The carriers that a shipment may name, by code. A code's meaning is never changed here."""

from typing import Any, Literal

from sqlalchemy import Connection

from messages import NewCarrier

LIST_CARRIERS = """
-- list_carriers
select code, name, tracking_url, added_at from carriers order by code
"""

ADD_CARRIER = """
-- add_carrier
insert into carriers (code, name, tracking_url) values (%(code)s, %(name)s, %(tracking_url)s)
on conflict do nothing returning code
"""

IS_SAME_CARRIER = """
-- is_same_carrier
select name = %(name)s and tracking_url is not distinct from %(tracking_url)s
from carriers where code = %(code)s
"""


def carriers(connection: Connection) -> list[dict[str, Any]]:
    """Every carrier, by code."""
    return [dict(row) for row in connection.exec_driver_sql(LIST_CARRIERS).mappings()]


def add(connection: Connection, carrier: NewCarrier) -> Literal["added", "known", "taken"]:
    """Add the carrier. `known`: it is there already; `taken`: its code means another one."""
    parameters = carrier.model_dump()
    if connection.exec_driver_sql(ADD_CARRIER, parameters).scalar():
        return "added"
    is_same = connection.exec_driver_sql(IS_SAME_CARRIER, parameters).scalar()
    return "known" if is_same else "taken"
