"""The keeper: one process that owns the embedded pair and serves everybody who uses it.

Users hold a shared lock; when nobody holds it any more the keeper stops the servers and ends. The
kernel drops the lock of a killed user, so nothing has to be cleaned up. Ports and passwords stay
the same from one keeper to the next. Four files of the state folder matter here:

  users.lock   shared: each user. exclusive: the keeper, when it found nobody there
  keeper.lock  exclusive: the keeper, from before its birth (its starter hands the open file over)
  ready.lock   exclusive: the keeper, while both servers serve and pair.json is true
  pair.json    the URLs, with passwords, for the owner's eyes only
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from worker.embedded import postgres, valkey
from worker.embedded.server import (
    EmbeddedServerFailed,
    Server,
    private_folder,
    write_private,
)

_POLL_S: Final = 0.2
_USE_LIMIT_S: Final = 240
"""Longer than a keeper needs to fail by itself, so that its sentence is heard."""
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class EmbeddedPair:
    """Two running servers, for as long as this process lives or until it says `close`."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    keeper_pid: int
    _hold: "_Hold" = field(repr=False, compare=False)

    def close(self) -> None:
        """Give the pair up; the servers stop when nobody else uses them. Twice is fine."""
        self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def use(state_dir: Path, *, fsync: bool = True) -> EmbeddedPair:
    """Share the pair of this folder, starting it if nobody has.

    Args:
      state_dir: Holds the data of both servers; made if missing.
      fsync: Counts for the one who starts the pair; False is for tests.

    Raises:
      EmbeddedServerFailed: The servers cannot run here; the message says why and what to do.
    """
    if sys.platform not in ("linux", "darwin"):
        raise EmbeddedServerFailed(
            f"the embedded servers do not run on {sys.platform}; set DATABASE_URL and REDIS_URL"
        )
    state_dir = _state_folder(state_dir)
    deadline = time.monotonic() + _USE_LIMIT_S
    hold = _Hold(_open(state_dir / "users.lock"))
    try:
        # Exclusive only while a keeper stops: then we wait, and start the next one.
        _until(deadline, state_dir, lambda: _lock(hold.descriptor, fcntl.LOCK_SH))
        _bring_up(state_dir, deadline, fsync=fsync)
        pair = json.loads((state_dir / "pair.json").read_text())
        return EmbeddedPair(pair["database_url"], pair["redis_url"], pair["keeper_pid"], hold)
    except BaseException:
        hold.release()
        raise


def _bring_up(state_dir: Path, deadline: float, *, fsync: bool) -> None:
    """Return when a keeper serves; start one if there is none, but only once."""
    started = False
    while not _is_ready(state_dir):
        keeper_lock = _open(state_dir / "keeper.lock")
        try:
            nobody_keeps = _lock(keeper_lock, fcntl.LOCK_EX)
            if nobody_keeps and not started:
                _spawn(state_dir, keeper_lock, fsync=fsync)
        finally:
            os.close(keeper_lock)
        if (nobody_keeps and started) or time.monotonic() > deadline:
            raise EmbeddedServerFailed(_failure(state_dir))
        started = started or nobody_keeps
        time.sleep(0.02)


class _Hold:
    """A lock that lasts until it is released or the process ends, even if it is forgotten."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def release(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)  # not LOCK_UN: that would drop it for forked children, too


def _spawn(state_dir: Path, keeper_lock: int, *, fsync: bool) -> None:
    """Start a keeper that holds `keeper_lock` from its first moment and is nobody's child."""
    (state_dir / "failure").unlink(missing_ok=True)
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-P", "-m", "worker.embedded.keeper", str(state_dir)]
    log_path = state_dir / "keeper.log"
    log_path.touch(0o600)
    with log_path.open("ab") as log:
        subprocess.run(  # noqa: S603 - our own words, no shell
            [*command, f"--lock={keeper_lock}", *([] if fsync else ["--no-fsync"])],
            check=False,  # if it failed, its lock is free again and `use` reads why
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=[keeper_lock],
            start_new_session=True,
        )


