"""`strays list | show | replay | discard`."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer
from sqlalchemy import Connection

from messages import Command, InvalidCommand, new_command_id
from worker.cli import preview as preview_view
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
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, progress, say
from worker.cli.session import Session, reading, session
from worker.cli.show import facts, moment, plain
from worker.work import strays as work
from worker.work.dead import ago
from worker.work.preview import Preview, preview
from worker.work.strays import ChosenStrays

app = typer.Typer(
    name="strays",
    no_args_is_help=True,
    help="What came in and could not be accepted as a command: look, mend, take in, give up.",
)

Ids = Annotated[list[int] | None, typer.Argument(metavar="[STRAY]...")]
Reason = Annotated[str | None, typer.Option(metavar="CLASS", help="Only those for this reason.")]
Everything = Annotated[bool, typer.Option("--all", help="Every stray.")]


@app.command("list")
def list_(
    *,
    reason: Reason = None,
    older_than: OlderThan = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Only how many came for what reason.")
    ] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what came in and could not be accepted as a command, the latest first."""
    with reading() as connection:
        chosen = _chosen(connection, None, reason, older_than)
        grouped = work.groups(connection, chosen) if groups else []
        found = [] if groups else work.strays(connection, chosen, limit=limit + 1)
    if groups:
        print_rows(
            grouped,
            as_json=as_json,
            headings=("strays#", "reason", "oldest", "newest", "example#", "last problem"),
            table=(
                (
                    str(row["strays"]),
                    row["reason"],
                    moment(row["oldest"]),
                    moment(row["newest"]),
                    str(row["example"]),
                    plain(row["last_problem"]),
                )
                for row in grouped
            ),
        )
        return
    rows = first(found, limit)
    print_rows(
        rows,
        as_json=as_json,
        headings=("stray#", "when", "reason", "command", "problem", "body"),
        table=(
            (
                str(row["stray_id"]),
                moment(row["at"]),
                row["reason"],
                plain(row["command_id"]),
                plain(row["problem"]),
                _short(plain(row["body"])),
            )
            for row in rows
        ),
    )


@app.command()
def show(
    stray: Annotated[int, typer.Argument(metavar="STRAY")], *, as_json: AsJson = False
) -> None:
    """Show a stray, whole."""
    with reading() as connection:
        found = work.strays(connection, ChosenStrays(ids=[stray]), limit=1)
    if not found:
        raise Failure(f"stray {stray} is not here", Code.NOT_FOUND)
    (row,) = found
    if as_json:
        print_json(row)
        return
    values = {
        "stray": str(row["stray_id"]),
        "came": moment(row["at"]),
        "reason": row["reason"],
        "problem": plain(row["problem"]),
        "command": plain(row["command_id"] and str(row["command_id"])),
        "body": plain(row["body"]),
        "replay": f"fulfillment strays replay {stray}",
    }
    say(facts(values))


