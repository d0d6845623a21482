"""The e-mail as bytes: the same for the same facts, and headers that nobody can add to."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.emails.mail_rig import MAIL_ID, parts, read
from worker.emails.message import Sender, compose
from worker.emails.rendering import Rendered

AT = datetime(2026, 3, 1, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
HEADERS = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
]
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def composed(subject="Shipped", text="Hello\n", html="<p>Hello</p>", **fields):
    sender = fields.pop("sender", Sender("orders@shop.example", "Shop", "help@shop.example"))
    fields = {"mail_id": MAIL_ID, "to": "zoe@shop.example", "at": AT, "sender": sender} | fields
    return compose(Rendered(subject, text, html), **fields)


def test_headers():
    """From, to, reply, subject, the time of the fact, an id that follows from the follow-up's."""
    message = read(composed("Expédiée").content)

    assert message.keys() == HEADERS
    assert message["From"] == "Shop <orders@shop.example>"
    assert message["To"] == "zoe@shop.example"
    assert message["Reply-To"] == "help@shop.example"
    assert message["Subject"] == "Expédiée"
    assert message["Date"].datetime == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert message["Message-ID"] == f"<{MAIL_ID}@shop.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"


def test_same_to_the_byte():
    """A copy is the same to the byte; another follow-up's e-mail has another id and boundary."""
    assert composed() == composed()

    other = composed(mail_id=UUID(int=7))
    assert other.message_id != composed().message_id
    assert read(other.content).get_boundary() != read(composed().content).get_boundary()


def test_wire_form():
    """Lines are short ASCII and end in CR LF, whatever the words."""
    content = composed("é" * 300, "马" * 3000 + "\n", "<p>" + "é" * 3000 + "</p>").content

    assert content.isascii()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert max(len(line) for line in content.split(b"\r\n")) <= 78


@given(subject=ANYTHING, shop_name=ANYTHING)
@example("=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLmV4YW1wbGU=?=", "\u2028Bcc: x\x85Bcc: y\x00")
@example("x" * 2000, '"quoted" <eve@evil.example>, b')
def test_headers_cannot_be_added(subject, shop_name):
    """Whatever an order's number or a shop's name holds, there are these headers and no others, one
    recipient, one sender, and the body begins where it should.
    """
    content = composed(
        subject, sender=Sender("o@shop.example", shop_name, "h@shop.example")
    ).content
    message = read(content)

    assert message.keys() == HEADERS
    assert [one.addr_spec for one in message["From"].addresses] == ["o@shop.example"]
    assert [one.addr_spec for one in message["To"].addresses] == ["zoe@shop.example"]
    assert "\n" not in message["Subject"]
    assert parts(content) == ["Hello\n", "<p>Hello</p>\n"]


@given(text=ANYTHING)
@example(f"--=_{MAIL_ID.hex}--\n.\nFrom here\n")
def test_body_stays_inside(text):
    """No text can end its part early, though it knows the boundary."""
    content = composed(text=text + "\n").content

    assert [part.get_content_type() for part in read(content).iter_parts()] == [
        "text/plain",
        "text/html",
    ]
    assert parts(content)[1] == "<p>Hello</p>\n"


@pytest.mark.parametrize(
    ("to", "needs"), [("zoe@xn--bcher-kva.example", False), ("zoé@shop.example", True)]
)
def test_utf8_only_where_needed(to, needs):
    """Only letters beyond ASCII before the @ make it an e-mail for servers with SMTPUTF8."""
    one = composed(to=to)

    assert one.needs_utf8 is needs
    assert f"To: {to}\r\n".encode() in one.content
