-- What became of commands and of what followed from them, for others to follow. An event is written by
-- the transaction that ends the work, and numbered once that is committed: positions are given out
-- earlier, and become visible out of order. Nobody's name, address or words are in it, so that it need
-- not be emptied when an order is forgotten.
create table events (
  position    bigint not null generated always as identity,
  number      bigint,
  at          timestamptz not null default now(),
  type        text not null,
  order_id    text not null,
  command_id  uuid not null,
  subject_id  uuid,
  data        jsonb not null
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);

create index events_unnumbered on events (position) where number is null;
create unique index events_by_number on events (number) where number is not null;
create index events_of_order on events (order_id, number) where number is not null;

-- How far the oldest have been removed, and until when: before this, nothing was told.
insert into retention (what, position, ran_at) values ('events', 0, now());

-- Number what is committed, in the order in which it was written: an order's events were written one
-- after the other, behind its lock. Whoever numbers holds the lock until its commit, and finds the
-- rows in a statement after it, so numbers become visible in their own order and none is given twice.
-- With `patient` what others are numbering is waited for, up to `lock_timeout`. The plan is pinned: by
-- statistics as many rows may have no number as were taken, and then it would read all of the table.
create function number_events(most integer, patient boolean) returns integer
  language plpgsql
  set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  done integer;
begin
  perform from events where number is null limit 1;
  if not found then
    return 0;
  elsif patient then
    begin
      perform pg_advisory_xact_lock(hashtext('fulfillment events'));
    exception when lock_not_available then
      return 0;
    end;
  elsif not pg_try_advisory_xact_lock(hashtext('fulfillment events')) then
    return 0;
  end if;
  with last as materialized (
    select coalesce(
      (select max(number) from events where number is not null),
      (select position from retention where what = 'events'), 0) as number
  ), next as materialized (
    select ctid, row_number() over (order by position) as n
    from (
      select ctid, position from events where number is null order by position limit most
    ) as unnumbered
  )
  update events e set number = last.number + next.n
  from next, last where e.ctid = next.ctid;
  get diagnostics done = row_count;
  return done;
end
$$;
revoke all on function number_events (integer, boolean) from public;

-- Applied and rejected commands are told by the statement that decides them (write_batch), which takes
-- 2 us of 100 for each; a trigger took 17. These are the other ways to end, which are rare.
create function tell_command() returns trigger
  language plpgsql
as $$
begin
  insert into events (type, order_id, command_id, data)
  values ('command.' || new.state, new.order_id, new.id, jsonb_build_object(
    'kind', new.kind,
    'outcome', jsonb_strip_nulls(jsonb_build_object(
      'state', new.state,
      'reason', new.dead_reason,
      'replaced_by', new.outcome -> 'replaced_by'))));
  return null;
end
$$;
revoke all on function tell_command from public;
create trigger told after update of state on commands for each row
  when (new.state in ('dead', 'discarded') and old.state is distinct from new.state)
  execute function tell_command();

create function tell_followup() returns trigger
  language plpgsql
as $$
begin
  insert into events (type, order_id, command_id, subject_id, data)
  values (
    rtrim(new.route, 's') || '.' || new.state, new.order_id, new.command_id, new.subject_id,
    jsonb_build_object(
      'followup_id', new.id,
      'name', new.name,
      'outcome', jsonb_strip_nulls(jsonb_build_object('state', new.state, 'reason', new.dead_reason))
        || coalesce((
          -- What a person wrote stays out.
          select jsonb_object_agg(key, value) from jsonb_each(new.outcome)
          where key in ('skipped', 'label_made', 'transit', 'settled', 'failed')
        ), '{}')));
  return null;
end
$$;
revoke all on function tell_followup from public;
create trigger told after update of state on followups for each row
  when (new.state <> 'pending' and old.state is distinct from new.state)
  execute function tell_followup();
create trigger told_at_once after insert on followups for each row
  when (new.state <> 'pending')
  execute function tell_followup();

create function tell_refund_part() returns trigger
  language plpgsql
as $$
begin
  insert into events (type, order_id, command_id, subject_id, data)
  select 'refund_part.' || new.state, new.order_id, r.command_id, new.part_id, jsonb_build_object(
    'refund_id', new.refund_id,
    'payment_id', new.payment_id,
    'amount_minor', new.amount_minor,
    'currency', o.currency,
    'state', new.state,
    'was', old.state)
  from refunds r join orders o using (order_id) where r.refund_id = new.refund_id;
  return null;
end
$$;
revoke all on function tell_refund_part from public;
create trigger told after update of state on refund_parts for each row
  when (old.state is distinct from new.state)
  execute function tell_refund_part();

create function tell_parcel() returns trigger
  language plpgsql
as $$
begin
  insert into events (type, order_id, command_id, subject_id, data)
  values ('parcel.' || new.transit, new.order_id, new.command_id, new.shipment_id, jsonb_build_object(
    'shipment_id', new.shipment_id,
    'transit', new.transit,
    'since', new.transit_at));
  return null;
end
$$;
revoke all on function tell_parcel from public;
create trigger told after update of transit on shipments for each row
  when (new.transit is not null and old.transit is distinct from new.transit)
  execute function tell_parcel();
