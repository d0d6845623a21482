-- Who did what, of one who did little among a million acts of others.
-- It is run by itself, in no transaction: see the file beside this one.
-- squawk-ignore ban-concurrent-index-creation-in-transaction
create index concurrently audit_of_actor on audit (actor, audit_id);
