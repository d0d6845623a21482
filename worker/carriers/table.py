"""The shop's carriers: those that a shipment may name, by code.

Begins with the common ones (migration 0006). A code never comes to mean another carrier.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection

from messages import NewCarrier
from worker.carriers.registry import code_of, letters, means

LIST_CARRIERS = """
-- list_carriers
select code, name, tracking_url, added_at from carriers
where %(search)s::text is null
  or strpos(lower(code), lower(%(search)s)) > 0 or strpos(lower(name), lower(%(search)s)) > 0
order by code
"""

ADD_CARRIER = """
-- add_carrier
insert into carriers (code, name, tracking_url) values (%(code)s, %(name)s, %(tracking_url)s)
on conflict (code) do update set tracking_url = excluded.tracking_url
where carriers.name = excluded.name and excluded.tracking_url <> coalesce(carriers.tracking_url, '')
returning xmax = 0 as is_new
"""

NAME_OF_CARRIER = """
-- name_of_carrier
select name from carriers where code = %(code)s
"""


def carriers(connection: Connection, search: str | None = None) -> list[dict[str, Any]]:
    """The carriers by code: all, or those with the text in their code or name."""
    rows = connection.exec_driver_sql(LIST_CARRIERS, {"search": search})
    return [dict(row) for row in rows.mappings()]


def names(connection: Connection) -> dict[str, str]:
    """What the carriers are called, by code."""
    return {one["code"]: one["name"] for one in carriers(connection)}


def add(
    connection: Connection, carrier: NewCarrier
) -> Literal["added", "changed", "known", "taken"]:
    """Add the carrier, or give it another tracking page.

    `known`: it is there already, and no other page was given; `taken`: its code means another one.
    """
    parameters = carrier.model_dump()
    row = connection.exec_driver_sql(ADD_CARRIER, parameters).one_or_none()
    if row:
        return "added" if row.is_new else "changed"
    name = connection.exec_driver_sql(NAME_OF_CARRIER, parameters).scalar()
    return "known" if name == carrier.name else "taken"


def naming(connection: Connection) -> Callable[[str], str | None]:
    """How a carrier that somebody wrote as code or name, however spelt, comes to its code: None
    where the shop has none of that name, or several.
    """
    names = {row["code"]: row["name"] for row in carriers(connection)}
    codes: dict[str, list[str]] = {}
    for code, name in names.items():
        codes.setdefault(letters(name), []).append(code)

    @cache
    def find(written: str) -> str | None:
        if written in names:
            return written
        if found := codes.get(letters(written)):
            return found[0] if len(found) == 1 else None
        common = code_of(written)
        return common if common and means(common, names.get(common, "")) else None

    return find


def close_to(connection: Connection, code: str) -> list[str]:
    """Codes that somebody may have meant who wrote one that is not known; none if it is."""
    codes = {row["code"]: row["name"] for row in carriers(connection)}
    if code in codes:
        return []
    common = code_of(code)
    return [common] if common and common in codes else get_close_matches(code, codes, cutoff=0.7)
