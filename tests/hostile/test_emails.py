"""Hostile texts in e-mails: each stays the word that it is, in the headers, in the text, on the
page, and in a merchant's own templates.
"""

from email import message_from_string
from email.policy import default
from html.parser import HTMLParser
from urllib.parse import quote, urlsplit

import pytest

from tests.emails import mail_rig
from tests.hostile import corpus
from worker.emails.address import BadAddress, checked
from worker.emails.facts import KINDS
from worker.emails.language import Languages
from worker.emails.message import Sender, compose
from worker.emails.rendering import Rendered, Rendering, method_name

TEXTS = list(corpus.STORED.values())
MARKS = [one for one in TEXTS if set(one.text) & set("<>&{%\"'")]
"""Those that would mean something to a page, an address or a template."""
HARMLESS, METHOD = "WORDS", "MEANS"
"""What stands for a text in the e-mail that others are compared with."""
HEADERS = [
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version",
    "Content-Type",
]  # fmt: skip
PAGE = "https://track.example/"

OWN = {
    "shipped.txt": "{{ order }}: {{ customer_name }}\n\n"
    "{{ _('Hello %(name)s,', name=customer_name) }} {{ carrier }} {{ tracking_number }}\n"
    "{% for item in items + to_come %}{{ item.name }}\n{% endfor %}{{ shop_name }}",
    "shipped.html": '{% extends "layout.html" %}{% block body %}'
    '<p title="{{ customer_name }}">{{ carrier }}, {{ tracking_number }}</p>'
    '<p><a href="{{ tracking_url }}">{{ order }}</a></p>{% endblock %}',
    "en.po": 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n\n'
    'msgid "Hello %(name)s,"\nmsgstr "%(name)s, 100 %%"\n',
}
"""Templates of a merchant, and a catalogue."""


@pytest.fixture
def own(tmp_path):
    """The folder with them."""
    for name, text in OWN.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def facts(kind, text, method):
    """Facts with the text in every field of free text."""
    return mail_rig.facts(
        kind,
        number=text,
        customer_name=text,
        items=[{"name": text, "quantity": 2}],
        to_come=[{"name": text, "quantity": 1}],
        to_refund_minor=100,
        refunded=[{"method": method, "amount_minor": 100}],
        parcel={
            "carrier": text,
            "tracking_number": text,
            "tracking_url": None,
            "tracking_page": f"{PAGE}{{number}}",
        },
    )


def sent(rendered, to="zoe@shop.example", **sender):
    sender = {"address": "o@shop.example", "name": "Shop", "reply_to": "help@shop.example"} | sender
    at = mail_rig.facts().told_at
    mail = compose(rendered, mail_id=mail_rig.MAIL_ID, to=to, at=at, sender=Sender(**sender))
    return message_from_string(mail.content.decode(), policy=default)


def on_one_line(text):
    """The text as a header has it."""
    return " ".join(text.split()).replace("=?", "= ?")


class Page(HTMLParser):
    """A page's parts: its marks without where links lead, where those lead, and its words."""

    def __init__(self, html):
        super().__init__()
        self.marks, self.links, self.words = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name == "href"]
        self.marks.append((tag, [(n, "" if n == "href" else value) for n, value in attrs]))

    def handle_endtag(self, tag):
        self.marks.append(f"/{tag}")

    def handle_data(self, data):
        self.words.append(data)

    def handle_comment(self, data):
        self.marks.append(f"<!--{data}")

    def handle_decl(self, decl):
        self.marks.append(f"<!{decl}")

    def handle_pi(self, data):
        self.marks.append(f"<?{data}")


def with_text(value, text, method):
    """What the harmless e-mail has, with this text in it."""
    if isinstance(value, str):
        link = f"{PAGE}{quote(text, safe='')}"
        return (
            value.replace(f"{PAGE}{HARMLESS}", link).replace(HARMLESS, text).replace(METHOD, method)
        )
    return type(value)(with_text(part, text, method) for part in value or ())


