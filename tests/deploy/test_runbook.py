"""The runbook's queries and commands run, on a store in which each of its symptoms is there."""

import os
import shlex
import subprocess
from collections import Counter
from contextlib import closing

import psycopg

from tests.blocks import blocks, commands
from tests.cli.cli_tools import invoke
from tests.work import rig
from worker.embedded import postgres
from worker.settings import Settings
from worker.store.engine import make_engine

RUNBOOK = blocks("deploy/RUNBOOK.md")
POSTGRESQL = postgres._wheel() / "bin"

NOT_WELL = {
    "fulfillment doctor": 1,  # no worker runs in this test
    "fulfillment probe live": 1,  # likewise
    "fulfillment dead replay ID --dry-run": 5,
    "fulfillment strays replay STRAY --dry-run": 5,
}
"""Exit codes of commands that say that something is wrong, which it is."""


def test_the_runbook_has_blocks_of_every_kind():
    """A page without blocks would pass the next test for nothing."""
    found = Counter(language for language, _ in RUNBOOK)

    assert found.keys() == {"console", "sql", "sh"}
    assert (found["console"] > 10, found["sql"] > 10, found["sh"]) == (True, True, 2)


def test_every_block_of_the_runbook_runs(store, redis_url, tmp_path):
    """Each query finds its symptom, each command does what the page says of it; the dump and its
    restoration are PostgreSQL's own.
    """
    url, _, words = store
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "RESTORED_URL": f"{url.rsplit('/', 1)[0]}/restored",
        "FULFILLMENT_RUN_DIR": str(tmp_path / "run"),
        "FULFILLMENT_EMAIL_FOLDER": str(tmp_path / "mail"),
        "FULFILLMENT_REFUND_PROVIDERS": '{"*": "tests.work.refund_rig:till"}',
    }
    with closing(psycopg.connect(url, application_name="somebody's console")) as idle:
        idle.execute("select 1")
        for language, text in RUNBOOK:
            match language:
                case "sql":
                    # What has been so for long in earnest is so from now on.
                    recent = text.replace("interval '10 seconds'", "interval '0 seconds'")
                    with psycopg.connect(environment["DATABASE_URL"]) as connection:
                        assert connection.execute(recent).fetchall(), text
                case "console":
                    for line in commands(text):
                        typed = [words.get(word, word) for word in shlex.split(line)[1:]]
                        result = invoke(typed, environment)
                        assert result.exit_code == NOT_WELL.get(line, 0), f"{line}\n{result.output}"
                case "sh":
                    subprocess.run(
                        ["sh", "-euc", text],
                        check=True,
                        cwd=tmp_path,
                        env=environment | {"PATH": f"{POSTGRESQL}:{os.environ['PATH']}"},
                    )
                    if "pg_restore" in text:
                        assert copied(environment["RESTORED_URL"]) == copied(url)
                        environment["DATABASE_URL"] = environment["RESTORED_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop database restored with (force)")


def copied(url: str) -> dict[str, list[str]]:
    """All that is in a store."""
    engine = make_engine(url, Settings())
    try:
        return rig.dump(engine)
    finally:
        engine.dispose()
