-- Who may use the console.
create table users (
  name              text primary key check (name ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'),
  -- Each may do what those before may: look; act on orders; keep it running.
  role              text not null check (role in ('viewer', 'agent', 'operator')),
  added_at          timestamptz not null default now(),
  signed_in_at      timestamptz
);

-- Apart from the users, since whoever may look at everything may not look at these.
create table user_passwords (
  user_name         text primary key references users on delete cascade,
  -- Argon2id, with its parameters and salt.
  hash              text not null
);

-- Tokens are random, 256 bits: their hash needs no salt.
create table user_sessions (
  sha256            bytea primary key check (length(sha256) = 32),
  user_name         text not null references users on delete cascade,
  begun_at          timestamptz not null default now(),
  -- To the minute.
  seen_at           timestamptz not null default now(),
  -- Moves on with whoever is seen, up to a limit.
  expires_at        timestamptz not null
);
create index user_sessions_by_user on user_sessions (user_name);
create index user_sessions_by_end on user_sessions (expires_at);

create table sign_in_links (
  sha256            bytea primary key check (length(sha256) = 32),
  user_name         text not null references users on delete cascade,
  expires_at        timestamptz not null
);
create index sign_in_links_by_user on sign_in_links (user_name);

-- How often somebody tried. Names and addresses are hashed: people type passwords into wrong fields.
create table sign_in_tries (
  sha256            bytea primary key check (length(sha256) = 32),
  count             integer not null,
  since             timestamptz not null default now()
);
create index sign_in_tries_by_age on sign_in_tries (since);
