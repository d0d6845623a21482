-- The fingerprint outlives the body that it was made of. What is stored stays, and no row is written
-- anew: as quick with a million rows as with one. From here on the door writes it, being the only
-- place where a command comes in.
alter table commands alter column fingerprint drop expression;

-- As in 0001, but for the fingerprint.
create or replace function accept_commands(bodies jsonb)
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

  with numbered as materialized (
    -- Numbered in the caller's order, inserted by id: two batches of the same ids cannot deadlock.
    select body, (body ->> 'command_id')::uuid as id, nextval('work_seq') as seq
    from (
      select body from jsonb_array_elements(bodies) with ordinality as incoming (body, n)
      where command_problem(body) is null order by n
    ) as acceptable
  ), inserted as (
    insert into commands (id, kind, order_id, after_id, body, fingerprint, seq)
    select id, body ->> 'kind', body ->> 'order_id', (body ->> 'after')::uuid, body,
      command_fingerprint(body), seq
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

alter table orders
  -- Who it belonged to is gone from here on: upstream may not place it again.
  add forgotten_at timestamptz;

alter table documents
  -- The file is gone; which one it was stays known.
  add pruned_at timestamptz;
create index documents_kept on documents (made_at) where pruned_at is null;

-- Next to none has edits or a label, so these cost next to nothing.
create index followups_edited on followups (id) where edits is not null;
create index purchases_with_label on purchases (purchase_id) where label is not null;

-- How far each walk of retention has got, by what it goes through in the order of its ids; and when
-- `run`, all of it, was begun last. An index of what is still to be emptied would cost each command.
create table retention (
  what      text primary key,
  position  bigint not null default 0,
  ran_at    timestamptz
);

-- Commands that a walk passed by, as they had not ended, or not long ago: looked at in each run.
create table retention_left (
  command_id  uuid primary key
);
