-- Lanes, holds and schedules of commands.
select 1;
