"""`web`: the HTTP door."""

import ipaddress
import socket
import sys
from typing import Annotated, Final

import typer

from worker import supervise as supervisor
from worker import tracing
from worker.cli.exits import Code, Failure
from worker.cli.output import note, say
from worker.cli.session import check_schema, session
from worker.plugins import CannotUse
from worker.servers import keep_up

app = typer.Typer()

BACKLOG: Final = 2048


@app.command()
def web(
    *,
    host: Annotated[
        str, typer.Option(help="Where to listen; put a proxy that speaks TLS before it.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: any that is free; it is printed.")
    ] = 8080,
    descriptor: Annotated[
        int | None,
        typer.Option(
            "--fd",
            min=3,
            help="Serve a socket that is open already, in place of host and port; systemd's is 3."
            " Who holds it can replace this program: connections wait meanwhile.",
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many.")] = 1,
    no_keys: Annotated[
        bool, typer.Option("--no-keys", help="Let everybody in; on loopback only, for trials.")
    ] = False,
) -> None:
    """Take commands and tell of orders over HTTP, until SIGTERM or Ctrl-C.

    Keys are made with `fulfillment keys add`; without one the door opens to nobody.
    """
    listening = None if descriptor is None else _handed(descriptor)
    if listening:
        host = listening.getsockname()[0]
    if no_keys and not _is_loopback(host):
        raise Failure("--no-keys: only on loopback, such as 127.0.0.1", Code.USAGE)
    with session() as opened:
        config = opened.settings
        _ = opened.rules  # the settings may name a provider that is not known
        check_schema(opened.engine)
    try:
        tracing.check(config)
    except CannotUse as error:
        raise Failure(str(error), Code.USAGE) from None
    listening = listening or _bound(host, port)
    shown = f"[{host}]" if ":" in host else host
    say(f"listening on http://{shown}:{listening.getsockname()[1]}")
    if no_keys:
        note("without keys: whoever reaches this address may do everything")
    argv = [sys.executable, "-m", "worker.web", str(listening.fileno())]
    code = supervisor.keep_running(
        argv + ["--no-keys"] * no_keys,
        processes,
        shutdown_timeout_ms=config.shutdown_timeout_ms,
        every=lambda: keep_up(config),
        pass_fds=(listening.fileno(),),
    )
    raise typer.Exit(code)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failure(f"{host}:{port}: {reason}") from None


def _handed(descriptor: int) -> socket.socket:
    try:
        handed = socket.socket(fileno=descriptor)
    except OSError as error:
        raise Failure(f"--fd {descriptor}: {error.strerror}", Code.USAGE) from None
    is_tcp = handed.family in {socket.AF_INET, socket.AF_INET6}
    if not is_tcp or not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        handed.detach()  # it is the parent's
        raise Failure(f"--fd {descriptor}: no TCP socket that listens", Code.USAGE)
    return handed
