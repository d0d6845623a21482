"""Where things are printed: data on stdout, everything else on stderr.

Colours and bars only on a terminal, and no colours with NO_COLOR. What came from outside can hold
escape sequences; it is shown with them made visible.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from worker.cli.show import to_json

if TYPE_CHECKING:
    from rich.progress import Progress

AsJson = Annotated[bool, typer.Option("--json", help="JSON: one object, or one per line.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")]

_PIPE_WIDTH: Final = 10_000
"""Whoever reads a pipe wants a row on one line, however long."""


def screen(*, stderr: bool = False) -> Console:
    """A console for this run; made anew because tests and pagers exchange the streams."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        # rich drops colours by itself, but not bold; a terminal without colours may know neither.
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


def say(text: str) -> None:
    """A line of data."""
    screen().print(text, soft_wrap=True)


def note(text: str) -> None:
    """A line for the person, beside the data."""
    screen(stderr=True).print(text, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.write(to_json(value) + "\n")


def print_rows(
    rows: Sequence[Any],
    *,
    as_json: bool,
    table: Iterable[Sequence[str]],
    headings: Sequence[str],
) -> None:
    """Rows as NDJSON, or as a table of the same rows."""
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        print_table(headings, table)
    else:
        note("nothing")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows as a table of their own."""
    screen().print(table(headings, rows))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table; columns whose heading ends in `#` hold numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        justify = "right" if heading.endswith("#") else "left"
        made.add_column(heading.removesuffix("#"), justify=justify, overflow="fold")  # type: ignore[arg-type]  # one of rich's literals
    for row in rows:
        made.add_row(*row)
    return made


def first(rows: list[Any], limit: int, *, key: str | None = None) -> list[Any]:
    """The first `limit` of rows of which one more was asked for; says if there are more, and how
    to get them where a page can begin after a row's `key`.
    """
    if len(rows) > limit:
        after = f" or --after {rows[limit - 1][key]}" if key else ""
        note(f"only the first {limit}; there are more, see --limit{after}")
    return rows[:limit]


@contextmanager
def as_long_as_somebody_reads() -> Iterator[None]:
    """Ends the command without a word once nobody reads what it prints, as `head` does."""
    try:
        yield
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def progress() -> "Progress":
    """A progress bar on stderr; silent where that is no terminal."""
    from rich import progress as bar  # noqa: PLC0415  # few commands have one

    console = screen(stderr=True)
    return bar.Progress(
        bar.SpinnerColumn(),
        bar.TextColumn("{task.description}"),
        bar.BarColumn(),
        bar.MofNCompleteColumn(),
        bar.TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