def check(kind, write, texts=TEXTS):
    """What is written with each text is what is written with a harmless one, but for the text: the
    subject, the text, the page's elements, their attributes, its words, and where it leads.
    """
    harmless = write(HARMLESS, METHOD)
    page = Page(harmless.html)
    assert HARMLESS in harmless.subject + harmless.text
    assert {link.partition(HARMLESS)[0] for link in page.links} <= {PAGE}

    for text in (one.stored for one in texts):
        one, method = write(text, text), method_name(text, str)
        found = Page(one.html)

        assert one.subject == with_text(harmless.subject, text, method)
        assert one.text == with_text(harmless.text, text, method)
        assert found.marks == with_text(page.marks, text, method)
        assert found.words == with_text(page.words, text, method)
        assert found.links == with_text(page.links, text, method)


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_stays_a_word(kind):
    """As names of customer, carrier and product, as the order's and the parcel's number, and as
    means of payment, in each kind of e-mail.
    """
    rendering = Rendering(Languages())

    check(kind, lambda text, method: rendering.render(facts(kind, text, method)))


def test_own_templates_do_not_run_texts(own):
    """A merchant's templates and catalogue do not evaluate, fill or unescape them either."""
    rendering = Rendering(Languages(folder=own), folder=own)
    assert "100 %" in rendering.render(facts("shipped", HARMLESS, METHOD)).text

    check("shipped", lambda text, method: rendering.render(facts("shipped", text, method)))


def test_the_name_of_the_shop():
    """The shop's own name is but a word as well."""
    plain = facts("completed", "1", "1")

    def write(text, _):
        return Rendering(Languages(), shop_name=text).render(plain)

    check("completed", write, MARKS)


@pytest.mark.parametrize("name", corpus.STORED | corpus.REFUSED)
def test_no_header_is_added(name):
    """As an order's number and as a shop's name: these headers and no others, one sender, one
    recipient and one address for answers, and the text is there, on one line and never decoded.
    What the contract refuses would add none either.
    """
    one = (corpus.STORED | corpus.REFUSED)[name]
    text = one.stored if one.is_stored else one.text

    message = sent(Rendered(f"Order {text} shipped", "Hello\n", "<p>Hello</p>"), name=text)

    assert message.keys() == HEADERS
    assert message.defects == []
    for header, address in (("From", "o@"), ("To", "zoe@"), ("Reply-To", "help@")):
        assert [one.addr_spec for one in message[header].addresses] == [f"{address}shop.example"]
    assert len(message["Subject"].splitlines()) == 1
    if one.is_stored:
        assert message["Subject"] == f"Order {on_one_line(text)} shipped"
        # Whoever reads a long encoded name may put blanks between its pieces.
        name_read = message["From"].addresses[0].display_name
        assert name_read.replace(" ", "") == on_one_line(text).replace(" ", "")
    bodies = [part.get_content() for part in message.iter_parts()]
    assert bodies == ["Hello\r\n", "<p>Hello</p>\r\n"]


FORMS = ("{}", "{}@shop.example", "a@{}", "a@{}.example", "a@shop.example{}", "{}<a@shop.example>")


@pytest.mark.parametrize("form", FORMS)
def test_addresses(form):
    """As a customer's address, before and behind the @: refused, or it is the one recipient."""
    for one in (corpus.STORED | corpus.REFUSED | corpus.NO_TEXT).values():
        given = form.replace("{}", one.text)
        try:
            address = checked(given)
        except BadAddress:
            continue

        message = sent(Rendered("Shipped", "Hello\n", "<p>Hello</p>"), to=address, reply_to=address)

        assert message.keys() == HEADERS
        assert not set(address) & set('\r\n\t <>,;:"()[]\\')
        for header in ("To", "Reply-To"):
            assert [found.addr_spec for found in message[header].addresses] == [address]


def test_links():
    """As far as a web address may hold it, in a carrier's page and in a parcel's own: it stays the
    address, and what is none of the web's is no link at all.
    """
    rendering = Rendering(Languages())
    for one in (*MARKS, corpus.STORED["scheme"]):
        tail = "".join(char for char in one.stored if "!" <= char <= "~")
        for url in (f"{PAGE}{tail}", tail):
            for at in ("tracking_url", "tracking_page"):
                parcel = facts("shipped", "1", "1").document["parcel"]
                rendered = rendering.render(
                    mail_rig.facts(parcel=parcel | {"tracking_page": None, at: url})
                )
                links = Page(rendered.html).links

                expected = url if at == "tracking_url" else url.replace("{number}", "1")
                assert links == ([expected] if url.startswith(PAGE) else [])
                assert {urlsplit(link).scheme for link in links} <= {"https"}
