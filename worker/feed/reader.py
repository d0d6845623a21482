"""A reader that remembers where it is."""

from dataclasses import dataclass

from sqlalchemy import Engine

from worker.feed.events import Event, events_after, latest, number_for_reading, oldest


@dataclass(slots=True)
class Reader:
    """Page after page, from a cursor on that moves with them; None is before all that is kept."""

    engine: Engine
    after: int | None
    order_id: str | None

    def page(self, limit: int) -> list[Event]:
        with self.engine.begin() as connection:
            number_for_reading(connection)
        with self.engine.connect() as connection:
            after = oldest(connection) if self.after is None else self.after
            # Asked for before: what is read after it holds everything up to it. So the cursor moves
            # on although an order has no events, or retention would overtake it.
            end = latest(connection)
            found = events_after(connection, after, limit=limit, order_id=self.order_id)
        last = found[-1].number if found else after
        self.after = last if len(found) == limit else max(last, end)
        return found
