"""A warehouse's file of 100,000 shipments, three of a hundred rows bad in every way, while the
client is killed twice and a worker once: `python -m tests.acceptance.big_job [--rows N]`.

It ends with an assertion, or says how fast it went and how much memory client and worker took.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psycopg

from tests.acceptance import processes
from tests.acceptance.big_file import BAD, NOTE, Orders, write_file
from tests.acceptance.processes import ROOT, until
from worker.embedded import postgres, valkey
from worker.settings import Settings
from worker.store import laws
from worker.store.engine import make_engine
from worker.store.schema import migrate

PATIENCE_S = 3_600
COPYING = "select coalesce(sum(tuples_processed), 0) from pg_stat_progress_copy"
SENT = "select coalesce(sum(sent), 0) from jobs"


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Memory(threading.Thread):
    """The most that each of some processes has held, while it lived."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = Counter()
        self._names = {}

    def watch(self, name, pid):
        self._names[pid] = name

    def run(self):
        while True:
            for pid, name in list(self._names.items()):
                self.most[name] = max(self.most[name], _most_mb(pid))
            time.sleep(0.05)


def _most_mb(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")] or ["VmHWM 0 kB"]
    return int(line.split()[1]) / 1024


class Client:
    """`fulfillment bulk FILE`, in a process of its own."""

    def __init__(self, environment, file, memory, *words):
        argv = [sys.executable, "-m", "worker", "bulk", str(file), "--no-notify", *words]
        self.process = subprocess.Popen(
            argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        memory.watch("client", self.process.pid)

    def kill(self):
        assert self.process.poll() is None, "it ended before it could be killed"
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def end(self):
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out.decode(), err.decode()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=2026)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulfillment-job-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        pg = postgres.start(folder / "pg", fsync=False)
        kv = valkey.start(folder / "valkey", appendonly=False)
        try:
            run(folder, pg.url, kv.url, given.rows, random.Random(given.seed))
        finally:
            kv.stop()
            pg.stop()


def run(folder, database_url, redis_url, rows, chance):
    engine = make_engine(database_url, Settings())
    migrate(engine)
    orders = Orders()
    file = folder / "parcels.csv"
    expected = write_file(file, orders, rows, chance)
    with psycopg.connect(database_url) as connection:
        orders.insert(connection)
    bad = sum(why is not None for why in expected.why.values())
    say(f"{rows} rows, {bad} of them bad in {len(BAD)} ways, {file.stat().st_size >> 20} MiB")
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_STATE_DIR": str(folder / "state"),
    }
    memory = Memory()
    memory.start()

    def number(statement):
        with psycopg.connect(database_url) as connection:
            return connection.execute(statement).fetchone()[0]

    first = Client(environment, file, memory)
    until(lambda: number(COPYING) > rows // 4, PATIENCE_S, "a quarter of the rows are copied")
    first.kill()
    until(lambda: number(COPYING) == 0, PATIENCE_S, "the server has heard of its end")
    assert number("select count(*) from jobs") == number("select count(*) from job_rows") == 0
    say("client killed before its commit: nothing is there")

    groups = []
    try:
        began_s = time.monotonic()
        second = Client(environment, file, memory)
        groups += [start(folder, database_url, redis_url, memory) for _ in range(2)]
        until(lambda: number(SENT) > rows // 8, PATIENCE_S, "an eighth of the rows are sent")
        second.kill()
        at_client = number(SENT)
        until(lambda: number(SENT) > rows // 3, PATIENCE_S, "a third of the rows are sent")
        groups[0].kill()
        at_worker = number(SENT)
        assert number("select count(*) from jobs where state = 'done'") == 0, "done too early"
        say(f"client killed at {at_client} rows, a worker at {at_worker}")
        groups[0] = start(folder, database_url, redis_url, memory)
        third = Client(environment, file, memory, "--timeout", "600")
        code, _, said = third.end()
        took_s = time.monotonic() - began_s
        assert code == 5, said
        check(database_url, engine, file, expected, said)
        again, _, said = Client(environment, file, memory).end()
        assert (again, number("select count(*) from jobs")) == (5, 1), said
        check(database_url, engine, file, expected, said)
    finally:
        for group in groups:
            group.kill()
    say(f"{rows / took_s:.0f} rows/s, from the second client's start to the last outcome")
    for name, most in sorted(memory.most.items()):
        say(f"{name}: {most:.0f} MiB at most")
    engine.dispose()


def start(folder, database_url, redis_url, memory):
    group = processes.Group(database_url, redis_url, folder / f"worker-{time.monotonic_ns()}.log")
    memory.watch("worker", group.leaf().pid)
    return group


def check(database_url, engine, file, expected, said):
    """Every good row was applied once, every bad one is in the reject file with its reason."""
    with psycopg.connect(database_url) as connection:
        shipped = connection.execute(
            "select s.order_id, s.tracking_number, sum(l.quantity)::integer from shipments s"
            " join shipment_lines l using (shipment_id) group by s.shipment_id"
        ).fetchall()
        commands = connection.execute("select count(*) from commands").fetchone()[0]
        state, sent, crashes = connection.execute(
            "select state, sent, crashes from jobs"
        ).fetchone()
    assert (state, sent, crashes) == ("done", len(expected.why), 0)
    assert Counter(shipped) == Counter(expected.parcels)
    assert commands == len(expected.parcels) + expected.rejected
    with engine.connect() as connection:
        broken = laws.broken(connection)
    assert not any(broken.values()), broken
    rejects = file.with_name("parcels.rejects.csv")
    with rejects.open(encoding="utf-8-sig", newline="") as text:
        header, *rows = csv.reader(text, delimiter=";")
    why = header.index("reason")
    found = {row[NOTE].removeprefix("'=").partition(" ")[0]: row[why] for row in rows}
    wanted = {note: why for note, why in expected.why.items() if why is not None}
    assert found == wanted, json.dumps(sorted(found.items() ^ wanted.items())[:20], indent=1)
    assert Counter(row[NOTE] for row in rows) == Counter(f"'={note} Zoë" for note in wanted)
    assert str(rejects) in said, said


if __name__ == "__main__":
    main()
