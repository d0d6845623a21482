"""A mail server by URL."""

from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

Starttls = Literal["offered", "always", "never"]

_PORTS = {"smtps": 465, "smtp": 25}
_SUBMISSION_PORT = 587


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where a mail server is, and how to talk to it; what signs in is not in its repr."""

    host: str
    port: int
    is_tls: bool
    """TLS from the first byte (RFC 8314)."""
    starttls: Starttls
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def read_smtp_url(url: str) -> SmtpServer:
    """The server of `smtps://user:password@host`, `smtp://user:password@host`, `smtp://host`.

    `smtps` is TLS from the start, port 465. `smtp` takes STARTTLS where it is offered, and insists
    on it where there is a password; port 587 with a password, else 25. `?starttls=always` insists
    on it in any case, `?starttls=never` never asks. Special characters in user and password are
    percent-encoded.

    Raises:
      ValueError: It is no such URL. The text does not quote it.
    """
    shape = "must be like smtp://user:password@host:587 or smtps://user:password@host"
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as looking it up will
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(shape) from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"}:
        raise ValueError(shape)
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have both a user and a password, or neither")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (user + password).isascii():
        raise ValueError("user and password may hold ASCII only")  # smtplib can send no other
    is_signing_in, is_tls = bool(parts.username), parts.scheme == "smtps"
    starttls, *more = options.pop("starttls", ["always" if is_signing_in else "offered"])
    if options or more or starttls not in {"offered", "always", "never"}:
        raise ValueError("its only option is ?starttls=always, offered or never")
    standard = _SUBMISSION_PORT if is_signing_in and not is_tls else _PORTS[parts.scheme]
    return SmtpServer(
        host=parts.hostname,
        port=port or standard,
        is_tls=is_tls,
        starttls=cast("Starttls", starttls),
        user=user or None,
        password=password or None,
    )