def main(arguments: list[str]) -> int:
    """Be the keeper of a folder. Without `--lock` it takes the lock itself and stays in front."""
    state_dir = _state_folder(Path(arguments[0]))
    options = arguments[1:]
    handed = [int(option.removeprefix("--lock=")) for option in options if "--lock=" in option]
    keeper_lock = handed[0] if handed else _open(state_dir / "keeper.lock")
    if not _lock(keeper_lock, fcntl.LOCK_EX):
        _say(f"{state_dir} has a keeper already")
        return 1
    if handed and os.fork():  # our starter waits for this end; the child goes on as nobody's
        os._exit(0)
    os.set_inheritable(keeper_lock, False)  # noqa: FBT003 - it takes no name
    try:
        _keep(state_dir, fsync="--no-fsync" not in options)
    except Exception as error:
        _say(f"failed: {error}")
        write_private(state_dir / "failure", str(error))
        if isinstance(error, EmbeddedServerFailed):
            return 1
        raise
    return 0


def _keep(state_dir: Path, *, fsync: bool) -> None:
    asked_to_stop: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda number, _: asked_to_stop.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    users, ready = _open(state_dir / "users.lock"), _open(state_dir / "ready.lock")

    def start_database(port: int | None = None) -> Server:
        return postgres.start(state_dir / f"pg{postgres.MAJOR}", port=port, fsync=fsync)

    def start_redis(port: int | None = None) -> Server:
        return valkey.start(state_dir / "valkey", port=port)

    database = start_database()
    try:
        redis = start_redis()
    except BaseException:
        database.stop()
        raise
    try:
        pair = {"database_url": database.url, "redis_url": redis.url, "keeper_pid": os.getpid()}
        write_private(state_dir / "pair.json", json.dumps(pair))
        fcntl.flock(ready, fcntl.LOCK_EX)
        _say(f"serves on ports {database.port} and {redis.port}")
        while not asked_to_stop and not _lock(users, fcntl.LOCK_EX):
            database = _revive(database, start_database)
            redis = _revive(redis, start_redis)
            time.sleep(_POLL_S)
        fcntl.flock(ready, fcntl.LOCK_UN)
        _say("stops: asked to" if asked_to_stop else "stops: nobody uses it")
    finally:
        redis.stop()
        database.stop()
    # The locks end with the process; keeper.lock last of all is not needed: `use` tries again.


def _revive(server: Server, start: Callable[[int | None], Server]) -> Server:
    """Start a dead server again where its users expect it, as often as it takes."""
    if server.process.poll() is None:
        return server
    _say(f"the server on port {server.port} ended with {server.process.returncode}")
    try:
        return start(server.port)
    except EmbeddedServerFailed as error:
        _say(f"it does not come back yet: {error}")
        time.sleep(_RETRY_S)
        return server


def _state_folder(path: Path) -> Path:
    # Root's PostgreSQL may have to be `nobody`, who must get through to its own folder in there;
    # nothing can be listed or read on the way.
    return private_folder(path, 0o700 if os.geteuid() else 0o711)


def _is_ready(state_dir: Path) -> bool:
    descriptor = _open(state_dir / "ready.lock")
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _until(deadline: float, state_dir: Path, is_done: Callable[[], bool]) -> None:
    while not is_done():
        if time.monotonic() > deadline:
            raise EmbeddedServerFailed(f"the keeper of {state_dir} has been stopping for too long")
        time.sleep(0.02)


def _failure(state_dir: Path) -> str:
    try:
        return (state_dir / "failure").read_text()
    except OSError:
        return f"the embedded servers did not start; {state_dir / 'keeper.log'} may say why"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _say(words: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), words, flush=True)  # noqa: T201 - its log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
