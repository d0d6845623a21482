-- Who may do what in the database. Run by its owner, after each migration; what a role may not do any
-- more is taken from it. The groups cannot log in: a login is made as a member of one,
--   create role shop_worker login password '...' in role fulfillment_worker;
-- Forgetting a person rewrites history, refunds and the audit's notes: that is the owner's alone.
-- They belong to the whole cluster; where it holds several shops, limit each login by CONNECT.
do $$
declare
  role text;
  secret text;
  t record;
begin
  if not (select pg_has_role(datdba, 'usage') from pg_database where datname = current_database())
  then
    raise insufficient_privilege using message = format(
      '%I does not own the database', current_user);
  end if;

  foreach role in array array[
    'fulfillment_viewer',    -- looks: everything, so also at names and addresses
    'fulfillment_worker',    -- that, and carries out
    'fulfillment_operator',  -- that, and what people decide
    'fulfillment_producer',  -- hands commands in, and nothing else
    'fulfillment_web'        -- that, and looks: the HTTP door
  ] loop
    begin
      if to_regrole(role) is null then
        execute format('create role %I nologin', role);
      end if;
    exception when duplicate_object or unique_violation then  -- by somebody else, at this moment
    end;
  end loop;
  if not pg_has_role('fulfillment_worker', 'fulfillment_viewer', 'usage') then
    grant fulfillment_viewer to fulfillment_worker;
  end if;
  if not pg_has_role('fulfillment_web', 'fulfillment_viewer', 'usage') then
    grant fulfillment_viewer to fulfillment_web;
  end if;
  if not pg_has_role('fulfillment_operator', 'fulfillment_worker', 'usage') then
    grant fulfillment_worker to fulfillment_operator;
  end if;

  revoke create on schema public from public;
  grant usage on schema public to fulfillment_viewer, fulfillment_producer;
  execute format('revoke create, temporary on database %I from public', current_database());
  -- An import of orders copies them into a temporary table first.
  execute format('grant temporary on database %I to fulfillment_operator', current_database());

  for t in
    select * from (values
      -- table             the worker's      the operator's, beyond that
      ('alembic_version',  null,             null),
      ('api_keys',         null,             'insert, update'),
      ('audit',            'update (details)',  'insert'),  -- retention empties them
      ('call_rates',       'insert, update', null),
      ('carriers',         'insert',         'update'),
      ('commands',         'update',         null),  -- they come in by accept_commands alone
      ('documents',        'insert, update', null),
      ('events',           'insert, update (number), delete', null),  -- retention removes the oldest
      ('followups',        'insert, update', null),
      ('history',          'insert',         null),
      ('job_rows',         'update',         'insert'),
      ('jobs',             'update',         'insert'),
      ('order_fees',       'insert',         null),
      ('order_lines',      'insert, update', null),
      ('order_words',      'insert, update', null),
      ('orders',           'insert, update', null),
      ('paused_routes',    null,             'insert, update, delete'),
      ('payments',         'insert, update', null),
      ('purchases',        'insert, update', null),
      ('refund_lines',     'insert',         null),
      ('refund_parts',     'insert, update', null),
      ('refunds',          'insert',         null),
      ('shipment_lines',   'insert',         null),
      ('shipments',        'insert, update', null),
      ('retention',        'insert, update', null),
      ('retention_left',   'insert, delete', null),
      ('strays',           'insert, update (body)', 'update, delete'),  -- update: to lock them
      ('traces',           'insert, delete', null),
      ('users',            null,             'insert, update, delete'),
      ('worker_processes', 'insert, update, delete', null)
    ) as granted (name, worker, operator)
  loop
    execute format(
      'revoke all on %I from public, fulfillment_viewer, fulfillment_worker, '
      'fulfillment_operator, fulfillment_producer, fulfillment_web', t.name);
    execute format('grant select on %I to fulfillment_viewer', t.name);
    if t.worker is not null then
      execute format('grant %s on %I to fulfillment_worker', t.worker, t.name);
    end if;
    if t.operator is not null then
      execute format('grant %s on %I to fulfillment_operator', t.operator, t.name);
    end if;
  end loop;

  -- Who hands commands in may say to which trace they belong.
  grant insert on traces to fulfillment_producer, fulfillment_web;
  -- What people sign in with is for the console and for who manages its users; who only looks sees
  -- none of it, and workers remove what is over.
  foreach secret in array array[
    'user_passwords', 'user_sessions', 'sign_in_links', 'sign_in_tries'
  ] loop
    execute format(
      'revoke all on %I from public, fulfillment_viewer, fulfillment_worker, '
      'fulfillment_operator, fulfillment_producer, fulfillment_web', secret);
    execute format(
      'grant select, insert, update, delete on %I to fulfillment_web', secret);
  end loop;
  grant update (signed_in_at) on users to fulfillment_web;
  grant select (expires_at), delete on user_sessions, sign_in_links to fulfillment_worker;
  grant select (since), delete on sign_in_tries to fulfillment_worker;
  grant select, insert, update on user_passwords to fulfillment_operator;
  grant select (user_name) on user_sessions to fulfillment_operator;
  grant select, insert on sign_in_links to fulfillment_operator;

  grant update (last_used_at) on api_keys to fulfillment_web;
  -- Files of shipments come in by the HTTP door, and are called off and on there.
  grant insert, update on jobs, job_rows to fulfillment_web;
  grant insert on audit to fulfillment_web;
  grant usage on sequence work_seq to fulfillment_web;
  -- Who may operate by the console replays, mends and gives up what is dead: the columns of that, and
  -- the events that tell of it.
  grant update (state, attempts, crashes, alone, claim, next_at, lease_until, waits_for, decided_at,
    dead_reason, outcome) on commands, followups to fulfillment_web;
  grant update (after_id) on commands to fulfillment_web;
  grant insert on events to fulfillment_web;
  grant update (edits) on followups to fulfillment_web;
  grant update (body), delete on strays to fulfillment_web;  -- update: to lock them
  grant insert, update, delete on paused_routes to fulfillment_web;

  grant usage on sequence work_seq, work_claim to fulfillment_worker;

  revoke all on function accept_commands, command_problem, command_fingerprint, number_events
    from public;
  grant execute on function accept_commands
    to fulfillment_producer, fulfillment_worker, fulfillment_web;
  -- A dry run compares what would be sent with what was.
  grant execute on function command_fingerprint to fulfillment_viewer;
  grant execute on function number_events to fulfillment_worker;
end
$$;
