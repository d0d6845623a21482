"""The customers' mailboxes, and the mail servers in front of them."""

import socket
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from email import message_from_bytes

from aiosmtpd.controller import Controller

from tests.faults.copies import Copy


class Mailbox:
    """What the workers' SMTP servers took; each worker has a server of its own."""

    def __init__(self):
        self.copies = []
        self.recipients = set()
        self.bodies = defaultdict(set)
        """By Message-ID: more than one where the facts have changed between two copies."""
        self.lock = threading.Lock()

    @contextmanager
    def served(self, worker):
        """The port of the worker's server, while it is there."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            controller = Taking(Slot(self, worker), listening)
            controller.start()
            try:
                yield controller.port
            finally:
                controller.stop()


class Taking(Controller):
    """A mail server on a socket that listens already.

    The controller can bind to a given port only, and a port that was free a moment ago can be the
    near end of somebody's connection by now.
    """

    def __init__(self, handler, listening):
        self._listening = listening
        hostname, port = listening.getsockname()
        super().__init__(handler, hostname=hostname, port=port)

    def _create_server(self):
        return self.loop.create_server(self._factory_invoker, sock=self._listening)


class Slot:
    """Where a worker's e-mails come in."""

    def __init__(self, mailbox, worker):
        self.mailbox, self.worker = mailbox, worker

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  # aiosmtpd's name
        envelope.begun_at = time.time()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd's name
        message_id = message_from_bytes(envelope.content)["Message-ID"]
        taken = self.mailbox
        with taken.lock:
            taken.recipients.update(envelope.rcpt_tos)
            taken.bodies[message_id].add(envelope.content)
            taken.copies.append(
                Copy(message_id, self.worker, session.peer, envelope.begun_at, time.time())
            )
        return "250 OK"
