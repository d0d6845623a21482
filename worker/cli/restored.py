"""`doctor --after-restore`: bring a restored store up to what the world knows, before it acts."""

from dataclasses import asdict, dataclass, field
from typing import Final

import typer

from messages.wire import EMAILS, LABELS, REFUNDS, ROUTES
from worker.cli.exits import Code, Failure
from worker.cli.output import note, print_json, print_table, say
from worker.cli.refunds import said_of
from worker.cli.session import Session, session
from worker.cli.show import moment, plain
from worker.plugins import CannotUse
from worker.postage.adapters import carriers
from worker.restore import emails, labels, refunds
from worker.restore.again import again, obstacles

_LABELS: Final = {
    "bought": "bought already",
    "nothing": "the carrier does not know of one; workers look again before they buy",
    "not_told": "it cannot be told",
}


@dataclass
class Found:
    """Why queues should stay paused, by queue."""

    unclear: dict[str, str] = field(default_factory=dict)

    def advise(self) -> None:
        """Say what to do next."""
        for route, why in self.unclear.items():
            say(f"{route}: {why}")
        if not self.unclear:
            say("then: fulfillment resume --all")
            return
        for route in (one for one in ROUTES if one not in self.unclear):
            say(f"then: fulfillment resume {route}")


def after_restore(*, skip_older_s: float | None, dry_run: bool, by: str, as_json: bool) -> None:
    """What a restored store would do again, looked up first; exit code 1 if something is unclear.

    Raises:
      Failure: A queue is not paused, or a worker is at work.
    """
    with session() as opened:
        _look(opened, skip_older_s, as_json=as_json)
        if dry_run:
            note("nothing was asked, and nothing is changed")
            return
        found = Found()
        _refunds(opened, found, by, as_json=as_json)
        _labels(opened, found, by, as_json=as_json)
        _emails(opened, found, skip_older_s, by, as_json=as_json)
    if as_json:
        print_json({"unclear": found.unclear})
    else:
        found.advise()
    raise typer.Exit(Code.FAILURE if found.unclear else Code.OK)


def _look(opened: Session, skip_older_s: float | None, *, as_json: bool) -> None:
    with opened.engine.connect() as connection:
        if hindered := obstacles(connection):
            raise Failure("; ".join(hindered))
        rows = again(connection)
        old = 0 if skip_older_s is None else emails.count_old(connection, older_s=skip_older_s)
    if as_json:
        print_json({"again": rows, "old_emails": old})
        return
    say("would be done again:" if rows else "nothing would be done again")
    if rows:
        headings = ("queue", "what", "how many#", "since")
        cells = (
            (row["route"], plain(row["name"]), str(row["count"]), moment(row["oldest"]))
            for row in rows
        )
        print_table(headings, cells)
    if skip_older_s is not None:
        say(f"e-mails of older commands: {old}")


def _refunds(opened: Session, found: Found, by: str, *, as_json: bool) -> None:
    asked = by_hand = 0
    for one in refunds.reconcile(opened.engine, opened.providers, by=by):
        print_json(asdict(one)) if as_json else say(f"refund part {said_of(one)}")
        asked += one.answer == "not_told"
        by_hand += one.answer == "unasked"
    if asked:
        found.unclear[REFUNDS] = (
            f"{asked} cannot be looked up now, and none is paid before that: say this again later"
        )
    if by_hand and not as_json:
        say(
            f"{by_hand} go back by hand: see in your own books which have, and say"
            " `fulfillment refunds settle PART`"
        )


def _labels(opened: Session, found: Found, by: str, *, as_json: bool) -> None:
    try:
        bought_from = carriers(opened.engine, opened.settings)
    except CannotUse as error:
        raise Failure(str(error), Code.USAGE) from None
    unclear = 0
    for one in labels.reconcile(opened.engine, bought_from, by=by):
        if as_json:
            print_json(asdict(one))
        else:
            told = " ".join(filter(None, (_LABELS[one.answer], one.tracking_number)))
            say(f"label of {one.shipment_id}: {told}{plain(one.why and f' ({one.why})')}")
        unclear += one.answer == "not_told"
    if unclear:
        found.unclear[LABELS] = (
            f"{unclear} may have been bought; none is bought again before that is known. Do what is"
            " said above for each, then: fulfillment resume labels"
        )


def _emails(
    opened: Session, found: Found, skip_older_s: float | None, by: str, *, as_json: bool
) -> None:
    if skip_older_s is not None:
        skipped = emails.skip_old(opened.engine, older_s=skip_older_s, by=by)
        print_json({"skipped": skipped}) if as_json else say(f"e-mails skipped: {skipped}")
        return
    with opened.engine.connect() as connection:
        waiting = emails.count_old(connection, older_s=0)
    if waiting:
        found.unclear[EMAILS] = (
            f"{waiting} wait, of which customers have some already: say --skip-emails-older-than"
        )
