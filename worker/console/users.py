"""Users of the console: who they are and what they may do. Each act is in the audit."""

import re
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection

from worker.work.audit import Act, record

Role = Literal["viewer", "agent", "operator"]
"""Each may do what those before may: look; act on orders; keep it running."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")

ADD_USER = """
-- add_user
insert into users (name, role) values (%(name)s, %(role)s) on conflict do nothing returning name
"""

LIST_USERS = """
-- list_users
select u.name, u.role, u.added_at, u.signed_in_at from users u order by u.name
"""

HAS_USERS = """
-- has_users
select exists (select from users)
"""

REMOVE_USER = """
-- remove_user: with password, sessions and links
delete from users where name = %(name)s returning name
"""

GIVE_ROLE = """
-- give_role: it counts from the user's next request on
update users set role = %(role)s where name = %(name)s returning name
"""

KEEP_HASH = """
-- keep_hash
insert into user_passwords (user_name, hash)
select name, %(hash)s from users where name = %(name)s
on conflict (user_name) do update set hash = excluded.hash
returning user_name
"""

END_SESSIONS = """
-- end_sessions: of a user, on all machines
delete from user_sessions where user_name = %(name)s
"""

FIND_HASH = """
-- find_hash
select hash from user_passwords where user_name = %(name)s
"""


def cleaned(name: str) -> str | None:
    """A name as it is kept; None if it can be nobody's."""
    name = name.strip().lower()
    return name if NAME.fullmatch(name) else None


def may(role: Role, needed: Role) -> bool:
    """Whether who has the one role may do what takes the other."""
    return ROLES.index(role) >= ROLES.index(needed)


def add(connection: Connection, actor: str, name: str, role: Role) -> bool:
    """Add a user, who cannot sign in yet; False if the name is taken."""
    given = {"name": name, "role": role}
    return _changed(connection, ADD_USER, given, actor, Act("user_added", details=given))


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All users, without what they sign in with."""
    return [dict(row) for row in connection.exec_driver_sql(LIST_USERS).mappings()]


def are_there(connection: Connection) -> bool:
    """Whether there is any user."""
    return bool(connection.exec_driver_sql(HAS_USERS).scalar_one())


def remove(connection: Connection, actor: str, name: str) -> bool:
    """Remove a user, who is signed out at once; False if there is none."""
    given = {"name": name}
    return _changed(connection, REMOVE_USER, given, actor, Act("user_removed", details=given))


def give_role(connection: Connection, actor: str, name: str, role: Role) -> bool:
    """Let a user do more, or less; False if there is none."""
    given = {"name": name, "role": role}
    return _changed(connection, GIVE_ROLE, given, actor, Act("user_role_given", details=given))


def set_password(connection: Connection, actor: str, name: str, kept: str) -> bool:
    """Give a user a password, of which `kept` is the hash, and end the user's sessions; False if
    there is no such user.
    """
    act = Act("user_password_set", details={"name": name})
    if not _changed(connection, KEEP_HASH, {"name": name, "hash": kept}, actor, act):
        return False
    connection.exec_driver_sql(END_SESSIONS, {"name": name})
    return True


def keep_password(connection: Connection, name: str, kept: str) -> None:
    """Keep the same password's hash as it would be made now."""
    connection.exec_driver_sql(KEEP_HASH, {"name": name, "hash": kept})


def password_of(connection: Connection, name: str) -> str | None:
    """The hash of the user's password; None without one."""
    kept: str | None = connection.exec_driver_sql(FIND_HASH, {"name": name}).scalar()
    return kept


def _changed(
    connection: Connection, statement: str, parameters: dict[str, Any], actor: str, act: Act
) -> bool:
    if connection.exec_driver_sql(statement, parameters).first() is None:
        return False
    record(connection, actor, [act])
    return True
