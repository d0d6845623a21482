"""A PostgreSQL cluster with our schema: made once by a test process, then copied, which takes a
tenth of the time.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from worker.embedded import postgres
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import migrate


def copied(folder: Path) -> Path:
    """The folder, as a start of PostgreSQL, our migrations and a stop leave it."""
    # Not its port: others have copies of their own.
    ignored = shutil.ignore_patterns("port", "pid", "log")
    return Path(shutil.copytree(_made(), folder, ignore=ignored))


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fulfillment-cluster-", dir="/tmp"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = postgres.start(folder / "pg", fsync=False)
    engine = make_engine(server.url, Settings())
    migrate(engine)
    engine.dispose()
    _hasten(server.url)
    server.stop()
    return folder / "pg"


def _hasten(url: str) -> None:
    """Let log-ins be quick: what guards a password whose hash has leaked is of no use to tests."""
    secret = conninfo_to_dict(url)["password"]
    with psycopg.connect(url) as connection:
        connection.execute("set scram_iterations = 1")
        connection.execute(
            sql.SQL("alter role current_user password {}").format(sql.Literal(secret))
        )
