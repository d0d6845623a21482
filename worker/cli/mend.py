"""`dead replay --set | --body`: one dead letter is corrected, and replayed."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any, NoReturn
from uuid import UUID

import typer

from messages.wire import COMMANDS
from worker.checks import CHECKS
from worker.cli import preview as preview_view
from worker.cli.exits import Code, Failure
from worker.cli.output import note, print_json, say
from worker.cli.prospects import print_prospects
from worker.cli.session import Session, session
from worker.work import mending
from worker.work.dead import Chosen, dead
from worker.work.preview import preview
from worker.work.prospects import prospects


def mend(
    ids: Collection[UUID] | None,
    sets: dict[str, str],
    body: bytes | None,
    who: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    """Correct one letter and replay it, or say what would come of it."""
    if len(ids or ()) != 1:
        raise Failure("--set and --body: correct one dead letter, named by its id", Code.USAGE)
    (letter_id,) = ids or ()
    with session() as opened:
        with opened.engine.connect() as connection:
            letters = dead(connection, Chosen(ids=[letter_id]), limit=1)
        if not letters:
            raise Failure(f"{letter_id} is no dead letter", Code.NOT_FOUND)
        try:
            if letters[0]["route"] == COMMANDS:
                _mend_command(opened, letters[0], sets, body, who, dry_run=dry_run, as_json=as_json)
            if body is not None:
                raise Failure("--body: only commands have one; use --set", Code.USAGE)
            _mend_followup(opened, letter_id, sets, who, dry_run=dry_run, as_json=as_json)
        except mending.CannotEdit as error:
            raise Failure(str(error), Code.USAGE) from None
        except mending.NotDead:
            raise Failure(f"{letter_id} is no dead letter", Code.NOT_FOUND) from None


def _mend_command(
    opened: Session,
    letter: dict[str, Any],
    sets: dict[str, str],
    body: bytes | None,
    who: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    command = mending.corrected_letter(letter, body, sets)
    if dry_run:
        new = mending.replacement(letter["body"], command, actor=who)
        (one,) = preview(opened.engine, [new], grace_s=opened.settings.grace_s, rules=opened.rules)
        changes = mending.changed(letter["body"], new)
        if as_json:
            print_json({**preview_view.document(one), "changes": changes})
        else:
            say(f"changes: {', '.join(changes) or 'nothing'}")
            say(preview_view.text(one))
            note("nothing was sent")
        raise typer.Exit(preview_view.code(one))
    with opened.engine.begin() as connection:
        mended = mending.replace_command(connection, letter["id"], command, actor=who)
    opened.hint()
    if as_json:
        print_json(asdict(mended))
    else:
        say(f"replaced: command {mended.replaces} by {mended.id}")
        for one_id in mended.moved:
            say(f"moved: command {one_id} comes after {mended.id} now")
    raise typer.Exit(Code.OK)


def _mend_followup(
    opened: Session,
    followup_id: UUID,
    sets: dict[str, str],
    who: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> NoReturn:
    if dry_run:
        with opened.engine.connect() as connection:
            mending.edit_followup(connection, followup_id, sets, actor=who)
            found = prospects(
                connection,
                Chosen(ids=[followup_id]),
                limit=1,
                grace_s=opened.settings.grace_s,
                checks=CHECKS,
            )
            connection.rollback()
        print_prospects(found, [followup_id], as_json=as_json)
    with opened.engine.begin() as connection:
        mended = mending.edit_and_replay(connection, followup_id, sets, actor=who)
    opened.hint(mended.route)
    if as_json:
        print_json(asdict(mended))
    else:
        say(f"replayed: {mended.route} {mended.id}")
    raise typer.Exit(Code.OK)
