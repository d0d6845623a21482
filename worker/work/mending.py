"""Edit and replay. The original stays as it came: a command is replaced by a new one that holds the
correction, a follow-up gets edits beside what its order says. The audit says who changed what.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import orjson
from pydantic import StringConstraints, ValidationError
from sqlalchemy import Connection

from messages import Address, Command, InvalidCommand, new_command_id, parse
from messages.fields import Locale, Model
from messages.problems import Problem, problems
from messages.wire import COMMANDS, EMAILS, LABELS
from worker.work.accept import accept
from worker.work.audit import Act, record
from worker.work.dead import Chosen, replay

DEAD_COMMAND = """
-- dead_command
select kind, order_id, body from commands where id = %(id)s and state = 'dead'
for no key update
"""

REPLACE = """
-- replace: the original ends; its body stays what was sent
update commands set state = 'discarded', decided_at = now(), outcome = %(outcome)s::jsonb
where id = %(id)s
"""

FOLLOW = """
-- follow: what comes after the original comes after its replacement. One that a worker holds, with
-- the old predecessor in mind, is taken away from it.
with locked as materialized (
  select id from commands
  where id = any(array(
      select id from commands where order_id = %(order_id)s and after_id = %(old)s
        and state = 'pending' and outcome is null
      union all
      select id from commands where order_id = %(order_id)s and after_id = %(old)s
        and state = 'dead'))
    and after_id = %(old)s and state in ('pending', 'dead')
  order by id for no key update
)
update commands c set after_id = %(new)s, claim = null, lease_until = null,
  next_at = case when state = 'pending' and waits_for is distinct from 'schedule'
                 then now() else next_at end,
  waits_for = case when waits_for = 'schedule' then waits_for end
from locked where c.id = locked.id
returning c.id
"""

_USED = """
select f.route, f.order_id, coalesce(f.edits, '{}') as edits,
  case f.route
    when 'emails' then jsonb_build_object('to', o.customer_email, 'locale', o.locale)
    when 'labels' then jsonb_build_object('ship_to', o.ship_to)
    else '{}'
  end || coalesce(f.edits, '{}') as used
from followups f join orders o using (order_id) where f.id = %(id)s and f.state = 'dead'
"""
DEAD_FOLLOWUP = f"""
-- dead_followup: its edits so far, and what it would use without others
{_USED}for no key update of f
"""
USED = f"""
-- used: likewise, only to look at
{_USED}
"""

EDIT = """
-- edit
update followups set edits = nullif(%(edits)s::jsonb, '{}') where id = %(id)s
"""

_Read = TypeVar("_Read")
_NEVER_CHANGED: Final = ("kind", "order_id")
_OF_THE_SENDING: Final = ("command_id", "issued_at", "issued_by")


class EmailEdits(Model):
    """What can be set right in an e-mail."""

    to: Annotated[
        str | None, StringConstraints(pattern=r"^[!-?A-~]+@[^@\s\p{C}]+$", max_length=254)
    ] = None
    locale: Locale | None = None


class LabelEdits(Model):
    """What can be set right on a label."""

    ship_to: Address | None = None


EDITS: Final[Mapping[str, type[Model]]] = {EMAILS: EmailEdits, LABELS: LabelEdits}
"""What a route's follow-ups take from `Task.edits`, in place of what the order says."""


class NotDead(LookupError):
    """There is no such dead letter."""


class CannotEdit(ValueError):
    """What was to be changed stays as it is; the message says what to do instead."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What is due now: the follow-up itself, or the command in place of the one that was dead."""

    route: str
    id: UUID
    replaces: UUID | None = None
    moved: tuple[UUID, ...] = ()
    """Commands that came after the one that is replaced, and now come after its replacement."""


