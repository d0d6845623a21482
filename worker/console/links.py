"""Links that sign a user in, once, within ten minutes; only the hash of a link's token is kept."""

import secrets
from typing import Final

from sqlalchemy import Connection

from worker.console.sessions import digest
from worker.work.audit import Act, record

VALID_S: Final = 600

MAKE_LINK = """
-- make_link
insert into sign_in_links (sha256, user_name, expires_at)
select %(sha256)s, name, now() + make_interval(secs => %(valid_s)s)
from users where name = %(name)s
returning user_name
"""

FIND_LINK = """
-- find_link
select user_name from sign_in_links where sha256 = %(sha256)s and expires_at > now()
"""

USE_LINK = """
-- use_link: of those who come at once, one deletes it
delete from sign_in_links where sha256 = %(sha256)s and expires_at > now() returning user_name
"""


def make(connection: Connection, actor: str, name: str) -> str | None:
    """The path of a link for the user; None if there is no such user."""
    token = secrets.token_urlsafe(32)
    row = {"sha256": digest(token), "name": name, "valid_s": VALID_S}
    if connection.exec_driver_sql(MAKE_LINK, row).first() is None:
        return None
    record(connection, actor, [Act("user_link_made", details={"name": name})])
    return f"/sign-in/{token}"


def find(connection: Connection, token: str) -> str | None:
    """Whom the link is for; None if it is no link any more."""
    name: str | None = connection.exec_driver_sql(FIND_LINK, {"sha256": digest(token)}).scalar()
    return name


def use(connection: Connection, token: str) -> str | None:
    """Likewise, and it is none from now on."""
    name: str | None = connection.exec_driver_sql(USE_LINK, {"sha256": digest(token)}).scalar()
    return name
