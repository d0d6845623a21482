"""Sessions: who is signed in, by a token in a cookie of which only the hash is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from worker.console.users import Role, may
from worker.work.audit import Act, record

IDLE_S: Final = 2 * 3600
"""Who asks for nothing for so long is signed out."""
LONGEST_S: Final = 12 * 3600
"""Since the sign-in, whatever is done: a working day."""

BEGIN_SESSION = """
-- begin_session
with seen as (
  update users set signed_in_at = now() where name = %(name)s returning name
), gone as (
  delete from user_sessions where user_name = %(name)s and expires_at <= now()
)
insert into user_sessions (sha256, user_name, expires_at)
select %(sha256)s, name, now() + make_interval(secs => %(idle_s)s) from seen
"""

FIND_SESSION = """
-- find_session
select u.name, u.role, s.seen_at < now() - interval '1 minute'
from user_sessions s join users u on u.name = s.user_name
where s.sha256 = %(sha256)s and s.expires_at > now()
"""

SEEN_SESSION = """
-- seen_session: once a minute; who finds it locked leaves it to the other
update user_sessions set seen_at = now(), expires_at = least(
  now() + make_interval(secs => %(idle_s)s), begun_at + make_interval(secs => %(longest_s)s))
where sha256 = (
  select sha256 from user_sessions where sha256 = %(sha256)s for no key update skip locked)
"""

END_SESSION = """
-- end_session
delete from user_sessions where sha256 = %(sha256)s returning user_name
"""


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in."""

    name: str
    role: Role

    def may(self, needed: Role) -> bool:
        """Whether the user may do what takes this role."""
        return may(self.role, needed)


def begin(connection: Connection, name: str, *, by: str) -> str:
    """Sign the user in, `by` a password or a link; the token, which is kept nowhere."""
    token = secrets.token_urlsafe(32)
    row = {"name": name, "sha256": digest(token), "idle_s": IDLE_S}
    connection.exec_driver_sql(BEGIN_SESSION, row)
    record(connection, name, [Act("signed_in", details={"by": by})])
    return token


def find(connection: Connection, token: str) -> User | None:
    """Who has this token; None once the session is over. Each statement is a transaction."""
    sha256 = digest(token)
    row = connection.exec_driver_sql(FIND_SESSION, {"sha256": sha256}).first()
    if row is None:
        return None
    name, role, is_stale = row
    if is_stale:
        limits = {"sha256": sha256, "idle_s": IDLE_S, "longest_s": LONGEST_S}
        connection.exec_driver_sql(SEEN_SESSION, limits)
    return User(name, role)


def end(connection: Connection, token: str) -> None:
    """Sign out who has this token."""
    name = connection.exec_driver_sql(END_SESSION, {"sha256": digest(token)}).scalar()
    if name is not None:
        record(connection, name, [Act("signed_out")])


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
