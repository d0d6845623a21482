"""What the work tells of itself while it goes on: numbers for whoever measures, never ids.

The work knows no metrics; it calls these methods, a few times for each batch.
"""

from collections.abc import Mapping


class Observer:
    """Listens to nothing; a subclass overrides what it wants to hear.

    Its methods are called after the commit of what they tell, and must not raise or wait.
    """

    def batch(self, route: str, rows: int) -> None:
        """So many rows were claimed at once."""

    def commands(self, ended: Mapping[tuple[str, str], int]) -> None:
        """So many commands ended, by kind and state."""

    def followup(self, route: str, name: str, state: str, seconds: float) -> None:
        """A follow-up ended, so long after it was staged."""

    def failure(self, route: str, name: str, reason: str, *, is_dead: bool) -> None:
        """A row failed and was counted; `name` is a command's kind or a follow-up's name."""

    def suspect(self, route: str, *, crashed: bool) -> None:
        """A row whose lease expired is run alone; `crashed`: it was alone when that happened."""


SILENT = Observer()
