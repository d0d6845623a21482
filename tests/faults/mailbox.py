"""The customers' mailboxes, and the mail servers in front of them."""

import socket
import threading
import time
from contextlib import contextmanager
from email import message_from_bytes

from aiosmtpd.controller import Controller

from tests.faults.copies import Copy


class Mailbox:
    """What the workers' SMTP servers took; each worker has a server of its own."""

    def __init__(self):
        self.copies = []
        self.recipients = set()
        self.bodies = {}
        self.lock = threading.Lock()

    @contextmanager
    def served(self, worker):
        """The port of the worker's server, while it is there."""
        with socket.socket() as probe:  # the controller cannot choose a port by itself
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        controller = Controller(Slot(self, worker), hostname="127.0.0.1", port=port)
        controller.start()
        try:
            yield port
        finally:
            controller.stop()


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
            same = taken.bodies.setdefault(message_id, envelope.content)
            assert same == envelope.content
            taken.copies.append(
                Copy(message_id, self.worker, session.peer, envelope.begun_at, time.time())
            )
        return "250 OK"
