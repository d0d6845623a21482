-- How fast a route's follow-ups end. What a person discards, and what is skipped as it is staged, is no
-- work of the route's; the statement that counts says the same.
create index followups_ended on followups (route, decided_at)
  where state in ('done', 'skipped', 'dead') and decided_at > staged_at;
