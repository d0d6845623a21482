-- To which trace a command belongs: the span that accepted it. Commands wait, and what follows from
-- them waits, so the context must wait with them. A table of its own: where nobody traces, no statement
-- of the work knows it.
create table traces (
  command_id   uuid primary key,
  -- W3C Trace Context.
  traceparent  text not null check (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
  at           timestamptz not null default now()
);
-- For retention.
create index traces_kept on traces (at);

-- The oldest program that can work with this schema: those before this take no schema but their own. A
-- migration that takes something away writes here since when programs can do without; see
-- worker/store/fit.py.
comment on table alembic_version is '0016';
