"""The HTTP door on a port of this process, in a thread of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tests.work import rig
from worker.web.app import make_app
from worker.web.door import Door


@contextmanager
def served(door: Door) -> Iterator[str]:
    """The door's address, as long as it answers."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        make_app(door), http="h11", ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        rig.until(lambda: server.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        door.waiting.close()
        server.should_exit = True
        thread.join(20)
        listening.close()
