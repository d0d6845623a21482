"""What `dead` and `strays` share: which ones, how many, how fast, and a stop between two chunks."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from worker.cli.exits import Code, Failure

OlderThan = Annotated[
    str | None,
    typer.Option(metavar="30s|15m|2h|7d", help="Only what has waited at least so long."),
]
Most = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]
Rate = Annotated[
    float, typer.Option(min=0.01, max=10_000, metavar="N", help="At most so many a second.")
]
Because = Annotated[
    str | None,
    typer.Option("--because", metavar="TEXT", help="Why, for the audit and the history."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Really; needed unless ids are given.")]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Set this field right first; may be repeated. A dot leads into a field.",
    ),
]
BodyFile = Annotated[
    typer.FileBinaryRead | None,
    typer.Option("--body", metavar="FILE", help="The corrected command as JSON; - is stdin."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Change nothing; say what would become of each.")
]

DEFAULT_LIMIT: Final = 1_000
DEFAULT_RATE: Final = 100.0
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_S: Final = 100 * 365 * 86_400


def seconds(older_than: str | None, option: str = "--older-than") -> int:
    """A length of time as people write it: `30s`, `15m`, `2h`, `7d`; 0 for none.

    Raises:
      Failure: It is none.
    """
    if older_than is None:
        return 0
    match = re.fullmatch(r"([0-9]{1,12})([smhd])", older_than.strip())
    length_s = int(match[1]) * _UNITS_S[match[2]] if match else _LONGEST_S + 1
    if length_s > _LONGEST_S:
        raise Failure(f"{option}: must be like 30s, 15m, 2h or 7d", Code.USAGE)
    return length_s


def fields(sets: list[str]) -> dict[str, str]:
    """The fields to set, by name.

    Raises:
      Failure: One of them has no `=`, or no name.
    """
    for one in sets:
        if not one.partition("=")[0] or "=" not in one:
            raise Failure("--set: must be like FIELD=VALUE", Code.USAGE)
    return {name: value for name, _, value in (one.partition("=") for one in sets)}


class CtrlC:
    """Whether somebody pressed Ctrl-C. A `threading.Event` may be locked when the signal comes."""

    def __init__(self) -> None:
        self._is_pressed = False

    def press(self) -> None:
        self._is_pressed = True

    def is_set(self) -> bool:
        return self._is_pressed

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds, or until it is pressed; whether it is."""
        until_s = time.monotonic() + timeout
        while not self._is_pressed and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))
        return self._is_pressed


@contextmanager
def stopped_by_ctrl_c() -> Iterator[CtrlC]:
    """The first Ctrl-C only asks: what is begun is finished and counted. The second ends the
    program at once.
    """
    stop = CtrlC()

    def ask(*_: Any) -> None:
        stop.press()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
