"""Sending by SMTP: one connection kept per thread, and what each answer means.

Errors tell the answer's code and enhanced status (RFC 3463) and no more: servers quote addresses.
"""

import re
import smtplib
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Final

from worker.emails.message import Mail
from worker.emails.smtp_url import SmtpServer
from worker.errors import Terminal, Transient

UNREACHABLE: Final = "smtp_unreachable"
NO_TLS: Final = "smtp_no_tls"
SIGN_IN: Final = "smtp_sign_in"
DEFERRED: Final = "smtp_deferred"
"""The server said 4xx: not now."""
REJECTED: Final = "smtp_rejected"
"""The server said 5xx: not this e-mail, not to this address."""

CONNECT_S: Final = 10.0
"""For each of the server's addresses."""
IDLE_S: Final = 30.0
"""A connection that was idle for longer is made anew: a firewall may have forgotten it without a
word, and the next e-mail would wait for an answer in vain.
"""
QUIT_S: Final = 2.0

_CLOSING: Final = 421
_STATUS: Final = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")

Answer = tuple[int, bytes]


class _Stale(Transient):
    """A kept connection was closed, and nothing of the e-mail has gone out."""


class Smtp:
    """Sends e-mails to one server. Each thread has a connection of its own, made when it first
    sends, and made anew when the server has closed it meanwhile.

    Args:
      timeout_s: For one e-mail in all, once the server's address is known.
      idle_s: How long a connection may rest.
      context: Whose certificates are believed; by default the system's, or `SSL_CERT_FILE`.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        timeout_s: float,
        idle_s: float = IDLE_S,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._context = context or ssl.create_default_context()
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: set[_Client] = set()

    def deliver(self, mail: Mail) -> None:
        """Send it; returns once the server has said that it has it.

        Raises:
          worker.errors.Transient: Not now: 4xx, no connection, no sign-in, no answer. Without the
            answer to its content the server may have it, and the next try is a second copy.
          worker.errors.Terminal: Not ever: 5xx.
        """
        until = time.monotonic() + self._timeout_s
        if client := self._kept():
            client.until = until
            try:
                return self._send(client, mail)
            except _Stale:
                pass  # a fresh one, at once
        return self._send(self._connect(until), mail)

    def close(self) -> None:
        """Say goodbye on every connection, when no thread sends any more."""
        with self._lock:
            clients, self._open = self._open, set()
        self._own = threading.local()
        for client in clients:
            client.until = time.monotonic() + QUIT_S
            with suppress(smtplib.SMTPException, OSError):
                client.quit()
            client.close()

    def _send(self, client: "_Client", mail: Mail) -> None:
        if mail.needs_utf8 and not client.has_extn("smtputf8"):
            raise Terminal(REJECTED, "the mail server takes only ASCII before the @: no SMTPUTF8")
        options = ("SMTPUTF8", "BODY=8BITMIME") if mail.needs_utf8 else ()
        self._step(client, "MAIL FROM", client.mail, mail.sender, options)
        self._step(client, "RCPT TO", client.rcpt, mail.to)
        self._step(client, "DATA", client.data, mail.content)
        client.used_at = time.monotonic()

    def _step(
        self, client: "_Client", step: str, call: Callable[..., Answer], *arguments: Any
    ) -> None:
        try:
            code, text = call(*arguments)
        except smtplib.SMTPDataError as error:  # the command, not the content
            code, text = error.smtp_code, _bytes(error.smtp_error)
            if code < 400:  # noqa: PLR2004  # neither 354 nor a refusal: to something before
                self._drop(client)
                raise Transient(UNREACHABLE, "the mail server's answers are out of step") from error
        except (smtplib.SMTPException, OSError) as error:
            self._drop(client)
            failure = _Stale if step == "MAIL FROM" else Transient
            raise failure(UNREACHABLE, f"the mail server did not answer {step}") from error
        if 200 <= code < 300:  # noqa: PLR2004  # RFC 5321, 4.2.1: 2yz is success
            return
        if code == _CLOSING:
            self._drop(client)
            if step == "MAIL FROM":
                raise _Stale(DEFERRED, _refused(step, code, text))
        else:
            self._reset(client)
        raise _refusal(step, code, text)

    def _reset(self, client: "_Client") -> None:
        """Let the connection forget the refused e-mail; one that cannot is given up."""
        try:
            is_reset = client.rset()[0] == 250  # noqa: PLR2004  # RFC 5321, 4.1.1.5
        except (smtplib.SMTPException, OSError):
            is_reset = False
        if not is_reset:
            self._drop(client)

    def _kept(self) -> "_Client | None":
        client: _Client | None = getattr(self._own, "client", None)
        if client is None or time.monotonic() - client.used_at < self._idle_s:
            return client
        self._drop(client)
        return None

    def _connect(self, until: float) -> "_Client":
        server = self._server
        client = None
        step = "the connection"
        try:
            client = _open(server, self._context, until)
            step = "EHLO"
            client.ehlo_or_helo_if_needed()
            if not server.is_tls and server.starttls != "never":
                step = "STARTTLS"
                self._encrypt(client)
            if server.user is not None and server.password is not None:
                step = "AUTH"
                client.login(server.user, server.password)
        except (smtplib.SMTPException, OSError, Transient) as error:
            if client is not None:
                client.close()
            raise _not_connected(step, error) from error
        self._own.client = client
        with self._lock:
            self._open.add(client)
        return client

    def _encrypt(self, client: "_Client") -> None:
        if client.has_extn("starttls"):
            client.starttls(context=self._context)
            client.ehlo_or_helo_if_needed()
        elif self._server.starttls == "always":
            raise Transient(NO_TLS, "the mail server offers no STARTTLS")

    def _drop(self, client: "_Client") -> None:
        client.close()
        with self._lock:
            self._open.discard(client)
        if getattr(self._own, "client", None) is client:
            del self._own.client


class _Client(smtplib.SMTP):
    """A connection on which nothing waits beyond `until`, on the monotonic clock."""

    def __init__(self, until: float, **options: Any) -> None:
        self.until = until
        self.used_at = time.monotonic()
        super().__init__(timeout=CONNECT_S, local_hostname=_own_name(), **options)

    def send(self, s: Any) -> None:
        self._limit()
        super().send(s)

    def getreply(self) -> Answer:
        self._limit()
        return super().getreply()

    def _limit(self) -> None:
        if self.sock is not None:
            # 0 would mean: do not wait at all, and raise another error.
            self.sock.settimeout(max(self.until - time.monotonic(), 0.001))


class _TlsClient(_Client, smtplib.SMTP_SSL):
    """TLS from the first byte."""


@cache
def _own_name() -> str:
    """What this machine calls itself; asked once, since it may ask the name service."""
    return smtplib.SMTP().local_hostname


def _open(server: SmtpServer, context: ssl.SSLContext, until: float) -> _Client:
    if server.is_tls:
        return _TlsClient(until, host=server.host, port=server.port, context=context)
    return _Client(until, host=server.host, port=server.port)


def _not_connected(step: str, error: Exception) -> Transient | Terminal:
    match error:
        case Transient():
            return error
        case smtplib.SMTPAuthenticationError():
            answer = _answer(error.smtp_code, _bytes(error.smtp_error))
            return Transient(SIGN_IN, f"the mail server refused the sign-in: {answer}")
        case smtplib.SMTPException() if step == "AUTH" and not _is_gone(error):
            return Transient(SIGN_IN, "the mail server offers no sign-in that is known here")
        case ssl.SSLError():
            return Transient(NO_TLS, f"no TLS with the mail server: {type(error).__name__}")
        case smtplib.SMTPResponseException() if step == "STARTTLS":
            answer = _answer(error.smtp_code, _bytes(error.smtp_error))
            return Transient(NO_TLS, f"the mail server refused STARTTLS: {answer}")
        case smtplib.SMTPResponseException():
            return _refusal(step, error.smtp_code, _bytes(error.smtp_error))
        case _:
            cause = getattr(error, "strerror", None) or type(error).__name__
            return Transient(UNREACHABLE, f"the mail server cannot be reached: {cause}")


def _is_gone(error: Exception) -> bool:
    return isinstance(error, smtplib.SMTPServerDisconnected)


def _refusal(step: str, code: int, text: bytes) -> Transient | Terminal:
    if 500 <= code < 600:  # noqa: PLR2004  # RFC 5321, 4.2.1: 5yz is for good
        return Terminal(REJECTED, _refused(step, code, text))
    return Transient(DEFERRED, _refused(step, code, text))


def _refused(step: str, code: int, text: bytes) -> str:
    return f"the mail server refused {step}: {_answer(code, text)}"


def _answer(code: int, text: bytes) -> str:
    """`550 5.1.1`: no text, which would quote the address."""
    status = _STATUS.match(text)
    return f"{code} {status[0].decode()}" if status else str(code)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
