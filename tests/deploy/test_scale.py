"""What SCALE.md says can be sent to a replica."""

import psycopg
import pytest

from tests.cli.cli_tools import invoke

READING = (
    "queues",
    "orders list",
    "orders list --search customer",
    "orders show O-1",
    "orders explain O-1",
    "commands list",
    "dead list",
    "strays list",
    "refunds list",
    "labels list --order O-1",
    "audit",
    "jobs list",
    "keys list",
    "carriers list",
    "events",
    "export orders --format jsonl",
    "export history --format jsonl",
    "export outcomes --format jsonl",
)


@pytest.fixture
def replica(store, redis_url):
    """The environment of somebody on a database where nothing can be written."""
    url, _, _ = store
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = on")
        yield {"DATABASE_URL": url, "REDIS_URL": redis_url}
        connection.execute("set default_transaction_read_only = off")
        connection.execute(f"alter database {name} reset default_transaction_read_only")


def test_reading_commands_write_nothing(replica):
    """Lists, searches, exports, the feed and an order's page work where no transaction may write;
    one that acts does not.
    """
    codes = {line: invoke(line.split(), replica).exit_code for line in READING}

    assert {line: code for line, code in codes.items() if code} == {}
    acting = invoke(["pause", "labels"], replica)
    assert (acting.exit_code, "25006" in acting.stderr) == (1, True)
