"""What both embedded servers share: a child process with a port, a password and a log.

Promises that a child never outlives its starter (on Linux), that every wait has an end, and that
a failure is one sentence. Keeps nothing of its own: all state is files in the server's folder.
"""

import ctypes
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Mode = Literal["fast", "immediate"]

LOOPBACK: Final = "127.0.0.1"
START_LIMIT_S: Final = 120
"""Crash recovery and the replay of a long append-only file count as starting."""
STOP_LIMIT_S: Final = 30

# Below the ephemeral range of Linux (32768) and macOS (49152): a client that reconnects to a port
# inside it, while nobody listens, can be given that very port as its own, connects to itself and
# keeps the restarted server from its address.
_PORTS: Final = range(15_000, 32_000)
_PORT_TRIES: Final = 200
_LOG_LIMIT_BYTES: Final = 10_000_000
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWUSER: Final = 0x10000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class EmbeddedServerFailed(Exception):
    """An embedded server cannot run here; the message tells a person why and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. It ends with the *thread* that started it: start from the main thread."""

    process: subprocess.Popen[bytes]
    url: str
    port: int
    signals: Mapping[Mode, signal.Signals]

    def stop(self, mode: Mode = "fast") -> None:
        """End the server and wait. `fast` is clean, `immediate` is a crash; twice is fine."""
        for sign in (self.signals[mode], self.signals["immediate"], signal.SIGKILL):
            self.process.send_signal(sign)  # does nothing once the process was reaped
            try:
                self.process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                continue
            return


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a child is: its user as it sees itself, and how it becomes that."""

    uid: int
    gid: int
    namespace: bool = False
    """The user is a name only: outside of its user namespace the child stays what we are."""

    @property
    def owner(self) -> tuple[int, int]:
        """User and group that the child's files must belong to."""
        return (os.geteuid(), os.getegid()) if self.namespace else (self.uid, self.gid)

    def popen(self, on_parent_death: signal.Signals) -> dict[str, Any]:
        """The arguments of `Popen` that make a child this user, and end it with its starter."""
        starter = os.getpid()
        uid_map, gid_map = f"{self.uid} {os.geteuid()} 1", f"{self.gid} {os.getegid()} 1"
        linux = sys.platform == "linux"

        def between_fork_and_exec() -> None:
            if self.namespace:
                if _LIBC.unshare(_CLONE_NEWUSER):
                    raise OSError(ctypes.get_errno(), "unshare")
                for name, content in (
                    ("setgroups", "deny"),
                    ("gid_map", gid_map),
                    ("uid_map", uid_map),
                ):
                    Path("/proc/self", name).write_text(content)
            if linux:
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(on_parent_death))
                if os.getppid() != starter:  # it ended before we asked to be told
                    os._exit(1)

        arguments: dict[str, Any] = {"preexec_fn": between_fork_and_exec}
        if not self.namespace and self.uid != os.geteuid():
            arguments |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return arguments


def ourselves() -> Identity:
    """The user we already are."""
    return Identity(os.geteuid(), os.getegid())


def spawn(
    command: Iterable[str | Path],
    folder: Path,
    identity: Identity,
    on_parent_death: signal.Signals,
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, its words going to `folder`/log, its id to pid."""
    log_path = folder / "log"
    if log_path.exists() and log_path.stat().st_size > _LOG_LIMIT_BYTES:
        log_path.replace(folder / "log.1")
    try:
        log_path.touch(0o600)
        with log_path.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own words, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                start_new_session=True,
                **identity.popen(on_parent_death),
            )
        (folder / "pid").write_text(str(process.pid))
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerFailed(f"{folder.name} cannot be started: {error}") from error
    return process


def clean_environment() -> dict[str, str]:
    """Our environment without what would turn the servers' words or places elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def wait_ready(
    process: subprocess.Popen[bytes], folder: Path, is_ready: Callable[[], bool]
) -> bool:
    """Wait until the server answers. False: it ended by itself.

    Raises:
      EmbeddedServerFailed: It neither answers nor ends; it was stopped.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if is_ready():
            return True
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise EmbeddedServerFailed(
        f"{folder.name} does not answer within {START_LIMIT_S} s.\n{log_tail(folder)}"
    )


def end_leftover(folder: Path, marker: str, signals: Mapping[Mode, signal.Signals]) -> None:
    """End what a killed starter left running in this folder, and wait for it.

    The caller holds the right to the folder (the keeper's lock); a server of our own is refused.
    """
    pid = read_int(folder / "pid")
    if pid is None or not _runs(pid, marker):
        return
    if _parent(pid) == os.getpid():
        raise EmbeddedServerFailed(f"{folder} already has a running server, process {pid}")
    for sign in (signals["fast"], signals["immediate"], signal.SIGKILL):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_LIMIT_S
        while time.monotonic() < deadline:
            if not _runs(pid, marker):
                return
            time.sleep(0.01)
    raise EmbeddedServerFailed(f"process {pid} of an earlier start holds {folder} and will not end")


def choose_port(folder: Path, wanted: int | None) -> int:
    """The wanted port, else the one of last time if it is free, else a new one."""
    if wanted is not None:
        return wanted
    remembered = read_int(folder / "port")
    if remembered is not None and is_free(remembered):
        return remembered
    chance = random.SystemRandom()
    for _ in range(_PORT_TRIES):
        port = chance.choice(_PORTS)
        if is_free(port):
            return port
    raise EmbeddedServerFailed(f"no free port was found on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether a server could listen there now; connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def password(folder: Path) -> str:
    """The password of the server in this folder, made at the first call."""
    path = folder / "password"
    if not path.exists():
        write_private(path, secrets.token_hex(24))
    return path.read_text()


def private_folder(path: Path, mode: int = 0o700) -> Path:
    """`path`, absolute, made if need be so that only its owner may look in."""
    path = path.absolute()
    try:
        if not path.is_dir():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(mode)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise EmbeddedServerFailed(
            f"{path} cannot be used for the embedded servers: {error.strerror}. "
            "Set FULFILLMENT_STATE_DIR to a folder of yours, or DATABASE_URL and REDIS_URL"
        ) from error
    if path.stat().st_uid != os.geteuid():
        raise EmbeddedServerFailed(
            f"{path} belongs to another user. Set FULFILLMENT_STATE_DIR to a folder of yours"
        )
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by us alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    new.touch(0o600, exist_ok=False)
    new.write_text(text)
    new.replace(path)


def read_int(path: Path) -> int | None:
    """The number at the head of a file, None if there is no such thing."""
    try:
        return int(path.read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return None


def log_tail(folder: Path) -> str:
    """The last lines of a server's log, for an error."""
    try:
        return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-15:])
    except OSError:
        return "(there is no log)"


def _runs(pid: int, marker: str) -> bool:
    """Whether that process runs *and* is ours: ids are used again, in containers soon."""
    proc = Path("/proc", str(pid))
    try:
        if sys.platform == "linux":  # by /proc: slim images have no ps
            return marker in proc.joinpath("cmdline").read_text(errors="replace").split("\0")
        shown = subprocess.run(  # noqa: S603 - our own words, no shell
            ["/bin/ps", "-o", "command=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except OSError:
        return False
    return marker in shown


def _parent(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:  # the name in parentheses may hold anything, so count from its end
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
