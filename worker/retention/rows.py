"""What else is emptied of rows by age: strays, what operators set right, labels nobody waits for;
and the oldest events, which are removed.

Strays, the audit and events are walked in the order of their ids, as commands are in `bodies`; the
others are few and have an index of their own.
"""

from typing import Final

from sqlalchemy import Connection

EMPTIED_ACT: Final = """
  (details #- '{stray,body}') - 'body' - 'changes' || jsonb_strip_nulls(jsonb_build_object(
    'changed', (select jsonb_agg(name) from jsonb_object_keys(details -> 'changes') as name),
    'emptied_at', now()))
"""
"""The details of an act, of a row of `audit`: which fields were changed stays."""

EMPTY_STRAYS: Final = """
-- empty_strays: when it came and why it was not accepted stays
with walk as materialized (
  select greatest(position, %(after)s) as position from retention where what = 'strays' for update
), seen as materialized (
  select stray_id, body <> '' as is_full
  from (
    select stray_id, at, body from strays where stray_id > (select position from walk)
    order by stray_id limit %(limit)s
  ) as next
  where at <= now() - %(days)s * interval '1 day'
), emptied as (
  update strays set body = ''
  where stray_id in (select stray_id from seen where is_full) and not %(dry_run)s
), moved as (
  update retention set position = (select max(stray_id) from seen)
  where what = 'strays' and exists (select from seen) and not %(dry_run)s
)
select (select max(stray_id) from seen), (select count(*) from seen where is_full)
"""

EMPTY_AUDIT: Final = f"""
-- empty_audit: who did what, and when, stays
with walk as materialized (
  select greatest(position, %(after)s) as position from retention where what = 'audit' for update
), seen as materialized (
  select audit_id, details ?| '{{changes,body,stray}}' and not details ? 'emptied_at' as is_full
  from (
    select audit_id, at, details from audit where audit_id > (select position from walk)
    order by audit_id limit %(limit)s
  ) as next
  where at <= now() - %(days)s * interval '1 day'
), emptied as (
  update audit set details = {EMPTIED_ACT}
  where audit_id in (select audit_id from seen where is_full) and not %(dry_run)s
), moved as (
  update retention set position = (select max(audit_id) from seen)
  where what = 'audit' and exists (select from seen) and not %(dry_run)s
)
select (select max(audit_id) from seen), (select count(*) from seen where is_full)
"""  # noqa: S608  # our own columns

REMOVE_EVENTS: Final = """
-- remove_events: the oldest numbers, up to the first that is young; up to which, and until when, is
-- known from then on (`worker/feed`)
with walk as materialized (
  select greatest(position, %(after)s) as position from retention where what = 'events' for update
), seen as materialized (
  select number, at,
    bool_and(at <= now() - %(days)s * interval '1 day') over (order by number) as is_old
  from (
    select number, at from events
    where number is not null and number > (select position from walk)
    order by number limit %(limit)s
  ) as next
), removed as (
  delete from events
  where number is not null and number > (select position from walk)
    and number <= (select max(number) from seen where is_old) and not %(dry_run)s
), moved as (
  update retention set position = (select max(number) from seen where is_old),
    ran_at = greatest(ran_at, (select max(at) from seen where is_old))
  where what = 'events' and exists (select from seen where is_old) and not %(dry_run)s
)
select (select max(number) from seen where is_old), (select count(*) from seen where is_old)
"""

EMPTY_EDITS: Final = """
-- empty_edits: what was set right in follow-ups that have ended; a label's as long as its files are
-- kept, since it would be drawn again with them
with old as materialized (
  select f.id from followups f
  where f.edits is not null and f.state in ('done', 'skipped', 'discarded')
    and f.decided_at <= now() - %(days)s * interval '1 day'
    and (f.route <> 'labels' or not exists (
      select from documents d where d.shipment_id = f.subject_id and d.pruned_at is null))
  order by f.id limit %(limit)s for no key update skip locked
), emptied as (
  update followups set edits = null where id in (select id from old) and not %(dry_run)s
)
select null, (select count(*) from old)
"""

EMPTY_PURCHASES: Final = """
-- empty_purchases: labels as they came, of which no file will be made any more
with old as materialized (
  select p.purchase_id from purchases p
  where p.label is not null and p.state <> 'unknown'
    and p.asked_at <= now() - %(days)s * interval '1 day'
    and not exists (
      select from followups f where f.order_id = p.order_id and f.route = 'labels'
        and f.state in ('pending', 'dead'))
  order by p.purchase_id limit %(limit)s for no key update skip locked
), emptied as (
  update purchases set label = null
  where purchase_id in (select purchase_id from old) and not %(dry_run)s
)
select null, (select count(*) from old)
"""

# Rows of a job are emptied from its first to its last; the job remembers where that stands.
EMPTY_JOB_ROWS: Final = """
-- empty_job_rows: cells as they came, of jobs that have ended; what became of the row stays
with old as materialized (
  select j.id, j.emptied from jobs j
  where j.state in ('done', 'cancelled') and j.emptied < j.last_row
    and j.decided_at <= now() - %(days)s * interval '1 day'
  order by j.id for no key update skip locked
), next as materialized (
  select r.job_id, r.row from old
  join job_rows r on r.job_id = old.id and r.row > old.emptied
  order by r.job_id, r.row limit %(limit)s
), emptied as (
  update job_rows r set cells = null
  from next where r.job_id = next.job_id and r.row = next.row and not %(dry_run)s
), moved as (
  update jobs j set emptied = upto.row
  from (select job_id, max(row) as row from next group by job_id) as upto
  where j.id = upto.job_id and not %(dry_run)s
)
select null, (select count(*) from next)
"""

REMOVE_TRACES: Final = """
-- remove_traces: of commands whose bodies are as old; nobody follows a trace for so long
with old as materialized (
  select command_id from traces where at <= now() - %(days)s * interval '1 day'
  order by at limit %(limit)s
), removed as (
  delete from traces where command_id in (select command_id from old) and not %(dry_run)s
)
select null, (select count(*) from old)
"""

REMOVE_SIGN_INS: Final = """
-- remove_sign_ins: sessions and links of the console that are over, and tries that no longer count
with sessions as (
  delete from user_sessions where expires_at <= now() and not %(dry_run)s
), links as (
  delete from sign_in_links where expires_at <= now() and not %(dry_run)s
), tries as (
  delete from sign_in_tries where since <= now() - interval '1 day' and not %(dry_run)s
)
select null, (select count(*) from user_sessions where expires_at <= now())
  + (select count(*) from sign_in_links where expires_at <= now())
  + (select count(*) from sign_in_tries where since <= now() - interval '1 day')
"""


def empty(
    connection: Connection, statement: str, after: int, *, days: int, limit: int, dry_run: bool
) -> tuple[int | None, int]:
    """Empty the next rows, or count them: up to where, None at the end; and how many."""
    parameters = {"after": after, "days": days, "limit": limit, "dry_run": dry_run}
    row = connection.exec_driver_sql(statement, parameters).one()
    return row[0], row[1]
