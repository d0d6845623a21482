"""The application around a door. Its routes are made once: that takes longer than most tests."""

from copy import copy
from functools import cache
from typing import Any, cast

from fastapi import FastAPI
from starlette.datastructures import State

from worker.web.app import make_app
from worker.web.door import Door


def application(door: Door) -> FastAPI:
    """As `make_app` makes it, with the routes of those before it."""
    app = copy(_made())
    app.state = State({"door": door})
    app.middleware_stack = None  # it would lead to the one that was copied
    return app


@cache
def _made() -> FastAPI:
    return make_app(cast("Any", None))
