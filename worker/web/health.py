"""`/livez`, `/readyz`: for who starts and stops the door. No key, nothing to learn."""

from functools import cache
from typing import Final

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from worker.store import schema
from worker.web.documents import Health
from worker.web.door import TheDoor
from worker.web.json import answer
from worker.web.openapi import answers
from worker.web.problems import unavailable

router = APIRouter(tags=["health"])

VERSION: Final = """
-- version: of the schema
select version_num from alembic_version
"""


@router.get(
    "/livez",
    response_model=None,
    responses=answers(200, Health, "It turns."),
)
async def livez() -> Response:
    """Whether the process turns."""
    return answer({"status": "live"})


@router.get(
    "/readyz",
    response_model=None,
    responses=answers(200, Health, "It can take commands."),
)
async def readyz(door: TheDoor) -> Response:
    """Whether commands can be taken: the database answers, and has the schema of this version."""
    if await door.read(_version) != _newest():
        raise unavailable("the database's schema is of another version")
    return answer({"status": "ready"})


def _version(connection: Connection) -> object:
    return connection.exec_driver_sql(VERSION).scalar()


@cache
def _newest() -> str:
    return schema.newest()
