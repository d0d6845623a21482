"""Times as people type them."""

from datetime import UTC, datetime

from worker.cli.exits import Code, Failure


def utc_time(option: str, text: str | None) -> datetime | None:
    """A date is its midnight in UTC, and a time without an offset is in UTC, as ours are shown."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        sentence = f"{option}: must be like 2026-03-01, 2026-03-01T12:00 or 2026-03-01T12:00+01:00"
        raise Failure(sentence, Code.USAGE) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
