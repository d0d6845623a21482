"""The contract as JSON Schema (draft 2020-12), for producers in other languages.

A body that fits is one that every door can read. The parser takes a little more: other spellings
of a UUID or of a time. What a schema cannot say is said in descriptions.
"""

import ast
import inspect
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from messages.commands import (
    SCHEMA_VERSION,
    Cancel,
    Command,
    Complete,
    Hold,
    Place,
    Refund,
    Release,
    Ship,
    UpdateTracking,
    Void,
)
from messages.fields import clean_text, sorted_items
from messages.outcomes import Outcome
from messages.wire import (
    CANCEL,
    COMPLETE,
    HOLD,
    PLACE,
    REFUND,
    RELEASE,
    SHIP,
    UPDATE_TRACKING,
    VOID,
)

OUTCOME: Final = "outcome"

_COMMANDS: Final[dict[str, type[BaseModel]]] = {
    PLACE: Place,
    SHIP: Ship,
    COMPLETE: Complete,
    CANCEL: Cancel,
    REFUND: Refund,
    VOID: Void,
    UPDATE_TRACKING: UpdateTracking,
    HOLD: Hold,
    RELEASE: Release,
}
_ANY_COMMAND: Final = Annotated[Command, Field(discriminator="kind")]
_ANY_OUTCOME: Final = Annotated[Outcome, Field(discriminator="state")]

NAMES: Final = (*_COMMANDS, OUTCOME)

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NUMBERS: Final = (
    "Numbers are written whole: no fraction, no exponent, no quotes. A field that is left out has"
    " its default. At most 1 MiB."
)
_MAY_GROW: Final = "Later versions may add fields and reasons: expect some that you do not know."
TEXT: Final = (
    "Trimmed and kept in NFC; not only blanks; no control characters, line breaks or surrogates."
)
_RULES: Final = {
    clean_text: TEXT,
    sorted_items: "In any order; it means nothing.",
}
"""What our validators check or change, in words."""
_EITHER: Final[dict[type, tuple[str, str]]] = {
    Ship: ("carrier", "new_carrier"),
    Refund: ("amount", "items"),
    UpdateTracking: ("carrier", "new_carrier"),
}
_SOME: Final[dict[type, tuple[str, ...]]] = {
    UpdateTracking: ("carrier", "new_carrier", "tracking_number", "tracking_url"),
}
_UUID: Final = "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
MOMENT: Final = (
    r"^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])$"
)


def schema(name: str | None = None) -> dict[str, Any]:
    """The schema of one kind of command or of the outcome; without a name, of any command.

    Raises:
      KeyError: There is none of that name.
    """
    if name == OUTCOME:
        return _document(name, _ANY_OUTCOME, _Read, _MAY_GROW)
    if name is None:
        return _document("command", _ANY_COMMAND, _Written, _NUMBERS)
    return _document(name, _COMMANDS[name], _Written, _NUMBERS)


def _document(name: str, of: Any, generator: type[GenerateJsonSchema], note: str) -> dict[str, Any]:
    found = TypeAdapter(of).json_schema(schema_generator=generator)
    said = " ".join(filter(None, (found.pop("description", None), note)))
    head = {
        "$schema": _DIALECT,
        "$id": f"urn:fulfillment:v{SCHEMA_VERSION}:{name}",
        "title": f"fulfillment {name}, version {SCHEMA_VERSION}",
        "description": said,
    }
    return head | {key: value for key, value in found.items() if key != "title"}


class _Written(GenerateJsonSchema):
    """What producers write: nothing unknown."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema  # a title would be the field's name again
        return False

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model, fields = schema["cls"], found["properties"]
        for field, said in _docstrings(model).items():
            fields[field].setdefault("description", said)
        for tag in {"kind", "state"} & fields.keys():
            if "const" in fields[tag]:  # our models fill it in; on the wire it must be said
                del fields[tag]["default"]
                found["required"] = [tag, *found.get("required", ())]
        if either := _EITHER.get(model):
            is_said: dict[str, Any] = {"not": {"enum": [None, []]}}
            found["not"] = {
                "required": [*either],
                "properties": dict.fromkeys(either, is_said),
                "description": f"Give {' or '.join(either)}, not both.",
            }
        if some := _SOME.get(model):
            found["anyOf"] = [
                {"required": [one], "properties": {one: {"not": {"const": None}}}} for one in some
            ]
        return found

    def function_after_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().function_after_schema(schema)
        said = _RULES.get(schema["function"]["function"])
        return {**found, "description": said} if said else found

    def uuid_schema(self, schema: Any) -> JsonSchemaValue:
        return super().uuid_schema(schema) | {"pattern": _UUID}

    def datetime_schema(self, schema: Any) -> JsonSchemaValue:
        said = "With its offset; in the years 1970 to 2999."
        return super().datetime_schema(schema) | {"pattern": MOMENT, "description": said}


class _Read(_Written):
    """What producers read: it may have more than they know."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        found.pop("additionalProperties", None)  # items are shared with what producers write
        return found

    def enum_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().enum_schema(schema)
        found["examples"] = found.pop("enum")
        return found


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """What stands below the model's fields, its bases' included."""
    said: dict[str, str] = {}
    for one in model.mro()[: model.mro().index(BaseModel)]:
        source = ast.parse(inspect.getsource(one))
        # Level by level: what stands below a field comes right after it.
        for field, text in pairwise(ast.walk(source)):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    said.setdefault(name, inspect.cleandoc(words).replace("\n", " "))
    return said
