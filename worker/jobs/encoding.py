"""In which encoding a file is written, and what its content is: one pass over its bytes.

A mark at its beginning says it; else it is UTF-8 if all of it can be, else Windows-1252, which is
what spreadsheets of half of the world write, and Latin-1 where not even that can be.
"""

import codecs
import hashlib
from typing import BinaryIO, Final

from worker.jobs.badfile import BadFile
from worker.orders.value import value

_BLOCK: Final = 1 << 16
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_IN_CP1252: Final = b"\x81\x8d\x8f\x90\x9d"
_ARCHIVE: Final = b"PK\x03\x04"


@value
class Content:
    """What was found out about the bytes."""

    digest: str
    encoding: str
    is_guessed: bool
    """Nothing says so; names with accents may come out wrong."""


def examine(stream: BinaryIO, encoding: str | None = None) -> Content:
    """The content of the stream, which is read to its end.

    Raises:
      BadFile: It is an archive, as spreadsheets save themselves; there is no such encoding.
    """
    codec = named(encoding) if encoding else None
    block = stream.read(_BLOCK)
    if block.startswith(_ARCHIVE):
        raise BadFile("the file is a spreadsheet or an archive; save it as CSV")
    marked = next((name for mark, name in _MARKS if block.startswith(mark)), None)
    digest = hashlib.sha256()
    utf8 = codecs.getincrementaldecoder("utf-8")()
    is_utf8, is_cp1252 = True, True
    while block:
        digest.update(block)
        if not marked and not codec:
            is_utf8 = is_utf8 and _decodes(utf8, block)
            is_cp1252 = is_cp1252 and not any(byte in block for byte in _NOT_IN_CP1252)
        block = stream.read(_BLOCK)
    is_utf8 = is_utf8 and _decodes(utf8, b"", final=True)
    found = codec or marked or ("utf-8" if is_utf8 else "cp1252" if is_cp1252 else "latin-1")
    return Content(
        digest.hexdigest(), found, is_guessed=found in {"cp1252", "latin-1"} and not codec
    )


def named(encoding: str) -> str:
    """Python's name of the encoding.

    Raises:
      BadFile: It knows none of that name, or none of text.
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # some turn bytes into bytes
    except (LookupError, ValueError):
        raise BadFile(f"there is no encoding {encoding[:64]!r}") from None
    return "utf-8-sig" if name == "utf-8" else name


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True
