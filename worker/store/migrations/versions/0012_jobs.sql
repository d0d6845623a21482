-- Bulk jobs.
select 1;
