"""How often a name or an address may try to sign in; counted in the database for all processes.

A try is counted before the password is looked at, so many at once are no way round; a right one
takes its name's count away. What is counted ends a quarter of an hour after it began, whatever
comes meanwhile: nobody is kept out for longer by others.
"""

import hashlib
from typing import Final

from sqlalchemy import Connection

WINDOW_S: Final = 15 * 60
PER_NAME: Final = 10
PER_ADDRESS: Final = 50
"""More: many may sit behind one."""

TRY = """
-- try_to_sign_in: in one order, so that two never wait for each other
insert into sign_in_tries as t (sha256, count)
select sha256, 1 from unnest(%(keys)s::bytea[]) as sha256 order by sha256
on conflict (sha256) do update set
  count = case when t.since <= now() - make_interval(secs => %(window_s)s) then 1
    else least(t.count, 1000000) + 1 end,
  since = case when t.since <= now() - make_interval(secs => %(window_s)s) then now()
    else t.since end
returning sha256, count,
  ceil(extract(epoch from since + make_interval(secs => %(window_s)s) - now()))::integer
"""

FORGET_TRIES = """
-- forget_tries
delete from sign_in_tries where sha256 = %(key)s
"""


def wait_s(connection: Connection, name: str, address: str) -> int:
    """Count a try; 0 if it may be made, else in how many seconds the next may."""
    most = {_key("name", name): PER_NAME, _key("address", address): PER_ADDRESS}
    parameters = {"keys": list(most), "window_s": WINDOW_S}
    found = connection.exec_driver_sql(TRY, parameters).all()
    too_many = [max(1, left_s) for key, count, left_s in found if count > most[bytes(key)]]
    return max(too_many, default=0)


def forget(connection: Connection, name: str) -> None:
    """The name's user has signed in."""
    connection.exec_driver_sql(FORGET_TRIES, {"key": _key("name", name)})


def _key(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind} {text}".encode(errors="surrogatepass")).digest()
