"""A worker process that is stopped by the machine right after one of its statements, once, as when
a virtual machine is paused: SIGSTOP, until the test lets it go on.
"""

import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

import psutil
from sqlalchemy import event

from tests.work import rig
from tests.work.process import NOBODY, Worker
from worker.logs import configure
from worker.runtime import Runtime
from worker.servers import Servers
from worker.settings import Settings


def stopping_after(
    name: str, database_url: str, settings: dict[str, Any], words: Connection
) -> None:
    """Run a worker that stops after the first statement of this name."""
    configure("error")
    runtime = Runtime(Settings(**settings), Servers(database_url, NOBODY))
    stopped = threading.Event()

    @event.listens_for(runtime.engine, "after_cursor_execute")
    def stop(_: Any, __: Any, statement: str, *___: Any) -> None:
        if rig.name(statement) == name and not stopped.is_set():
            stopped.set()
            # To this thread, and it stops them all: sent to the process, another thread may take it
            # while this one runs on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    runtime.ticker.start()
    words.send("ready")
    threading.Event().wait()


def is_stopped(process: Worker) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def let_go_on(process: Worker) -> None:
    os.kill(process.pid, signal.SIGCONT)