@app.command()
def replay(
    ids: Ids = None,
    *,
    reason: Reason = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    sets: Sets = [],  # noqa: B006  # typer copies it
    body: BodyFile = None,
    new_id: Annotated[
        bool, typer.Option("--new-id", help="Give the command an id of its own first.")
    ] = False,
    dry_run: DryRun = False,
    limit: Most = DEFAULT_LIMIT,
    rate: Rate = DEFAULT_RATE,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take strays in as the commands they were to be; what is accepted leaves the list.

    With --set, --body or --new-id one is corrected first. What the broker door refused (unsigned,
    bad_signature, kind_not_allowed) is taken in only with that --reason. Exit code 4 if a stray is
    not here or nothing matches, 5 if one could not be accepted: it stays.
    """
    who = actor(by)
    if (sets or body or new_id) and len(ids or ()) != 1:
        raise Failure(
            "--set, --body and --new-id: correct one stray, named by its number", Code.USAGE
        )
    corrections = fields(sets) | ({"command_id": str(new_command_id())} if new_id else {})
    given = _text(body.read()) if body else None
    with session() as opened:
        with opened.engine.connect() as connection:
            chosen = _acted_on(connection, ids, reason, older_than, everything=everything)
            found = work.strays(connection, chosen, limit=limit)[::-1]
        results = [_result(row, given, corrections, reason) for row in found]
        if dry_run:
            _foresee(opened, results, ids or (), as_json=as_json)
        _replay(opened, results, ids or (), who, rate, as_json=as_json)


@app.command()
def discard(
    ids: Ids = None,
    *,
    reason: Reason = None,
    older_than: OlderThan = None,
    everything: Everything = False,
    why: Because = None,
    yes: Yes = False,
    limit: Most = DEFAULT_LIMIT,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take strays from the list; the audit keeps them."""
    who, said = actor(by), because(why)
    if not ids and not yes:
        raise Failure("--yes: needed to give up what is not named by its number", Code.USAGE)
    with session() as opened, opened.engine.begin() as connection:
        chosen = _acted_on(connection, ids, reason, older_than, everything=everything)
        total = work.count(connection, chosen)
        taken = work.discard_strays(connection, chosen, actor=who, because=said, limit=limit)
    for stray_id in sorted(taken):
        print_json({"stray_id": stray_id}) if as_json else say(f"discarded: stray {stray_id}")
    if len(taken) == limit < total:
        note(f"only the first {limit} of {total}; run it again, or see --limit")
    _exit(set(taken), ids or (), Code.OK)


@dataclass(frozen=True, slots=True)
class _Result:
    """A stray, and the commands in it or why there are none."""

    stray_id: int
    commands: list[Command]
    problem: str | None
    reason: str


def _result(
    row: dict[str, Any], given: str | None, corrections: dict[str, str], named: str | None
) -> _Result:
    try:
        work.vouch(row["reason"], named)
        commands = work.commands_of(given or row["body"], corrections)
    except work.NotVouchedFor as error:
        problem = f"{error}; look at it, and name --reason {error.reason}"
    except InvalidCommand as error:
        problem = str(error)
    else:
        return _Result(row["stray_id"], commands, None, row["reason"])
    return _Result(row["stray_id"], [], problem, row["reason"])


def _replay(
    opened: Session,
    results: list[_Result],
    ids: Collection[int],
    who: str,
    rate: float,
    *,
    as_json: bool,
) -> NoReturn:
    """Take the strays in, each in a transaction of its own, and say what became of it."""
    code = Code.OK
    with stopped_by_ctrl_c() as stop, progress() as bar:
        task = bar.add_task("taking in", total=len(results))
        for n, one in enumerate(results):
            if n and stop.wait(1 / rate):
                note(f"interrupted: {n} of {len(results)} looked at")
                raise typer.Exit(Code.INTERRUPTED)
            answer, problem = _take_in(opened, one, who)
            _say_taken_in(one, answer, problem, as_json=as_json)
            bar.advance(task)
            if problem:
                code = Code.REJECTED
            else:
                opened.hint()
    _exit({one.stray_id for one in results}, ids, code)


def _say_taken_in(one: _Result, answer: str, problem: str | None, *, as_json: bool) -> None:
    command_ids = [command.command_id for command in one.commands]
    if as_json:
        document = {"stray_id": one.stray_id, "answer": answer, "problem": problem}
        print_json(document | {"command_ids": command_ids})
        sys.stdout.flush()
    elif problem:
        say(f"not accepted: stray {one.stray_id}: {plain(problem)}")
    else:
        for command_id in command_ids:
            say(f"{answer}: stray {one.stray_id}, command {command_id}")


def _take_in(opened: Session, one: _Result, who: str) -> tuple[str, str | None]:
    """What the stray's commands were answered, and why they were not accepted."""
    if one.problem:
        return "refused", one.problem
    try:
        with opened.engine.begin() as connection:
            receipts = work.replay_stray(
                connection, one.stray_id, one.commands, actor=who, known_reason=one.reason
            )
    except work.NotAccepted as error:
        return "refused", f"{error}: see --new-id"
    except work.NoStray:
        return "gone", "it is not here any more"
    answers = {receipt.answer for receipt in receipts}
    return "accepted" if "accepted" in answers else "known", None


def _foresee(
    opened: Session, results: list[_Result], ids: Collection[int], *, as_json: bool
) -> NoReturn:
    commands = [command for one in results for command in one.commands]
    judged = {
        id(one.command): one
        for one in preview(
            opened.engine, commands, grace_s=opened.settings.grace_s, rules=opened.rules
        )
    }
    is_good = True
    for one in results:
        of = [judged[id(command)] for command in one.commands]
        is_accepted = one.problem is None and all(map(_is_accepted, of))
        is_good &= is_accepted and all(preview_view.code(each) == Code.OK for each in of)
        if as_json:
            documents = [preview_view.document(each) for each in of]
            print_json({"stray_id": one.stray_id, "dry_run": True, "accepted": is_accepted,
                        "problem": one.problem, "commands": documents})  # fmt: skip
        elif one.problem:
            say(f"stray {one.stray_id}: would not be accepted: {plain(one.problem)}")
        else:
            for each in of:
                say(f"stray {one.stray_id}: {_answer(each)}: {preview_view.why(each)}")
    note("nothing was taken in")
    _exit({one.stray_id for one in results}, ids, Code.OK if is_good else Code.REJECTED)


def _is_accepted(one: Preview) -> bool:
    return preview_view.state(one) != "id_reused"


def _answer(one: Preview) -> str:
    return "would be accepted" if _is_accepted(one) else "would not be accepted"


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Failure("--body: must be UTF-8", Code.USAGE) from None


def _exit(found: Collection[int], ids: Collection[int], code: Code) -> NoReturn:
    missing = set(ids) - set(found)
    for stray_id in sorted(missing):
        note(f"stray {stray_id} is not here")
    if not found and not missing:
        note("nothing")
    raise typer.Exit(Code.NOT_FOUND if missing or not found else code)


def _chosen(
    connection: Connection,
    ids: Collection[int] | None,
    reason: str | None,
    older_than: str | None,
) -> ChosenStrays:
    return ChosenStrays(
        ids=ids or None, reason=reason, came_before=ago(connection, seconds(older_than))
    )


def _acted_on(
    connection: Connection,
    ids: Collection[int] | None,
    reason: str | None,
    older_than: str | None,
    *,
    everything: bool,
) -> ChosenStrays:
    if not (ids or reason or older_than or everything):
        raise Failure("name strays, --reason, --older-than or --all", Code.USAGE)
    return _chosen(connection, ids, reason, older_than)


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
