"""What a carrier's answer may be: numbers that can be written down, and a label that prints.

Whoever is at the other end, its page of errors is no label, and its number comes into e-mails.
"""

from dataclasses import replace
from typing import Final

from messages.fields import clean_text
from worker.errors import Uncertain
from worker.postage.adapter import Bought, LabelKind

MAX_NUMBER: Final = 64
"""As in `ship`."""
MAX_CARRIER_ID: Final = 1_000
"""Nobody but the carrier reads it again."""
MAX_LABEL_BYTES: Final = 10_000_000
"""A label is some ten kilobytes; where it is a picture, some hundred."""
_HEAD_BYTES: Final = 1024


def usable(answer: Bought) -> Bought:
    """The answer, without the label where that is none: it is bought all the same.

    Raises:
      worker.errors.Uncertain: A number of it cannot be one. It was bought, by all signs.
    """
    is_number = _is_word(answer.tracking_number, MAX_NUMBER)
    if not (is_number and _is_word(answer.carrier_id, MAX_CARRIER_ID)):
        raise Uncertain("carrier_nonsense", "the label's number makes no sense")
    kind = kind_of(answer.label) if len(answer.label) <= MAX_LABEL_BYTES else None
    return replace(answer, label_kind=kind) if kind else replace(answer, label=b"")


def kind_of(content: bytes) -> LabelKind | None:
    """What a label's file is; None if it is none."""
    if content.startswith(b"%PDF-"):
        return "label_pdf"
    return "label_zpl" if b"^XA" in content[:_HEAD_BYTES] else None


def _is_word(text: object, longest: int) -> bool:
    try:
        return (
            isinstance(text, str)
            and len(text) <= longest
            and text.isprintable()
            and clean_text(text) == text
        )
    except ValueError:
        return False
