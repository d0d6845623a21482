"""The door's description (OpenAPI 3.1): bodies as the contract has them, problems everywhere."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from messages.order import PlacedOrder
from messages.schema import TEXT, schema
from worker.web.problems import KINDS, MEDIA_TYPE, ProblemDocument

_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_TEXT: Final = rf"^[^{_CONTROLS}]*[^{_CONTROLS}\s][^{_CONTROLS}]*$"
_REF: Final = "#/components/schemas/"
_ABOUT: Final = """Commands in, outcomes and orders out.

A command is accepted once it is answered with 202: its row is committed. Send it again, with the
same id, whenever in doubt; the answer then is `known`, with the outcome so far. For a single
command an `Idempotency-Key` header may say the id instead of `command_id` in the body: a UUID is
the id itself, of any other text the id is derived, for all keys alike. Without either it is
refused.

Problems are RFC 9457. Their `type` is one of
"""


def answers(
    status: int, model: Any, description: str, *others: int
) -> dict[int | str, dict[str, Any]]:
    """What an operation answers with: its result, and problems beside those of every operation."""
    return {status: {"model": model, "description": description}} | problems(*others)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, and those of every operation."""
    return {
        status: {
            "description": "; ".join(title for one, title in KINDS.values() if one == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_REF}ProblemDocument"}}},
        }
        for status in (*statuses, *_EVERYWHERE)
    }


def body(described: dict[str, Any]) -> dict[str, Any]:
    """For `openapi_extra`: a body of JSON that the operation reads by itself."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": described}}}
    }


def file_body(*kinds: str) -> dict[str, Any]:
    """Likewise, of a file of one of these kinds."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


def one_or_many(most: int) -> dict[str, Any]:
    """A command, or an array of so many at most."""
    command = {"$ref": f"{_REF}Command"}
    many = {"type": "array", "items": command, "minItems": 1, "maxItems": most}
    return {"oneOf": [command, many]}


_EVERYWHERE: Final = (401, 403, 422, 429, 500, 503)
ORDER: Final = {"$ref": f"{_REF}PlacedOrderWithId"}


def describing(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be; made once."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            types = "\n".join(
                f"- `/problems/{name}`: {title}" for name, (_, title) in KINDS.items()
            )
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=f"{_ABOUT}\n{types}",
                routes=app.routes,
                separate_input_output_schemas=False,
            )
            made["components"]["schemas"] |= _schemas()
            app.openapi_schema = made
        return app.openapi_schema

    return describe


def _schemas() -> dict[str, Any]:
    command = _moved(schema())
    problem = _moved(TypeAdapter(ProblemDocument).json_schema())
    order = _moved(schema("place"))
    found: dict[str, Any] = {**command.pop("$defs"), **problem.pop("$defs"), **order.pop("$defs")}
    for one in (command, problem):
        one.pop("$schema", None)
        one.pop("$id", None)
    placed = found[PlacedOrder.__name__]
    identified = placed | {
        "properties": {"order_id": order["properties"]["order_id"], **placed["properties"]},
        "required": ["order_id", *placed.get("required", ())],
    }
    return found | {"Command": command, "ProblemDocument": problem, "PlacedOrderWithId": identified}


def _moved(value: Any) -> Any:
    """The schema with its references to where all of them stand; what it says of texts in words, as
    a pattern too.
    """
    match value:
        case {"type": "string", "description": description} if description == TEXT:
            return value | {"pattern": _TEXT}
        case dict():
            return {
                key: one.replace("#/$defs/", _REF)
                if key == "$ref" and isinstance(one, str)
                else {tag: where.replace("#/$defs/", _REF) for tag, where in one.items()}
                if key == "mapping" and isinstance(one, dict)
                else _moved(one)
                for key, one in value.items()
            }
        case list():
            return [_moved(one) for one in value]
        case _:
            return value
