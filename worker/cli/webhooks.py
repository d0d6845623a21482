"""`webhooks`: what payment providers tell unasked."""

import signal
import threading
from typing import Annotated, Any

import typer

from worker.cli.exits import Code, Failure
from worker.cli.output import say
from worker.cli.session import session
from worker.plugins import CannotUse
from worker.refunds.provider import MANUAL
from worker.refunds.webhooks import THREADS, Receiver
from worker.store.engine import make_engine

app = typer.Typer()


@app.command()
def webhooks(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: any that is free; it is printed.")
    ] = 9292,
    host: Annotated[
        str, typer.Option(help="Where to listen; put a proxy that speaks TLS before it.")
    ] = "127.0.0.1",
) -> None:
    """Receive what payment providers tell of refunds, until SIGTERM or Ctrl-C: settled after all,
    or failed after all.
    """
    with session() as opened:
        found = opened.providers
        names = [name for name in found.names if name != MANUAL]
        if not names:
            raise Failure("FULFILLMENT_REFUND_PROVIDERS names nobody who sends news", Code.USAGE)
        try:
            found.check()
        except CannotUse as error:
            raise Failure(str(error), Code.USAGE) from None
        engine = make_engine(opened.servers.database_url, opened.settings, pool_size=THREADS)
        try:
            server = Receiver(host, port, engine, {name: found.of(name) for name in names})
        except OSError as error:
            raise Failure(f"{host}:{port}: {error.strerror or error}") from None
        for name in names:
            say(f"listening on http://{host}:{server.server_port}/webhooks/{name}")
        _serve(server)
        engine.dispose()


def _serve(server: Receiver) -> None:
    """Until a signal comes; then what is in progress is finished."""
    stop = threading.Event()

    def end(*_: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    server.shutdown()
    server.server_close()
