"""Code blocks of a page, as its reader would run them."""

import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block of a page, named from the root, in their order."""
    found = re.findall(
        r"^ *```(\w+)\n(.*?)^ *```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
    )
    return [(language, dedent(text)) for language, text in found]


def commands(text: str) -> list[str]:
    """The lines that are typed in a block of `console`."""
    return [line.removeprefix("$ ") for line in text.splitlines()]
