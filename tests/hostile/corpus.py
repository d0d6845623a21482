"""What nobody should send, once: texts, numbers, and bytes that are no document.

Each has a word why it is here. A text is refused, or stored exactly as `stored` says: the contract
trims and composes (NFC), and nothing else changes it.
"""

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A text that fits into any field by its length, unless length is the point."""

    text: str
    why: str
    is_stored: bool = True

    @property
    def stored(self):
        """What a field holds afterwards."""
        assert self.is_stored
        return unicodedata.normalize("NFC", self.text).strip()


STORED = {
    "sql": Text("'); drop table orders; --", "SQL that ends a literal"),
    "sql or": Text('" or 1=1 /* $1 %(id)s :id', "SQL in other quotes; placeholders"),
    "formula": Text("=cmd|' /C calc'!A0", "a spreadsheet would run it"),
    "formula plus": Text("+1+cmd|'x'!A0", "the same"),
    "formula minus": Text("-2+3", "the same, and an option of a command line"),
    "formula at": Text("@SUM(1+1)", "the same"),
    "script": Text("<script>alert(1)</script>", "HTML that runs"),
    "attribute": Text("\"><img src=x onerror='a()'>", "HTML that ends an attribute"),
    "entity": Text("&lt;b&gt;&amp;", "HTML that is escaped already"),
    "scheme": Text("javascript:alert(1)//{number}", "an address that runs; a placeholder of ours"),
    "relative path": Text("../../../../etc/passwd", "a file's name that leads elsewhere"),
    "absolute path": Text("/etc/passwd", "the same"),
    "device": Text("CON", "a file's name that is none on Windows"),
    "backslashes": Text("C:\\x\\..\\&^1", "a path; escapes of printers"),
    "zpl": Text("^XZ~JR^FO0,0^XA~DGR", "ends a label, resets the printer, begins another"),
    "zpl hex": Text("_5EXZ_7EJR>;>8", "the same, as ^FH and ^BC would decode it"),
    "format": Text("{0.__class__.__mro__} {order}", "str.format on data"),
    "percent": Text("%s%n%(order)s%(num)d%", "the % of printf and of gettext"),
    "jinja": Text("{{ 7*7 }}{% raw %}{# x #}", "a template's own signs"),
    "lookup": Text("${jndi:ldap://shop.invalid/a}", "loggers that look things up"),
    "shell": Text("$(reboot) `id`; rm -rf / | x", "a shell's signs"),
    "markup": Text("[bold red]x[/] [link=a]b[/] :smile:", "the terminal library's own markup"),
    "csv": Text('a","b";c\'', "ends a cell of a CSV"),
    "encoded word": Text("=?utf-8?q?=0D=0ABcc:_a=40b?=", "a header that decodes to two"),
    "encoded break": Text("%0d%0aSet-Cookie: a=b \\r\\n", "line breaks, for who decodes them"),
    "right to left": Text("a\u202egnp.exe\u202c\u2066b", "letters that turn around what follows"),
    "zero width": Text("a\u200bb\u200dc\u2060d", "letters that nobody sees"),
    "byte order mark": Text("a\ufeffb", "one in the middle"),
    "emoji": Text("\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f381", "four bytes, joined"),
    "decomposed": Text("Zoe\u0308 A\u030a", "another spelling of the same letters"),
    "no-break space": Text("12\u00a0345\u2007x", "spaces that are not printable to Python"),
    "wide": Text("\u9a6c\u514b\u676f\uac00\ufdfa", "letters that a printer's font lacks"),
    "private use": Text("\ue000\U000f0000", "letters that mean nothing"),
    "no character": Text("\ufffe\uffff\U0010ffff", "code points that are no character"),
    "unassigned": Text("\u0378\U000e0041", "code points that are none yet; a tag"),
    "combining": Text("a" + "\u0301\u0338" * 20, "a tower of accents"),
    "padded": Text("  x  y \u3000", "blanks around it"),
    "null": Text("null", "a value of JSON, as a text"),
    "not a number": Text("NaN", "the same"),
    "number": Text("1e400", "a number beyond any, as a text"),
    "digits": Text("9" * 64, "as long as it may be"),
}
"""Stored exactly, through every door, in every field of free text."""

REFUSED = {
    "NUL": Text("a\0b", "PostgreSQL cannot store it", is_stored=False),
    "escape": Text("a\x1b[31m\x1b]0;x\x07b", "a terminal obeys it", is_stored=False),
    "CSI": Text("a\x9b31mb", "the same, in one byte of eight bits", is_stored=False),
    "delete": Text("a\x7fb", "a control character above the letters", is_stored=False),
    "line break": Text("a\r\nBcc: b@shop.invalid", "a header, a command", is_stored=False),
    "line feed": Text("a\n.\nRCPT", "ends a mail", is_stored=False),
    "tab": Text("a\tb", "another cell", is_stored=False),
    "backspace": Text("a\bb", "hides what is before it", is_stored=False),
    "line separator": Text("a\u2028b", "a line break to JavaScript", is_stored=False),
    "paragraph separator": Text("a\u2029b", "the same", is_stored=False),
    "blanks": Text(" \u3000 ", "nothing", is_stored=False),
    "too long": Text("x" * 501, "longer than the longest field", is_stored=False),
    "longer composed": Text("\u0958" * 500, "NFC makes it twice as long", is_stored=False),
}
"""Refused by every door, in every field."""

NO_TEXT = {
    "lone surrogate": Text("a\ud800b", "UTF-8 cannot say it", is_stored=False),
    "half an emoji": Text("\ud83d", "the same", is_stored=False),
}
"""Refused as well, where a door can be handed them at all: JSON escapes, bytes of an argument."""

NOT_COUNTABLE = {
    "negative": "-1",
    "2^31": str(2**31),
    "2^63": str(2**63),
    "2^64": str(2**64),
    "1e400": "1e400",
    "1e131000": "1e131000",
    "fraction": "1.5",
    "exponent": "1e0",
    "not a number": "NaN",
    "infinite": "-Infinity",
    "5,000 digits": "9" * 5_000,
    "negative zero": "-0.0",
    "true": "true",
    "text": '"1"',
    "hexadecimal": "0x10",
    "other digits": '"\u0663"',
    "underscore": "1_000",
    "leading zero": "010",
    "list": "[1]",
    "null": "null",
}
"""As they stand in JSON, valid or not: none of them is a quantity or an amount. 0 is one."""

NO_JSON = {
    "nothing": b"",
    "half": b'{"kind": "ship"',
    "two": b"{}{}",
    "not UTF-8": b'{"kind": "\xff\xfe"}',
    "UTF-16": '{"kind": "ship"}'.encode("utf-16"),
    "overlong": b'{"kind": "\xc0\x80"}',
    "NUL": b"\0" * 64,
    "100,000 brackets": b"[" * 100_000,
    "100,000 braces": b'{"a":' * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "5,000 digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "quotes": b'"' * 1_000_001,
    "backslashes": b'"' + b"\\" * 1_000_001,
    "NaN": b'{"a": NaN, "b": -Infinity}',
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "zip": b"PK\x03\x04" + b"\0" * 26,
}
"""Bytes that are no JSON document, or none that means anything here."""

NO_ID = {
    name: one.text
    for name, one in (STORED | REFUSED).items()
    if not one.text.replace(":", "").replace(".", "").replace("-", "").isalnum()
} | {"dots": "..", "dot": ".", "option": "-rf", "65 letters": "x" * 65, "none": "", "é": "é"}
"""No ids of orders, lines or payments: those are letters, digits and `._:-`, at most 64."""
