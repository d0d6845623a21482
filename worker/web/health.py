"""`/livez`, `/readyz`: for who starts and stops the door. No key, nothing to learn."""

from fastapi import APIRouter
from starlette.responses import Response

from worker.store import schema
from worker.web.documents import Health
from worker.web.door import TheDoor
from worker.web.json import answer
from worker.web.openapi import answers
from worker.web.problems import unavailable

router = APIRouter(tags=["health"])


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
    """Whether commands can be taken: the database answers, and its schema fits this version."""
    if (await door.read(schema.fit)).advice:
        raise unavailable("the database's schema is of another version")
    return answer({"status": "ready"})
