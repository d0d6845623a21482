-- No row is written anew and none is judged: what the columns held before, they may hold now.
alter table commands
  -- 0 is urgent, 1 is bulk: work of a lane waits for its own lane only.
  add lane smallint not null default 0,
  add constraint commands_lane_check check (lane in (0, 1)) not valid,
  drop constraint commands_waits_for_check,
  -- `schedule`: until the time before which it is not to be decided.
  add constraint commands_waits_for_check
    check (waits_for in ('order', 'predecessor', 'lock', 'retry', 'schedule')) not valid;

alter table followups
  -- Its command's.
  add lane smallint not null default 0,
  add constraint followups_lane_check check (lane in (0, 1)) not valid;

-- As in 0004, by lane: who looks for urgent work walks through no bulk.
drop index commands_due;
create index commands_due on commands (lane, next_at, seq)
  where state = 'pending' and decided_at is null;

drop index followups_due;
create index followups_due on followups (route, lane, next_at, seq)
  where state = 'pending' and decided_at is null;

create or replace function command_problem(body jsonb) returns text
  language sql immutable parallel safe
  return case
    when jsonb_typeof(body) <> 'object' then 'a command is a JSON object'
    when coalesce(body ->> 'command_id', '') !~
         '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then 'command_id must be a UUID'
    when coalesce(body ->> 'kind', '') not in
         ('place', 'ship', 'complete', 'cancel', 'refund', 'void', 'update_tracking', 'hold',
          'release')
         then 'kind must be one of place, ship, complete, cancel, refund, void, update_tracking, '
              'hold, release'
    when coalesce(body ->> 'order_id', '') !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'
         then 'order_id must be 1 to 64 letters, digits or ._:-'
    when coalesce(body ->> 'after', '00000000-0000-0000-0000-000000000000') !~
         '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then 'after must be a UUID'
    -- As the JSON Schema has it, and a day that its month has: what passes can be read as a time.
    when body ->> 'not_before' is not null and case
           when body ->> 'not_before' ~
                ('^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])'
                 'T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?'
                 '(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])$')
           then extract(day from make_date(
                  substr(body ->> 'not_before', 1, 4)::integer,
                  substr(body ->> 'not_before', 6, 2)::integer, 1) + interval '1 month - 1 day')
                < substr(body ->> 'not_before', 9, 2)::integer
           else true end
         then 'not_before must be a time with its offset, such as 2026-03-01T12:00:00Z'
    when pg_column_size(body) > 1048576 then 'a command may not exceed 1 MiB'
  end;

-- Who may call it stays; a function with a further argument is another one.
select set_config('fulfillment.callers', coalesce((
  select string_agg(case when a.grantee = 0 then 'public' else a.grantee::regrole::text end, ',')
  from pg_proc p cross join aclexplode(p.proacl) as a
  where p.oid = 'accept_commands(jsonb)'::regprocedure and a.grantee <> p.proowner), ''), true);
drop function accept_commands(jsonb);

-- As in 0009, but that a command has a lane and waits for its time.
create function accept_commands(bodies jsonb, lane integer default 0)
  returns table (n integer, command_id uuid, answer text, state text, outcome jsonb, problem text)
  language plpgsql security definer set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  accepted uuid[];
begin
  if jsonb_typeof(bodies) is distinct from 'array' or jsonb_array_length(bodies) > 5000 then
    raise exception 'accept_commands takes a JSON array of at most 5000 commands'
      using errcode = '22023';
  end if;
  if accept_commands.lane in (0, 1) is not true then
    raise exception 'the lane of commands is 0, urgent, or 1, bulk' using errcode = '22023';
  end if;

  with numbered as materialized (
    -- Numbered in the caller's order, inserted by id: two batches of the same ids cannot deadlock.
    select body, (body ->> 'command_id')::uuid as id, nextval('work_seq') as seq,
      (body ->> 'not_before')::timestamptz as not_before
    from (
      select body from jsonb_array_elements(bodies) with ordinality as incoming (body, n)
      where command_problem(body) is null order by n
    ) as acceptable
  ), inserted as (
    insert into commands (
      id, kind, order_id, after_id, body, fingerprint, seq, lane, next_at, waits_for)
    select id, body ->> 'kind', body ->> 'order_id', (body ->> 'after')::uuid, body,
      command_fingerprint(body), seq, accept_commands.lane,
      greatest(now(), not_before), case when not_before > now() then 'schedule' end
    from numbered order by id, seq
    on conflict do nothing
    returning id
  )
  select coalesce(array_agg(id), '{}') into accepted from inserted;

  if cardinality(accepted) = jsonb_array_length(bodies) then
    -- Nearly always: nothing to compare.
    return query
    select n::integer, (body ->> 'command_id')::uuid, 'accepted', 'pending', null::jsonb, null
    from jsonb_array_elements(bodies) with ordinality as incoming (body, n);
    return;
  end if;

  insert into strays (reason, command_id, problem, body)
  select 'id_reused', c.id, 'another command has this id', left(i.body::text, 65536)
  from jsonb_array_elements(bodies) as i (body)
  join commands c on c.id = case when command_problem(i.body) is null
                                 then (i.body ->> 'command_id')::uuid end
  where c.fingerprint <> command_fingerprint(i.body);

  return query
  with incoming as materialized (
    select n::integer, body, command_problem(body) as problem
    from jsonb_array_elements(bodies) with ordinality as incoming (body, n)
  ), identified as (
    select n, body, problem, case when problem is null then (body ->> 'command_id')::uuid end as id
    from incoming
  ), answered as (
    select i.n, i.id, i.problem, c.state, c.outcome,
      case
        when i.problem is not null then 'refused'
        when i.id = any (accepted) and i.n = min(i.n) over (partition by i.id) then 'accepted'
        when c.fingerprint = command_fingerprint(i.body) then 'known'
        else 'id_reused'
      end as answer
    from identified i left join commands c on c.id = i.id
  )
  select n, id, answer,
    case when answer in ('accepted', 'known') then state end,
    case when answer = 'known' then outcome end,
    problem
  from answered order by n;
end
$$;
revoke all on function accept_commands (jsonb, integer) from public;
do $$
declare
  caller text;
begin
  foreach caller in array string_to_array(current_setting('fulfillment.callers'), ',') loop
    execute format('grant execute on function accept_commands (jsonb, integer) to %s', caller);
  end loop;
end
$$;
