-- Worker processes, for people who look. Nothing depends on a row: whose work is whose is told by leases.
create table worker_processes (
  id          uuid primary key,
  host        text not null,
  pid         integer not null,
  -- Those that it serves.
  queues      text[] not null,
  started_at  timestamptz not null,
  -- Every few seconds. A process that ends takes its row away; one that is killed leaves it behind.
  seen_at     timestamptz not null,
  -- What was in its hands at that moment: an object for each batch, see worker/work/processes.py.
  doing       jsonb not null
);
