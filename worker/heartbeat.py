"""Signs of life in a folder of this machine: which processes should turn, and which do.

Each worker process says every second that it turns; its supervisor says how many there should be.
Every file is locked by who wrote it. The kernel drops the lock of a process that ended, however it
ended, so a file without a lock is nobody's and is cleared away by whoever comes next.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_HEARTBEAT: Final = "heartbeat"
_EXPECTED: Final = "expected"


def open_run_dir(path: Path) -> Path:
    """The folder, made if need be, for its owner alone.

    Raises:
      OSError: It cannot be used, or belongs to somebody else, who could make us look alive.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(path))
    return path


class Sign:
    """A locked file of one line, there until `close` or the end of this process."""

    def __init__(self, run_dir: Path, kind: str, line: str) -> None:
        open_run_dir(run_dir)
        _sweep(run_dir)
        self._path = run_dir / f"{kind}-{os.getpid()}"
        # Locked before it has its name, or somebody might think that it is nobody's.
        unnamed = run_dir / f".{self._path.name}"
        self._descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self.write(line)
        unnamed.replace(self._path)

    def write(self, line: str) -> None:
        # In one piece and always as long: a reader sees the old line or the new one.
        os.pwrite(self._descriptor, f"{line:<31}\n".encode(), 0)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Heartbeat(Sign):
    """This process turns; `beat` says so, every second."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir, _HEARTBEAT, _now())

    def beat(self) -> None:
        # A full or vanished folder ends no process that works.
        with suppress(OSError):
            self.write(_now())


def heartbeat(run_dir: Path) -> Heartbeat | None:
    """A heartbeat of this process; without a folder for it the worker works all the same."""
    try:
        return Heartbeat(run_dir)
    except OSError as error:
        _warn(run_dir, error)
        return None


@contextmanager
def expecting(run_dir: Path, processes: int) -> Iterator[None]:
    """So many worker processes should run while this goes on."""
    try:
        sign = Sign(run_dir, _EXPECTED, str(processes))
    except OSError as error:
        _warn(run_dir, error)
        yield
    else:
        with sign:
            yield


@dataclass(frozen=True, slots=True)
class Signs:
    """What was found in a folder."""

    still_s: tuple[float, ...]
    """For each worker process, for how many seconds it has not turned."""
    expected: int
    """How many processes their supervisors want; 0 without a supervisor."""


def read_signs(run_dir: Path) -> Signs:
    """The signs of processes that are there; none where there is no such folder."""
    now = time.monotonic()
    return Signs(
        tuple(now - float(line) for line in _locked_lines(run_dir, _HEARTBEAT)),
        sum(int(line) for line in _locked_lines(run_dir, _EXPECTED)),
    )


def _warn(run_dir: Path, error: OSError) -> None:
    import structlog  # noqa: PLC0415  # slow to import, and the probe only reads

    structlog.get_logger().warning("no_heartbeat", run_dir=str(run_dir), reason=error.strerror)


def _now() -> str:
    # Counts since the machine's start, alike in all its processes; nobody sets it.
    return f"{time.monotonic():.3f}"


def _locked_lines(run_dir: Path, kind: str) -> Iterator[str]:
    for path in run_dir.glob(f"{kind}-*"):
        with suppress(FileNotFoundError), path.open() as file:
            if is_locked(file.fileno()):
                yield file.read()


def _sweep(run_dir: Path) -> None:
    for kind in (_HEARTBEAT, _EXPECTED):
        for path in run_dir.glob(f"{kind}-*"):
            with suppress(FileNotFoundError), path.open() as file:
                if not is_locked(file.fileno()):
                    path.unlink()


def is_locked(descriptor: int) -> bool:
    """Whether another process holds a lock on the open file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
