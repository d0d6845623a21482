"""`events`: the feed, as CloudEvents, one a line."""

import select
import sys
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from sqlalchemy.exc import SQLAlchemyError

from worker.cli.exits import failure
from worker.cli.output import as_long_as_somebody_reads, note, print_json
from worker.cli.session import session
from worker.errors import explain
from worker.feed.cloud import cloud_event
from worker.feed.events import Event
from worker.feed.reader import Reader

app = typer.Typer()

PAGE: Final = 1_000
LOOK_EVERY_S: Final = 1.0


@app.command()
def events(
    *,
    after: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Only what comes after this id; else all kept."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many; else all.")
    ] = None,
    order: Annotated[str | None, typer.Option(metavar="ID", help="Only this order's.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more, until Ctrl-C; also for the database.")
    ] = False,
) -> None:
    """What became of it all, one event after the other, for others to follow.

    Commands, labels, refunds, e-mails and parcels: a CloudEvent in JSON a line. Ids are numbers
    without gaps, in the order in which an order's events happened; whoever goes on with --after and
    the last id that was read misses nothing. Events are kept for
    FULFILLMENT_KEEP_EVENTS_DAYS; exit code 4 if some after N are gone.
    """
    with session() as opened:
        reader = Reader(opened.engine, after, order)
        pages = _followed(reader, limit) if follow else _all(reader, limit)
        with as_long_as_somebody_reads():
            for page in pages:
                for event in page:
                    print_json(cloud_event(event, opened.settings.event_source))
                sys.stdout.flush()


def _all(reader: Reader, limit: int | None) -> Iterator[list[Event]]:
    """Pages until there is no more, or enough."""
    left = sys.maxsize if limit is None else limit
    while left:
        wanted = min(PAGE, left)
        page = reader.page(wanted)
        yield page
        left = left - len(page) if len(page) == wanted else 0


def _followed(reader: Reader, limit: int | None) -> Iterator[list[Event]]:
    """Pages until there are enough, or nobody reads them any more. Once it has been reached, a
    database that is away is waited for.
    """
    left = sys.maxsize if limit is None else limit
    is_away: bool | None = None
    while left:
        page: list[Event] = []
        try:
            page = reader.page(min(PAGE, left))
            is_away = False
        except SQLAlchemyError as error:
            _, can_heal, _ = explain(error)
            if is_away is None or not can_heal:
                raise
            if not is_away:
                note(f"{failure(error)}; waiting for it")
            is_away = True
        yield page
        left -= len(page)
        if left and len(page) < PAGE:
            _wait()


def _wait() -> None:
    """A while; whoever read may go meanwhile, and nothing is written that would tell."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if poll.poll(1_000 * LOOK_EVERY_S):
        raise BrokenPipeError
