"""What tests of e-mails share: facts without a database, and mail servers that answer as told."""

import asyncio
import select
import socket
import threading
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import SMTP as SMTP_POLICY
from html.parser import HTMLParser
from uuid import UUID

from aiosmtpd.smtp import SMTP

from worker.emails.facts import Facts
from worker.emails.message import Mail

MAIL_ID = UUID("019a0000-0000-7000-8000-000000000001")

SHIPPED = {
    "told_at": "2026-03-01T12:00:00+00:00",
    "order_id": "O-1",
    "number": "1001",
    "currency": "EUR",
    "customer_name": "Zoë",
    "customer_email": "zoe@shop.example",
    "opted_out": False,
    "locale": None,
    "is_cancelled": False,
    "items": [{"name": "Mug", "quantity": 2}],
    "to_come": [],
    "parcel": {
        "carrier": "DHL",
        "tracking_number": "00340",
        "tracking_url": None,
        "tracking_page": "https://track.example/{number}",
        "is_voided": False,
        "told": ["done"],
    },
    "to_refund_minor": None,
    "refunded": [],
}


def facts(kind="shipped", **document):
    """The facts of one parcel with two mugs, the last of its order."""
    return Facts(kind, {**SHIPPED, **document})


def mail(number=1, to="zoe@shop.example", **fields):
    """An e-mail as it is given to a server."""
    content = f"Message-ID: <{number}@shop.example>\r\nSubject: {number}\r\n\r\nHello\r\n".encode()
    fields = {"sender": "orders@shop.example", "content": content} | fields
    return Mail(MAIL_ID, f"<{number}@shop.example>", fields["sender"], to, fields["content"])


def read(content):
    """The message in the bytes."""
    return message_from_bytes(content, policy=SMTP_POLICY)


def row(quantity, name):
    """A line of a list in the text."""
    return f"- {quantity} \N{MULTIPLICATION SIGN} {name}"


def parts(content):
    """Text and HTML of the message."""
    message = read(content)
    bodies = (message.get_body((kind,)) for kind in ("plain", "html"))
    return [body.get_content().replace("\r\n", "\n") for body in bodies]


class Page(HTMLParser):
    """What a page shows and what it would fetch; well-formed, or it raises."""

    VOID = ("meta", "br", "hr", "img")

    def __init__(self, html):
        super().__init__()
        self.words, self.tags, self.links, self.fetched = [], [], [], []
        self._open = []
        self.feed(html)
        self.close()
        assert self._open == [], "an element is not closed"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self._open.append(tag)
        for name, value in attributes:
            if name == "href" and tag == "a":
                self.links.append(value)
            elif name in {"href", "src", "background", "srcset", "action"} or (
                name == "style" and "url(" in value
            ):
                self.fetched.append(value)
            assert not name.startswith("on"), f"{tag} has a script"

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self._open):
            self.words.append(data)
        elif self._open[-1] == "style" and ("url(" in data or "@import" in data):
            self.fetched.append(data)


class MailServer:
    """An SMTP server that says yes, but for the answers it was told: `server.answers["RCPT"]` is a
    list that its next answers to RCPT are taken from.

    An answer of `hang_up` closes the connection without a word.
    """

    def __init__(self, loop, *, ssl=None, **options):
        self.answers = {}
        self.got = []
        self.sessions = []
        self.senders = []
        self.quits = 0
        self.times_tls = []
        self._loop = loop
        self._options = options
        self._server = self._call(self._start(ssl))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"smtp://127.0.0.1:{self.port}"

    async def _start(self, tls):
        return await self._loop.create_server(self._session, "127.0.0.1", 0, ssl=tls)

    def _session(self):
        session = SMTP(self, hostname="mail.example", loop=self._loop, **self._options)
        self.sessions.append(session)
        return session

    def hang_up(self):
        """Close what is open, as a server does with connections that are idle for too long."""
        self._call(self._hang_up())

    async def _hang_up(self):
        for session in self.sessions:
            if session.transport:
                session.transport.close()
        await asyncio.sleep(0)

    def stop(self):
        async def stop():
            self._server.close()
            await self._hang_up()

        self._call(stop())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _answer(self, verb, session, yes):
        told = self.answers.get(verb) or []
        answer = told.pop(0) if told else yes
        if answer == "hang_up":
            session.transport.abort()
            return "250 nobody hears this"
        return answer

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802  # aiosmtpd finds it by this name
        self.senders.append((address, tuple(options)))
        answer = self._answer("MAIL", server, "250 OK")
        if answer.startswith("250"):
            envelope.mail_from = address
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  # aiosmtpd finds it by this name
        answer = self._answer("RCPT", server, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  # aiosmtpd finds it by this name
        answer = self._answer("DATA", server, "250 OK")
        if answer.startswith("250"):
            self.got.append(envelope)
            self.times_tls.append(server.session.ssl is not None)
        return answer

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802  # aiosmtpd finds it by this name
        self.quits += 1
        return "221 Bye"


@contextmanager
def event_loop():
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@contextmanager
def talking(*lines):
    """A server that says these lines, one at each turn, and then nothing more; its URL. For what
    aiosmtpd never says.
    """

    def talk():
        connection, _ = listener.accept()
        with connection:
            for line in lines:
                connection.sendall(line.encode() + b"\r\n")
                while not select.select([connection], [], [], 0.05)[0]:
                    if ended.is_set():
                        return
                connection.recv(4096)
            ended.wait(20)

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join(10)
