"""Why an input was refused: the field and what is allowed there, never the value that was sent.

Values may be personal or hostile; a field's path and the rule it broke are enough to mend it.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from messages.wire import KINDS

MAX_PROBLEMS = 20
MAX_LOOKED_AT = 10_000
"""Two for each line of the longest order. A mebibyte of `{}` has 800,000, and naming the first of
them took sixteen seconds on a busy machine, as all are made into objects before one can be read."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNION_TAGS = {"Money", "literal['none','full']"}
"""What pydantic adds to the location of `Cancel.refund`."""


class Problem(NamedTuple):
    """One thing that is wrong with an input."""

    field: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.field}: {self.allowed}"


class InvalidCommand(ValueError):
    """The input is no valid command; `problems` says where and what is allowed."""

    def __init__(self, found: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.problems = found


def problems(error: ValidationError, annotation: Any) -> tuple[Problem, ...]:
    """The problems of a pydantic error, the first twenty, with fields as `items.0.quantity`."""
    if error.error_count() > MAX_LOOKED_AT:
        return (Problem("body", f"has {error.error_count()} problems, too many to name"),)
    errors = error.errors(include_url=False, include_input=False)
    around = {one["loc"][:depth] for one in errors for depth in range(len(one["loc"]))}
    found: dict[Problem, None] = {}
    for one in errors:
        path = _path(one["loc"])
        if one["type"] == "too_short" and one["loc"] in around:
            continue  # pydantic did not count the items that have problems of their own
        if one["type"] == "extra_forbidden":
            names = tuple(part for part in one["loc"][:-1] if isinstance(part, str))
            allowed = f"unknown field; known: {_known(annotation, names)}"
        elif one["type"].startswith("union_tag"):
            path, allowed = "kind", f"must be one of {', '.join(KINDS)}"
        elif one["type"] == "uuid_parsing":  # pydantic quotes the character that it stumbled over
            allowed = "must be a UUID"
        else:
            allowed = one["msg"].removeprefix("Value error, ")
        found[Problem(path, allowed)] = None
        if len(found) == MAX_PROBLEMS:
            break
    return tuple(found)


def _path(loc: tuple[int | str, ...]) -> str:
    """The location without the tags that pydantic adds for unions. The name of an unknown field
    was sent, so it is shown only if it looks like a name.
    """
    names = [str(part) for part in loc]
    if len(names) > 1 and names[0] in KINDS:
        del names[0]
    shown = [name if _NAME.fullmatch(name) else "?" for name in names if name not in _UNION_TAGS]
    return ".".join(shown) or "body"


@lru_cache(maxsize=256)
def _known(annotation: Any, around: tuple[str, ...]) -> str:
    """Names of the fields known beside an unknown one, which stands inside of these."""
    models = list(_models(annotation))
    for part in around:
        tagged = [m for m in models if _tag(m) == part or m.__name__ == part]
        models = tagged or [
            inner
            for model in models
            if part in model.model_fields
            for inner in _models(model.model_fields[part].annotation)
        ]
    return ", ".join(sorted({name for model in models for name in model.model_fields}))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, UnionType, tuple} or hasattr(annotation, "__metadata__"):
        for inner in get_args(annotation):
            yield from _models(inner)


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return kind.default if kind and isinstance(kind.default, str) else None
