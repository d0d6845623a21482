"""Events as CloudEvents 1.0 in their JSON format: what every broker and most languages can read."""

from datetime import UTC
from typing import Any, Final

from worker.feed.events import Event

PREFIX: Final = "fulfillment."
"""Of each type."""


def cloud_event(event: Event, source: str) -> dict[str, Any]:
    """The event as a JSON object. `source` and `id` together are unique: a database needs a
    `source` of its own, a URI reference. `subject` is the order's id.
    """
    data: dict[str, Any] = {"command_id": str(event.command_id), **event.data}
    if event.subject is not None:
        data["subject_id"] = str(event.subject)
    return {
        "specversion": "1.0",
        "id": str(event.number),
        "source": source,
        "type": PREFIX + event.type,
        "subject": event.order_id,
        "time": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
