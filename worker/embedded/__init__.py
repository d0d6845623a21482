"""The embedded pair: a real PostgreSQL and a real Valkey from wheels, for trials and tests.

`keeper.use` shares one pair between processes; `postgres.start` and `valkey.start` run one server
for whoever wants to kill it. Linux and macOS, root or not; production brings its own servers.
"""