def corrected(body: Any, fields: Mapping[str, str]) -> Command:
    """The command in a JSON value, with fields set: `tracking_number`, `items.0.quantity`. A text
    is read as JSON if the field takes that, else as it is; `null` takes the field away.

    Raises:
      InvalidCommand: It is none; each problem names the field and what is allowed.
    """
    return _read(body, fields, parse)


def document(raw: bytes) -> Any:
    """The JSON value in a file.

    Raises:
      InvalidCommand: It is none.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidCommand((Problem("body", "is no JSON"),)) from None


def corrected_letter(
    letter: Mapping[str, Any], raw: bytes | None, fields: Mapping[str, str]
) -> Command:
    """The command of a dead letter (a row of `dead`), or the one given in its place, with fields
    set. What that leaves out of the letter's envelope is the letter's own.

    Raises:
      InvalidCommand: As `document` and `corrected`.
    """
    if raw is None:
        return corrected(letter["body"], fields)
    body = document(raw)
    if isinstance(body, dict):
        own = {
            "command_id": str(letter["id"]),
            "kind": letter["name"],
            "order_id": letter["order_id"],
        }
        body = own | body
    return corrected(body, fields)


def replacement(original: Any, command: Command, *, actor: str) -> Command:
    """The corrected command under an id of its own; `actor` is who asks for it now."""
    if isinstance(original, dict):
        for name in _NEVER_CHANGED:
            if name in original and original[name] != getattr(command, name):
                raise CannotEdit(f"{name}: stays; discard it and send another command")
    update = {"command_id": new_command_id(), "issued_by": actor, "issued_at": None}
    return command.model_copy(update=update)


def replace_command(
    connection: Connection, command_id: UUID, command: Command, *, actor: str
) -> Mended:
    """Accept the corrected command in place of the dead one, which ends as discarded. What comes
    after the original comes after the new one.

    Raises:
      NotDead: It is no dead command.
      CannotEdit: It is another order's, another kind, or just the same.
    """
    row = connection.exec_driver_sql(DEAD_COMMAND, {"id": command_id}).first()
    if row is None:
        raise NotDead(str(command_id))
    original = {**_object(row.body), "kind": row.kind, "order_id": row.order_id}
    new = replacement(original, command, actor=actor)
    changes = changed(row.body, new)
    if not changes:
        raise CannotEdit("nothing would be changed: replay it without --set and --body")
    accept(connection, [new])
    outcome = {"discarded": "replaced", "by": actor, "replaced_by": str(new.command_id)}
    connection.exec_driver_sql(
        REPLACE, {"id": command_id, "outcome": orjson.dumps(outcome).decode()}
    )
    parameters = {"order_id": row.order_id, "old": command_id, "new": new.command_id}
    moved = tuple(connection.exec_driver_sql(FOLLOW, parameters).scalars())
    details = {"replaced_by": new.command_id, "changes": changes}
    after = {"after": {"from": command_id, "to": new.command_id}}
    record(
        connection,
        actor,
        [
            Act("edited", COMMANDS, command_id, row.order_id, details),
            *(Act("edited", COMMANDS, one, row.order_id, {"changes": after}) for one in moved),
        ],
    )
    return Mended(COMMANDS, new.command_id, replaces=command_id, moved=moved)


def editable(connection: Connection, followup_id: UUID) -> dict[str, Any]:
    """What can be set right in a dead follow-up, by field, as it would be used now; nothing if it
    is none, or nothing of its route can be edited.
    """
    row = connection.exec_driver_sql(USED, {"id": followup_id}).first()
    model = row and EDITS.get(row.route)
    return {name: row.used.get(name) for name in model.model_fields} if row and model else {}


def edit_followup(
    connection: Connection, followup_id: UUID, fields: Mapping[str, str], *, actor: str
) -> Mended:
    """Set right what the dead follow-up uses in place of what its order says. It stays dead.

    Raises:
      NotDead: It is no dead follow-up.
      CannotEdit: Nothing of its route can be edited, or nothing would be changed.
      InvalidCommand: A field is unknown to the route, or its value is not allowed.
    """
    row = connection.exec_driver_sql(DEAD_FOLLOWUP, {"id": followup_id}).first()
    if row is None:
        raise NotDead(str(followup_id))
    model = EDITS.get(row.route)
    if model is None:
        raise CannotEdit(f"nothing in {row.route} can be edited")
    names = {field.partition(".")[0] for field in fields}

    def validated(raw: bytes) -> dict[str, Any]:
        # Not by orjson, which raises for a lone surrogate and for what nests 254 deep.
        asked = {name: value for name, value in json.loads(raw).items() if name in names}
        try:
            read = model.model_validate_json(json.dumps(asked))
        except ValidationError as error:
            raise InvalidCommand(problems(error, model)) from None
        return read.model_dump(mode="json", exclude_none=True)

    new = _read(row.used, fields, validated)
    changes = {
        name: {"from": row.used.get(name), "to": new.get(name)}
        for name in sorted(names)
        if row.used.get(name) != new.get(name)
    }
    if not changes:
        raise CannotEdit("nothing would be changed: replay it without --set")
    kept = {name: value for name, value in row.edits.items() if name not in names}
    edits = orjson.dumps(kept | new).decode()
    connection.exec_driver_sql(EDIT, {"id": followup_id, "edits": edits})
    act = Act("edited", row.route, followup_id, row.order_id, {"changes": changes})
    record(connection, actor, [act])
    return Mended(row.route, followup_id)


def edit_and_replay(
    connection: Connection, followup_id: UUID, fields: Mapping[str, str], *, actor: str
) -> Mended:
    """Set the dead follow-up right, and make it due again. Raises what `edit_followup` raises."""
    mended = edit_followup(connection, followup_id, fields, actor=actor)
    replay(connection, Chosen(ids=[followup_id]), actor=actor, limit=1)
    return mended


def changed(original: Any, command: Command) -> dict[str, Any]:
    """What the corrected command changes, by field: from what, to what."""
    try:
        before = parse(json.dumps(original)).body()
    except InvalidCommand:
        before = _object(original)
    after = command.body()
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if name not in _OF_THE_SENDING and before.get(name) != after.get(name)
    }


def _read(body: Any, fields: Mapping[str, str], read: Callable[[bytes], _Read]) -> _Read:
    """What `read` makes of the body with the fields set."""
    values: dict[str, Any] = {field: _json(text) for field, text in fields.items()}
    try:
        return read(_with(body, values))
    except RecursionError:  # what may be read is deeper than what may be copied or written
        raise InvalidCommand((Problem("body", "nests too deeply"),)) from None
    except InvalidCommand as error:
        # A tracking number looks like a number: the field knows that it is a text.
        wrong = {problem.field for problem in error.problems}
        texts = {
            field: fields[field]
            for field, value in values.items()
            if field in wrong and not isinstance(value, str | dict | list)
        }
        if not texts:
            raise
        return read(_with(body, values | texts))


def _with(body: Any, values: Mapping[str, Any]) -> bytes:
    if values and not isinstance(body, dict):
        raise InvalidCommand((Problem("body", "is no JSON object: give a whole one with --body"),))
    document = deepcopy(body)
    for field, value in values.items():
        _put(document, field, value)
    return json.dumps(document).encode()


def _put(document: Any, field: str, value: Any) -> None:
    """Set the field that a dotted name leads to; None takes it away."""
    *path, last = field.split(".")
    try:
        for step in path:
            if isinstance(document, dict) and document.get(step) is None:
                document[step] = {}
            document = document[_key(document, step)]
        if value is None:
            del document[_key(document, last)]
        else:
            document[_key(document, last)] = value
    except (LookupError, TypeError, ValueError):
        raise InvalidCommand((Problem(field, "there is no such place"),)) from None


def _key(document: Any, step: str) -> str | int:
    return int(step) if isinstance(document, list) else step


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _object(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}
