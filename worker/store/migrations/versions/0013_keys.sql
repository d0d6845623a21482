-- Keys of the HTTP door.
select 1;
