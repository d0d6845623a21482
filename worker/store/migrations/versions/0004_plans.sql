-- Each index of what is pending says something more of its rows, which only the statements that want
-- this index say as well. When statistics are taken next to nothing is pending, so to the planner any
-- such index was as good as empty: it looked for a batch's ids among all commands that wait.
drop index commands_due;
create index commands_due on commands (next_at, seq)
  where state = 'pending' and decided_at is null;

drop index commands_open_of_order;
create index commands_open_of_order on commands (order_id, seq)
  where state = 'pending' and outcome is null;

drop index followups_due;
create index followups_due on followups (route, next_at, seq)
  where state = 'pending' and decided_at is null;

-- No plan hangs on fresh statistics any more, and looking at a sample of a million commands after every
-- 20,000 changes, and through all their indexes, took time from the work itself.
alter table commands set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);
alter table followups set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.2);
