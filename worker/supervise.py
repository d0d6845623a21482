"""The supervisor: keeps worker processes running, each on its own, and stops them together.

Each process is a dramatiq group of one: dramatiq ends a whole group when one of its processes dies.
A group that ends is started again, after a pause that doubles. Nothing outlives the supervisor.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, Self

import structlog

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
HEALTHY_AFTER_S: Final = 60.0
"""A process that lived so long starts again after the first pause."""
STOP_MARGIN_S: Final = 5.0
"""What dramatiq takes beyond its own time-out: two processes look for signals once a second."""
LOOK_S: Final = 0.1
EVERY_S: Final = 5.0

_PR_SET_PDEATHSIG: Final = 1

log = structlog.get_logger()


def supervise(
    processes: int,
    threads: int,
    queues: Sequence[str] = (),
    *,
    shutdown_timeout_ms: int,
    argv_module: str = "actors",
    every: Callable[[], object] = lambda: None,
) -> int:
    """Run worker processes until SIGTERM or SIGINT; a second signal kills them.

    Call it from the main thread, which is what receives signals, and before starting others.

    Args:
      processes: How many worker processes.
      threads: Worker threads in each.
      queues: The queues to work on; none means all.
      shutdown_timeout_ms: How long a stopping process may finish its work.
      argv_module: The module that declares the actors.
      every: Called every few seconds, to keep up what the processes need.

    Returns:
      0 after a graceful stop, 1 if a process had to be killed.
    """
    argv = [sys.executable, "-m", "dramatiq", argv_module, "-p", "1", "-t", str(threads)]
    # The actors bring our own log set-up, JSON on stderr; dramatiq's would print lines of its own.
    argv += ["--skip-logging", "--worker-shutdown-timeout", str(shutdown_timeout_ms)]
    # Until this is over dramatiq does not notice a worker that died while it booted.
    argv += ["--worker-fork-timeout", "1000"]
    argv += ["--queues", *queues] if queues else []
    return keep_running(argv, processes, shutdown_timeout_ms=shutdown_timeout_ms, every=every)


def keep_running(
    argv: list[str],
    processes: int,
    *,
    shutdown_timeout_ms: int,
    every: Callable[[], object] = lambda: None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Likewise, for any program: each process in a group of its own, with these descriptors."""
    groups = [_Group(number, argv, pass_fds) for number in range(processes)]

    with _Signals() as signals:
        called_at = time.monotonic()
        while not signals.count:
            for group in groups:
                group.keep()
            if time.monotonic() - called_at > EVERY_S:
                called_at = time.monotonic()
                every()
            time.sleep(LOOK_S)
        return _stop(groups, signals, within_s=shutdown_timeout_ms / 1000 + STOP_MARGIN_S)


def _stop(groups: list["_Group"], signals: "_Signals", *, within_s: float) -> int:
    log.info("supervisor_stopping", within_s=within_s)
    deadline = time.monotonic() + within_s
    for group in groups:
        group.stop()
    while any(group.is_running() for group in groups):
        if signals.count > 1 or time.monotonic() > deadline:
            for group in groups:
                group.kill()
            log.warning("supervisor_killed", reason="signal" if signals.count > 1 else "time")
            return 1
        time.sleep(LOOK_S)
    log.info("supervisor_stopped")
    return 0


class _Group:
    """A process and its children, such as dramatiq's main process and its worker process, in a
    process group of their own.
    """

    def __init__(self, number: int, argv: list[str], pass_fds: Sequence[int] = ()) -> None:
        self._number = number
        self._argv = argv
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._is_stopping = False

    def keep(self) -> None:
        """Start what does not run, once its pause is over."""
        if not self.is_running() and time.monotonic() >= self._start_at:
            self._start()

    def is_running(self) -> bool:
        if self._process and _has_ended(self._process.pid):
            self._bury(self._process)
            self._process = None
        return self._process is not None

    def stop(self) -> None:
        self._is_stopping = True
        # To the main process alone: it tells its child, for whom a second signal means "at once".
        if self._process:
            self._process.terminate()

    def kill(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
            self._argv,
            # The terminal's Ctrl-C must reach the supervisor alone, see `stop`.
            process_group=0,
            pass_fds=self._pass_fds,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - no threads here; only the child can ask for this
        )
        self._started_at = time.monotonic()
        log.info("worker_started", group=self._number, pid=self._process.pid)

    def _bury(self, process: "subprocess.Popen[bytes]") -> None:
        # Before the wait, which frees the number of the group for others: a main process that was
        # killed leaves its worker behind.
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        lived_s = time.monotonic() - self._started_at
        if self._is_stopping:
            log.info("worker_stopped", group=self._number, pid=process.pid, code=code)
            return
        if lived_s >= HEALTHY_AFTER_S:
            self._pause_s = FIRST_PAUSE_S
        log.warning(
            "worker_exited",
            group=self._number,
            pid=process.pid,
            code=code,
            lived_s=round(lived_s, 1),
            restart_in_s=self._pause_s,
        )
        self._start_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


class _Signals:
    """Counts SIGTERM and SIGINT, and gives the former handlers back at the end."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._former = {
            number: signal.signal(number, self._counted)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _counted(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.count += 1


def _has_ended(pid: int) -> bool:
    """Whether a child has ended, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _die_with(supervisor: int) -> Callable[[], None] | None:
    """For the child, before it becomes dramatiq: SIGTERM to me when the supervisor dies (Linux).

    dramatiq passes it on to its worker process.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: little is safe between fork and exec

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it died before we asked
            os._exit(1)

    return ask
