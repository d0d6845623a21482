"""What became of a job's rows, read from their commands: nothing is stored twice."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from worker.jobs.rows import Result
from worker.orders.value import value

# A subquery of its own for each row: a join may be hashed, and that reads all commands.
_FATE: Final = """
from jobs j
join job_rows r on r.job_id = j.id
left join lateral (
  select c.state, c.outcome, c.dead_reason from commands c where c.id = r.command_id limit 1
) as c on true
cross join lateral (
  select
    coalesce(r.foreseen ->> 'result', case
      when r.problem is not null then 'refused'
      when c.state = 'pending' then 'waiting'
      when c.state is not null then c.state
      when j.state in ('cancelled', 'dead') then 'not sent'
      else 'waiting' end) as result,
    coalesce(r.foreseen ->> 'reason', c.outcome ->> 'reason', c.dead_reason) as reason,
    coalesce(r.foreseen ->> 'message', r.problem, c.outcome ->> 'message') as message
) as fate
where j.id = %(job_id)s
"""

RESULTS: Final = f"""
-- results: in the file's order
select r.row, r.order_id, nullif(r.line, ''), nullif(r.sku, ''), r.quantity, fate.result,
  fate.reason, fate.message, r.command_id, r.is_repeated
{_FATE}
  and (%(is_all)s or fate.result not in ('applied', 'waiting'))
order by r.row limit %(limit)s
"""  # constants

BACK: Final = f"""
-- back: rows that were not applied, and will not be, as they came
select r.row, r.cells,
  coalesce(nullif(concat_ws(': ', fate.reason, fate.message), ''), fate.result)
  || case when r.is_repeated and fate.result = 'rejected'
     then '; it was sent before: with another batch it is judged again' else '' end
{_FATE}
  and fate.result not in ('applied', 'waiting')
order by r.row
"""  # constants

# A refusal's sentence names its field first; some name a row or a line, which would be a kind each.
COUNTS: Final = f"""
-- counts: by result and reason
select result, reason, count(*) from (
  select fate.result,
    coalesce(fate.reason, case when fate.result = 'refused' then case
      when fate.message like 'row %% of the same shipment is refused' then 'same shipment'
      when fate.message like 'line %% is in this shipment already, %%' then 'line twice'
      when fate.message like 'has %% cells, %%' then 'number of cells'
      else left(split_part(fate.message, ':', 1), 64) end end) as reason
  {_FATE}
) as fates
group by result, reason order by count(*) desc, result, reason
"""  # noqa: S608  # constants


@value
class Counts:
    """How many rows came to what."""

    reasons: dict[str, dict[str, int]]
    """By result and reason; an empty reason where there is none."""

    @property
    def results(self) -> Counter[str]:
        """By result."""
        return Counter({result: sum(by.values()) for result, by in self.reasons.items()})


def counts(connection: Connection, job_id: UUID) -> Counts:
    """How many of the job's rows came to what."""
    reasons: dict[str, dict[str, int]] = {}
    for result, reason, count in connection.exec_driver_sql(COUNTS, {"job_id": job_id}):
        reasons.setdefault(result, {})[reason or ""] = count
    return Counts(reasons)


def results(
    connection: Connection, job_id: UUID, *, is_all: bool, limit: int | None = None
) -> Iterator[Result]:
    """What became of each row, in the file's order; not of all: of those that were not applied."""
    parameters = {"job_id": job_id, "is_all": is_all, "limit": limit}
    for row in _streamed(connection, RESULTS, parameters):
        yield Result(*row)


def not_applied(connection: Connection, job_id: UUID) -> Iterator[tuple[int, str | None, str]]:
    """Rows to be corrected: number, cells as JSON, and why."""
    yield from _streamed(connection, BACK, {"job_id": job_id})


def _streamed(connection: Connection, statement: str, parameters: dict[str, Any]) -> Iterator[Any]:
    streamed = {"stream_results": True, "max_row_buffer": 500}
    with connection.exec_driver_sql(statement, parameters, execution_options=streamed) as rows:
        yield from rows
