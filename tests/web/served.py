"""The HTTP door on a port of this process, in a thread of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.work import rig
from worker.web.door import Door
from worker.web.serve import Server


@contextmanager
def served(door: Door) -> Iterator[str]:
    """The door's address, as long as it answers."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1024) as listening,
        serving(door, listening),
    ):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def serving(door: Door, listening: socket.socket) -> Iterator[Server]:
    """A server that answers on a socket of ours; at the end it has ended, and ours is open."""
    server = Server(door)
    thread = threading.Thread(target=server.run, args=([listening.dup()],), daemon=True)
    thread.start()
    try:
        rig.until(lambda: server.started)
        yield server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server still runs"
