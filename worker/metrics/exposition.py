"""The exposition: a forked process that answers `/metrics`, `/livez` and `/readyz`.

One for all worker processes of a `fulfillment worker`, or of a plain `dramatiq actors`. It is a
process of its own: the supervisor has to stay without threads to fork safely.
"""

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkProcess
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from worker import probe
from worker.logs import configure
from worker.metrics import folder as files
from worker.metrics.ended import bury
from worker.metrics.gauges import RedisGauge, WorkGauges
from worker.servers import Servers, servers
from worker.settings import Settings, settings
from worker.store.engine import make_engine

RETRY_S: Final = 2.0
"""A taken port is tried again: the worker that we replace may still be finishing its work."""
LOOK_S: Final = 0.5
STOP_S: Final = 2.0
IDLE_S: Final = 5.0

log = structlog.get_logger()

Environ = dict[str, Any]
Answer = Callable[[Environ, Any], Iterable[bytes]]


class Exposition:
    """The exposition's process, in the hands of a supervisor: kept running, stopped at the end."""

    def __init__(self, config: Settings, where: Servers, folder: Path) -> None:
        self._start: Callable[[], ForkProcess] = lambda: _fork(config, where, folder)
        self._process = self._start()

    def keep(self) -> None:
        """Start it again if it ended."""
        if not self._process.is_alive():
            log.warning("exposition_restarted", code=self._process.exitcode)
            self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(STOP_S)
        self._process.kill()
        self._process.join()


@contextmanager
def gathering(config: Settings, where: Servers) -> Iterator[Callable[[], object]]:
    """For a supervisor: one exposition of what all its workers count. Gives what keeps it up, to
    be called every few seconds. Its folder is fresh, and gone in the end.
    """
    folder = config.metrics_port and files.try_join(config.run_dir, os.getpid())
    if not folder:
        yield lambda: None
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # for the workers
    try:
        with Exposition(config, where, folder) as exposition:
            yield exposition.keep
    finally:
        # Whoever comes next has a folder of its own.
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        shutil.rmtree(folder, ignore_errors=True)


def expose_actors() -> int:
    """The exposition of a plain `dramatiq actors`, which forks this and never looks again."""
    config = settings()
    configure(config.log_level)
    if folder := files.try_join(config.run_dir, os.getppid()):
        expose(config, servers(config), folder)
    return 0


def expose(config: Settings, where: Servers, folder: Path) -> None:
    """Answer until the process that forked this one is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("the exposition is a forked process")
    app = application(config, where, folder)
    server: Server | None = None
    try_at = 0.0
    was_taken = False
    # Not `is_alive`: it watches a pipe that processes forked beside this one may hold open.
    while os.getppid() == parent.pid:
        if server is None and time.monotonic() >= try_at:
            try:
                server = Server(config.metrics_host, config.metrics_port, app)
            except OSError as error:
                if not was_taken:
                    log.warning(
                        "metrics_not_served",
                        host=config.metrics_host,
                        port=config.metrics_port,
                        reason=error.strerror or str(error),
                    )
                was_taken = True
                try_at = time.monotonic() + RETRY_S
            else:
                log.info("metrics_served", host=config.metrics_host, port=server.server_port)
                threading.Thread(target=server.serve_forever, daemon=True).start()
        time.sleep(LOOK_S)


def application(config: Settings, where: Servers, folder: Path) -> Answer:
    """The three answers; anything else is not found."""
    # Short limits: whoever asks has gone away after some seconds.
    hurried = config.model_copy(update={"statement_timeout_ms": 5_000})
    engine = make_engine(where.database_url, hurried, pool_size=1)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]  # the library leaves it untyped
    registry.register(WorkGauges(engine))
    registry.register(RedisGauge(where.redis_url))
    metrics: Answer = make_wsgi_app(registry)
    one_at_a_time = threading.Lock()

    def read_metrics(environ: Environ, start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:  # files of ended processes are gathered, not from under a reader
            with suppress(OSError):  # a full disk: their numbers are read where they are
                bury(folder)
            return metrics(environ, start_response)

    def probed(check: Callable[[], probe.Finding]) -> Answer:
        def answer(_: Environ, start_response: Any) -> Iterable[bytes]:
            found = check()
            status = "200 OK" if found.is_ok else "503 Service Unavailable"
            start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
            # Not the cause, which names hosts and users, to whoever can reach this.
            why = "ok" if found.is_ok else found.text.partition(":")[0]
            return [f"{why}\n".encode()]

        return answer

    answers: dict[str, Answer] = {
        "/metrics": read_metrics,
        "/livez": probed(lambda: probe.live(config)),
        "/readyz": probed(lambda: probe.ready(config, where)),
    }

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return answers.get(environ["PATH_INFO"], _not_found)(environ, start_response)

    return app


def _not_found(_: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"there are /metrics, /livez and /readyz\n"]


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request; bound when it is made.

    Raises:
      OSError: The address cannot be bound.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, app: Answer) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        # Not as HTTPServer does: it asks the name service who we are, which can take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
        log.warning("metrics_request_failed", error=repr(sys.exception()))


class _Handler(WSGIRequestHandler):
    timeout = IDLE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """A line for each scrape would be noise."""


def _fork(config: Settings, where: Servers, folder: Path) -> ForkProcess:
    def run() -> None:
        # The terminal's Ctrl-C is the supervisor's; it ends us when the workers have ended.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        expose(config, where, folder)

    # Forked, not spawned: the supervisor has imported everything already, and has no threads.
    process = multiprocessing.get_context("fork").Process(target=run, name="metrics", daemon=True)
    process.start()
    return process
