"""`dead list | show | replay | discard`."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, NoReturn
from uuid import UUID

import typer
from sqlalchemy import Connection

from worker.checks import CHECKS
from worker.cli.audit import By, actor, because
from worker.cli.chosen import (
    DEFAULT_LIMIT,
    DEFAULT_RATE,
    Because,
    BodyFile,
    DryRun,
    Most,
    OlderThan,
    Rate,
    Sets,
    Yes,
    fields,
    seconds,
    stopped_by_ctrl_c,
)
from worker.cli.exits import Code, Failure
from worker.cli.mend import mend
from worker.cli.output import (
    AsJson,
    Limit,
    first,
    note,
    print_json,
    print_rows,
    progress,
    say,
)
from worker.cli.prospects import print_prospects
from worker.cli.session import Session, reading, session
from worker.cli.show import facts, moment, plain
from worker.jobs.jobs import count_dead
from worker.work import dead as work
from worker.work.dead import Chosen, Letter
from worker.work.preview import read_only
from worker.work.prospects import prospects

app = typer.Typer(
    name="dead",
    no_args_is_help=True,
    help="Failures that wait for a person: look, mend, try again, give up.",
)

Ids = Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...")]
Reason = Annotated[str | None, typer.Option(metavar="CLASS", help="Only those that died of this.")]
Order = Annotated[str | None, typer.Option(metavar="ORDER", help="Only this order's.")]
Queue = Annotated[
    Literal["commands", "labels", "refunds", "emails", "tracking"] | None,
    typer.Option(help="Only this queue's."),
]
Everything = Annotated[bool, typer.Option("--all", help="Every dead letter.")]


@app.command("list")
def list_(
    *,
    reason: Reason = None,
    order: Order = None,
    queue: Queue = None,
    older_than: OlderThan = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Only how many died of what, not each of them.")
    ] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters: how many died of what, then each, the oldest first.

    With --json each is a line; with --json --groups each group.
    """
    with reading() as connection:
        chosen = _as_of_now(connection, Chosen(None, reason, order, queue), older_than)
        grouped = [] if as_json and not groups else work.groups(connection, chosen)
        found = [] if groups else work.dead(connection, chosen, limit=limit + 1)
        dead_jobs = count_dead(connection)
    if groups or not as_json:
        _print_groups(grouped, as_json=as_json)
    if not groups and (as_json or found):
        if not as_json:
            say("")
        _print_letters(first(found, limit), as_json=as_json)
    if dead_jobs:
        note(f"jobs that died too: {dead_jobs}; see fulfillment jobs list --state dead")


