"""Answers in JSON, also of what nests deeper than the quick way can write."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as an answer."""
    try:
        content = orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:
        content = json.dumps(value, default=str).encode()
    return Response(content, status, headers, "application/json")
