"""The README tells the truth: its code blocks run, in their order, as a reader would run them."""

import os
import re
import shlex
import subprocess
import sys

import psycopg
import pytest
import structlog

from tests.blocks import ROOT, blocks, commands
from tests.cli.cli_tools import invoke
from worker.embedded.keeper import use

pytestmark = pytest.mark.heavy


RUN = [(language, text) for language, text in blocks("README.md") if language != "sh"]
"""What is meant to run; `sh` is set-up and settings."""


def test_the_readme_has_blocks_of_every_kind():
    """A README without runnable blocks would pass the next test for nothing."""
    assert {language for language, _ in RUN} == {"python", "sql", "console"}


def words_of(line):
    """The arguments of a line that is nothing but `fulfillment`; None: it takes a shell."""
    command, *words = shlex.split(line)
    return None if command != "fulfillment" or set(line) & set("|<>&;$`*") else words


def test_every_block_of_the_readme_runs(server_dir, tmp_path, monkeypatch):
    """Python, SQL and commands of the README end without an error, against a running worker.

    Lines that take no shell run in this process: that of its own is the same for all of them, and
    most of what each took.
    """
    state = server_dir / "readme"
    environment = os.environ | {
        "FULFILLMENT_STATE_DIR": str(state),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    command = tmp_path / "fulfillment"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    command.chmod(0o755)

    def run(argv):
        done = subprocess.run(
            argv,
            check=False,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    monkeypatch.chdir(tmp_path)
    with use(state, fsync=False) as pair, structlog.testing.capture_logs():
        here = {
            "DATABASE_URL": pair.database_url,
            "REDIS_URL": pair.redis_url,
            "FULFILLMENT_STATE_DIR": str(state),
        }

        def enter(line):
            if (words := words_of(line)) is None:
                run(["sh", "-c", line])
            else:
                done = invoke(words, here)
                assert done.exit_code == 0, f"{line}\n{done.output}"

        run([command, "migrate"])
        worker = subprocess.Popen(
            [command, "worker", "--processes", "1"], env=environment, stderr=subprocess.DEVNULL
        )
        try:
            for language, text in RUN:
                if language == "python":
                    printed = run([sys.executable, "-c", text])
                    for promised in re.findall(r"print\(.*\)  # (.*)", text):
                        assert printed == f"{promised}\n"
                elif language == "sql":
                    with psycopg.connect(pair.database_url) as connection:
                        assert connection.execute(text).fetchall() == [("accepted", None)]
                else:
                    for line in commands(text):
                        enter(line)
        finally:
            worker.terminate()
            worker.wait(40)
