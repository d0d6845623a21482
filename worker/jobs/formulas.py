"""Cells that a spreadsheet would run, made harmless in what we write and restored in what we read.

A cell that begins like a formula gets an apostrophe in front: to a spreadsheet that is a text.
Reading takes away one apostrophe in front of what begins so, and of nothing else: whatever was
written is read as it was, also where the cell had apostrophes of its own.
"""

import re
from typing import Final

_BEGINS: Final = r"[\s']*[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001  # wide ones run as well
_FORMULA: Final = re.compile(_BEGINS)
_HARMLESS: Final = re.compile(f"'{_BEGINS}")


def harmless(cell: str) -> str:
    """The cell as it may stand in a file that somebody opens."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """The cell as it was before `harmless`."""
    return cell[1:] if _HARMLESS.match(cell) else cell
