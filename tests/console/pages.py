"""What tests read out of pages."""

import re
from html import unescape


def csrf(answer):
    """The token that the page's forms carry."""
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', answer.text)[1]


def send(client, path, shown=None, **fields):
    """Send a form of the page `shown`, or of the page that has no other."""
    shown = shown or client.get("/sign-in")
    return client.post(path, data={"csrf": csrf(shown)} | fields)


def link(answer, rel):
    """Where the page's `next` or `prev` leads."""
    return unescape(re.search(rf'rel="{rel}" href="([^"]+)"', answer.text)[1])


def text(answer):
    """What a reader sees, roughly: without tags, with single spaces."""
    return plain(answer.text.partition("<main")[2] or answer.text)


def plain(html):
    """Likewise, of a piece of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
