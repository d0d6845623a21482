-- Keys of the HTTP door. The secret is random, 256 bits, and shown once: its hash needs no salt.
create table api_keys (
  -- The part of the key that is no secret; people name it by this.
  id                text primary key check (id ~ '^[0-9a-f]{12}$'),
  name              text not null,
  sha256            bytea not null check (length(sha256) = 32),
  -- Which kinds of command may be sent and asked about with it.
  kinds             text[] not null,
  -- Orders, parcels and what else there is to see: personal data.
  may_read          boolean not null,
  -- Null is as the settings say.
  rate_per_minute   integer check (rate_per_minute > 0),
  created_at        timestamptz not null default now(),
  revoked_at        timestamptz,
  -- To the minute.
  last_used_at      timestamptz
);
