"""Words that an order is found by: folded so that case, accents and separators do not matter.

Pure, and made in Python: what `lower()` makes of a letter depends on the database's locale. Text is
folded alike when an order is written and when it is searched for, so folded text is all that meets.
"""

import re
import unicodedata
from itertools import chain, islice
from typing import Final

from messages import PlacedOrder

MAX_LENGTH: Final = 48
"""Characters of a word; what is longer is found by its beginning."""
MAX_WORDS: Final = 5_400
"""Words of an order: as many as a tsvector of 1 MiB holds when every character takes 4 bytes, and
more than 5,000 SKUs and everything about the customer have.
"""
MAX_SEARCHED: Final = 20
"""Words of a search; those behind them are not asked for."""

# Letters that Unicode calls letters of their own, but people leave their strokes out.
_LEFT: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "\u0131": "i", "ĸ": "k"}
    | {"ŋ": "n", "æ": "ae", "œ": "oe", "þ": "th"}
)
_PART: Final = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """The text without case and accents; folding again changes nothing."""
    if text.isascii():
        return text.lower()
    # Twice: a folded letter can come apart again.
    return _without_marks(_without_marks(text).casefold()).translate(_LEFT)


def of_order(order_id: str, placed: PlacedOrder) -> list[str]:
    """The words of a placed order, at most `MAX_WORDS`: id, number, customer, e-mail, SKUs."""
    customer = placed.customer
    texts = (order_id, placed.number, customer.name, customer.email)
    return of_texts(*texts, *(line.sku for line in placed.lines))


def of_texts(*texts: str | None) -> list[str]:
    """The words of the texts, at most `MAX_WORDS`.

    A word between spaces counts from its beginning and from the beginning of each part, without
    what separates the parts: `bob.norman@host` is bobnormanhost, normanhost and host. So it is
    found by the beginning of any part, and by as much of it as is typed, with separators or not.
    """
    found = [_beginnings(word) for text in texts if text for word in fold(text).split()]
    # Whole words first: should there be too many, no text is left out altogether.
    whole = chain.from_iterable(words[:1] for words in found)
    parts = chain.from_iterable(words[1:] for words in found)
    return list(islice(dict.fromkeys(chain(whole, parts)), MAX_WORDS))


def searched(text: str) -> list[str]:
    """The beginnings of words that the searched text asks for."""
    whole = (word for one in fold(text).split() for word in _beginnings(one)[:1])
    return list(islice(dict.fromkeys(whole), MAX_SEARCHED))


def _beginnings(word: str) -> list[str]:
    parts = _PART.findall(word)
    return ["".join(parts[n:])[:MAX_LENGTH] for n in range(len(parts))]


def _without_marks(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if unicodedata.category(char)[0] != "M")
