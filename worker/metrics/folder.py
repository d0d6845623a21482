"""The folder where the processes of one worker write their numbers, each into files of its own.

Whoever uses a folder holds a shared lock on it; one that nobody holds was left by a worker that was
killed, and whoever comes next removes it. Imported before `PROMETHEUS_MULTIPROC_DIR` is set, so it
imports nothing of prometheus_client.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

import structlog

from worker.heartbeat import open_run_dir

ALLOCATED_BYTES: Final = 1 << 18
_OF_A_PROCESS: Final = ("counter", "histogram", "gauge_livesum")

log = structlog.get_logger()


def try_join(run_dir: Path, owner: int) -> Path | None:
    """As `join`; None, and a line in the log, where it cannot be: a worker works without it."""
    try:
        return join(run_dir, owner)
    except OSError as error:
        log.warning("metrics_off", run_dir=str(run_dir), reason=error.strerror)
        return None


def join(run_dir: Path, owner: int) -> Path:
    """The folder of the worker whose first process is `owner`, made by the first to come.

    It is this process's, and its forked children's, until they end.

    Raises:
      OSError: The run folder cannot be used.
    """
    lock = os.open(open_run_dir(run_dir), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in run_dir.glob("metrics-*"):
            if not _is_held(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = run_dir / f"metrics-{owner}"
        folder.mkdir(mode=0o700, exist_ok=True)
        hold(folder)
    finally:
        os.close(lock)
    return folder


def hold(folder: Path) -> None:
    """Keep the folder until this process ends."""
    fcntl.flock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH)


def try_allocate(folder: Path, pid: int) -> bool:
    """Make the files of a process at their full size; False, and a line in the log, if there is no
    room: a page that cannot be had when a number is first written would end the process (SIGBUS).
    """
    try:
        hold(folder)
        for kind in _OF_A_PROCESS:
            path = folder / f"{kind}_{pid}.db"
            if not path.exists():  # else it is of a process that had our number before us
                new = path.with_suffix(".new")
                new.write_bytes(bytes(ALLOCATED_BYTES))
                new.replace(path)  # when it is whole: a reader stumbles over a file without a head
    except OSError as error:
        log.warning("metrics_off", folder=str(folder), reason=error.strerror)
        return False
    return True


def _is_held(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
