"""`fulfillment bulk` in a process of its own, in the test's hands."""

import os
from multiprocessing.connection import Connection
from typing import Any

from tests.work.process import NOBODY


def client(database_url: str, settings: dict[str, Any], words: Connection) -> None:
    os.environ |= {"DATABASE_URL": database_url, "REDIS_URL": NOBODY}
    from worker.cli.root import app  # noqa: PLC0415  # not in the server that forks

    words.send("ready")
    app(["bulk", settings["file"]])
