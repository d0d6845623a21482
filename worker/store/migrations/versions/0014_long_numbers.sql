-- As in 0010, but for the last condition.
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
    -- The second is what workers read: 1e131000 takes ten bytes here and 131,001 there.
    when pg_column_size(body) > 1048576 or octet_length(body::text) > 2097152
         then 'a command may not exceed 1 MiB'
  end;
