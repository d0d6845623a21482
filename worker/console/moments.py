"""A moment that a page showed, and that its form gives back: only what was there then is meant."""

from datetime import datetime

from worker.web.problems import invalid


def moment_of(field: str, given: str | None) -> datetime:
    """The moment.

    Raises:
      Problem: It is none.
    """
    try:
        moment = datetime.fromisoformat(given or "")
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid([(field, "must be the moment that the page shows")])
    return moment