def _print_groups(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    print_rows(
        rows,
        as_json=as_json,
        headings=("letters#", "queue", "reason", "oldest", "newest", "example", "last error"),
        table=(
            (
                str(row["letters"]),
                row["route"],
                plain(row["reason"]),
                moment(row["oldest"]),
                moment(row["newest"]),
                str(row["example"]),
                plain(row["last_error"]),
            )
            for row in rows
        ),
    )


def _print_letters(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    print_rows(
        rows,
        as_json=as_json,
        headings=("id", "queue", "what", "order", "reason", "failed", "last error"),
        table=(
            (
                str(row["id"]),
                row["route"],
                row["name"],
                row["order_id"],
                plain(row["reason"]),
                moment(row["failed_at"]),
                plain(row["errors"][-1]["message"]) if row["errors"] else "",
            )
            for row in rows
        ),
    )


@app.command()
def show(letter: Annotated[UUID, typer.Argument(metavar="ID")], *, as_json: AsJson = False) -> None:
    """Show a dead letter with its last errors."""
    with reading() as connection:
        found = work.dead(connection, Chosen(ids=[letter]), limit=1)
    if not found:
        raise Failure(f"{letter} is no dead letter", Code.NOT_FOUND)
    if as_json:
        print_json(found[0])
    else:
        say(_text(found[0]))


def _text(row: dict[str, Any]) -> str:
    values = {
        "id": str(row["id"]),
        "what": f"{row['name']} of order {row['order_id']}, queue {row['route']}",
        "of": str(row["subject_id"] or ""),
        "reason": plain(row["reason"]),
        "failed": moment(row["failed_at"]),
        "attempts": f"{row['attempts']} failed, {row['crashes']} crashed",
        "body": plain(row["body"]),
        "edits": plain(row["edits"]),
    }
    replay = {"replay": f"fulfillment dead replay {row['id']}"}
    return "\n".join([facts(values, row["errors"]), facts(replay)])


@app.command()
def replay(
    ids: Ids = None,
    *,
    reason: Reason = None,
    order: Order = None,
    queue: Queue = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    sets: Sets = [],  # noqa: B006  # typer copies it
    body: BodyFile = None,
    dry_run: DryRun = False,
    limit: Most = DEFAULT_LIMIT,
    rate: Rate = DEFAULT_RATE,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Try dead letters again, under the same ids; what is not dead is left alone.

    With --set or --body one is corrected first: a command is replaced by a new one, an e-mail
    (to, locale) or a label (ship_to) takes the correction; the order stays as it is. Ctrl-C ends it
    after the letters at hand. Exit code 4 if one of the ids is no dead letter or nothing matches;
    with --dry-run 5 if one would fail or wait.
    """
    who = actor(by)
    if sets or body:
        raw = body.read() if body else None
        mend(ids, fields(sets), raw, who, dry_run=dry_run, as_json=as_json)
    chosen = Chosen(ids or None, reason, order, queue)
    _check_named(chosen, older_than, everything=everything)
    with session() as opened:
        with opened.engine.connect() as connection:
            if dry_run:
                read_only(connection)
            chosen = _as_of_now(connection, chosen, older_than)
            if dry_run:
                found = prospects(
                    connection,
                    chosen,
                    limit=limit,
                    grace_s=opened.settings.grace_s,
                    checks=CHECKS,
                    rules=opened.rules,
                )
                if work.count(connection, chosen) > limit:
                    note(f"only the first {limit}; see --limit")
                print_prospects(found, ids or (), as_json=as_json)

        def act(connection: Connection, wanted: int) -> list[Letter]:
            return work.replay(connection, chosen, actor=who, limit=wanted)

        _act(opened, "replayed", act, chosen, limit=limit, rate=rate, as_json=as_json)


@app.command()
def discard(
    ids: Ids = None,
    *,
    reason: Reason = None,
    order: Order = None,
    queue: Queue = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    why: Because = None,
    yes: Yes = False,
    limit: Most = DEFAULT_LIMIT,
    rate: Rate = DEFAULT_RATE,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Give dead letters up: they end undone, and commands that come after them are refused.

    A refund part is never given up: `fulfillment refunds settle` or `fail` says how it ended.
    """
    who, said = actor(by), because(why)
    if not ids and not yes:
        raise Failure("--yes: needed to give up what is not named by its id", Code.USAGE)
    chosen = Chosen(ids or None, reason, order, queue)
    _check_named(chosen, older_than, everything=everything)
    with session() as opened:
        with opened.engine.connect() as connection:
            chosen = _as_of_now(connection, chosen, older_than)
            parts = work.refund_parts(connection, chosen)
        if parts and (ids or queue == "refunds"):
            raise Failure(_never_given_up(parts))

        def act(connection: Connection, wanted: int) -> list[Letter]:
            return work.discard(connection, chosen, actor=who, because=said, limit=wanted)

        if parts:
            note(_never_given_up(parts))
        _act(opened, "discarded", act, chosen, limit=limit, rate=rate, as_json=as_json)


def _never_given_up(parts: list[UUID]) -> str:
    return (
        "a refund part is never given up: use `fulfillment refunds settle PART` or"
        f" `fulfillment refunds fail PART` ({', '.join(map(str, parts[:5]))}"
        + (f" and {len(parts) - 5} more)" if len(parts) > 5 else ")")  # noqa: PLR2004  # some to begin with
    )


def _check_named(chosen: Chosen, older_than: str | None, *, everything: bool) -> None:
    """Refuse to act on every letter there is unless that was asked for."""
    if chosen == Chosen() and not older_than and not everything:
        sentence = "name ids, --reason, --order, --queue, --older-than or --all"
        raise Failure(sentence, Code.USAGE)


def _as_of_now(connection: Connection, chosen: Chosen, older_than: str | None) -> Chosen:
    """The letters that are there now, and waited so long; not what dies meanwhile."""
    return replace(chosen, failed_before=work.ago(connection, seconds(older_than)))


def _act(
    opened: Session,
    done: str,
    act: Callable[[Connection, int], list[Letter]],
    chosen: Chosen,
    *,
    limit: int,
    rate: float,
    as_json: bool,
) -> NoReturn:
    """Act chunk by chunk with a bar, and say what was done; what was committed is counted."""
    letters: list[Letter] = []
    with opened.engine.connect() as connection:
        total = work.count(connection, chosen)
    with stopped_by_ctrl_c() as stop, progress() as bar:
        task = bar.add_task(done, total=min(total, limit))
        chunks = work.in_chunks(opened.engine, act, limit=limit, rate_per_s=rate, stop=stop)
        for chunk in chunks:
            letters += chunk
            bar.advance(task, len(chunk))
            if as_json:
                for letter in chunk:
                    print_json(asdict(letter))
                sys.stdout.flush()
            for route in sorted({letter.route for letter in chunk}):
                opened.hint(route)
    _say_done(done, letters, named=bool(chosen.ids), as_json=as_json)
    missing = set(chosen.ids or ()) - {letter.id for letter in letters}
    if stop.is_set():
        note(f"interrupted: {len(letters)} of {total} {done}")
        raise typer.Exit(Code.INTERRUPTED)
    if len(letters) == limit < total:
        note(f"only the first {limit} of {total}; run it again, or see --limit")
    for one_id in sorted(missing):
        note(f"{one_id} is no dead letter")
    if not letters and not missing:
        note("nothing")
    raise typer.Exit(Code.NOT_FOUND if missing or not letters else Code.OK)


def _say_done(done: str, letters: list[Letter], *, named: bool, as_json: bool) -> None:
    if as_json:
        return
    if named:
        for letter in letters:
            say(f"{done}: {letter.route} {letter.id}")
    elif letters:
        counts = Counter(letter.route for letter in letters)
        say(f"{done}: " + ", ".join(f"{count} {route}" for route, count in counts.most_common()))
