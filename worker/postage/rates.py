"""How often a carrier may be called, for the whole cluster: each call takes a turn, in PostgreSQL.

The generic cell rate algorithm, without a burst: one row says when the next turn is.
"""

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

PATIENCE_S: Final = 1.0
"""A turn that is nearer is waited for; for others the work is put off."""

TAKE: Final = """
-- take: the next turn, unless it is too far away; how far, and whether it is ours
with turn as (
  insert into call_rates as r (name, next_at)
  values (%(name)s, now() + %(step_s)s * interval '1 second')
  on conflict (name) do update
    set next_at = greatest(r.next_at, now()) + %(step_s)s * interval '1 second'
    where r.next_at <= now() + %(patience_s)s * interval '1 second'
  returning next_at - %(step_s)s * interval '1 second' as at
)
select extract(epoch from at - now())::float8, true from turn
union all
select extract(epoch from next_at - now())::float8, false from call_rates
where name = %(name)s and not exists (select from turn)
"""

HOLD: Final = """
-- hold: nobody's turn comes before this
insert into call_rates as r (name, next_at)
values (%(name)s, now() + %(after_s)s * interval '1 second')
on conflict (name) do update set next_at = greatest(r.next_at, excluded.next_at)
"""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of one `name`, `per_s` a second."""

    engine: Engine
    name: str
    per_s: float
    patience_s: float = PATIENCE_S

    def take(self) -> float | None:
        """Wait for a turn; None once it has come, or after how many seconds to ask again."""
        parameters = {
            "name": self.name,
            "step_s": 1 / self.per_s,
            "patience_s": self.patience_s,
        }
        with self.engine.begin() as connection:
            found = connection.exec_driver_sql(TAKE, parameters).first()
        # None: another session made the row at this moment.
        wait_s, is_ours = found or (self.patience_s, False)
        if not is_ours:
            return float(wait_s)
        time.sleep(max(0.0, wait_s))
        return None

    def hold(self, after_s: float) -> None:
        """Let nobody call for so many seconds, as the other side asked."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(HOLD, {"name": self.name, "after_s": after_s})
