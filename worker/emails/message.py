"""An e-mail as it goes out: text and HTML in one message; its bytes follow from its facts alone."""

import unicodedata
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from uuid import UUID

from worker.emails.rendering import Rendered
from worker.orders.value import value


@value
class Mail:
    """A message and its envelope. `needs_utf8`: only a server with SMTPUTF8 takes it."""

    mail_id: UUID
    message_id: str
    sender: str
    to: str
    content: bytes

    @property
    def needs_utf8(self) -> bool:
        return not (self.to.isascii() and self.sender.isascii())


@value
class Sender:
    """Whom e-mails come from; addresses are checked."""

    address: str
    name: str | None = None
    reply_to: str | None = None


def compose(rendered: Rendered, *, mail_id: UUID, to: str, at: datetime, sender: Sender) -> Mail:
    """The e-mail; a second one of the same facts is the same to the byte."""
    message_id = f"<{mail_id}@{sender.address.rpartition('@')[2]}>"
    is_ascii = to.isascii() and sender.address.isascii()
    message = EmailMessage(policy=SMTP if is_ascii else SMTPUTF8)
    message["From"] = _address(sender.address, header_text(sender.name or ""))
    message["To"] = _address(to)
    if sender.reply_to:
        message["Reply-To"] = _address(sender.reply_to)
    message["Subject"] = header_text(rendered.subject)
    message["Date"] = at
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    # Quoted-printable whatever the text: lines stay short, and none can look like the boundary.
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{mail_id.hex}")
    return Mail(mail_id, message_id, sender.address, to, message.as_bytes())


def _address(address: str, name: str = "") -> Address:
    user, _, domain = address.rpartition("@")
    return Address(name, user, domain)


def header_text(text: str) -> str:
    """The text on one line, and nothing that a mail program would decode: `=?utf-8?q?=0A?=` in an
    order's number would come out as a line break, and what follows as a header.
    """
    line = " ".join("".join(_printable(char) for char in text).split())
    return line.replace("=?", "= ?")


def _printable(char: str) -> str:
    return " " if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} else char
