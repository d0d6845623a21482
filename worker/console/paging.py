"""Pages of a list: where one begins, and how one goes on and back."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

PAGE: Final = 50
"""Rows of one page."""
_MOST_CURSORS: Final = 50
"""Pages that one can go back by; beyond, the first page is next."""
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """What the form of a list holds; its fields are named as in the list's address."""

    PATH: ClassVar[str]
    after: tuple[str, ...] = ()
    """The last rows of the pages before, the nearest last: that is how one goes back."""

    @property
    def is_narrow(self) -> bool:
        """Whether there may be rows that these leave out."""
        return self.first_page() != type(self)()

    def address(self, path: str = "") -> str:
        """Where these are what is shown, or what another page is about."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        given |= {"after": given.pop("after")}  # last
        said = {name: "true" if value is True else value for name, value in given.items() if value}
        query = urlencode(said, doseq=True)
        return f"{path or self.PATH}?{query}" if query else path or self.PATH

    @property
    def number(self) -> int | None:
        """The last row of the page before, where rows are known by numbers."""
        return int(self.after[-1]) if self.after else None

    def at(self, query: QueryParams, is_meant: Callable[[str], object] = _NUMBER.fullmatch) -> Self:
        """The page that an address asks for."""
        return replace(self, after=those(query, "after", is_meant)[-_MOST_CURSORS:])

    def page_after(self, rows: Sequence[Mapping[str, Any]], key: str) -> Self | None:
        """The next page, if there is one: of these rows, one is more than a page holds."""
        if len(rows) <= PAGE:
            return None
        return replace(self, after=(*self.after, str(rows[PAGE - 1][key]))[-_MOST_CURSORS:])

    def page_before(self) -> Self:
        """The page before."""
        return replace(self, after=self.after[:-1])

    def first_page(self) -> Self:
        """The first page."""
        return replace(self, after=())


def those(query: QueryParams, name: str, is_meant: Callable[[str], object]) -> tuple[str, ...]:
    """What an address names so, each once."""
    return tuple(one for one in dict.fromkeys(query.getlist(name)) if is_meant(one))
