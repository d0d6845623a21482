-- The event feed.
select 1;
