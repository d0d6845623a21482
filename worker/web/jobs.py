"""`/v1/jobs`: files of shipments, carried out as jobs."""

import io
import tempfile
from collections.abc import Callable
from typing import Annotated, Any, BinaryIO, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from messages.fields import Name
from messages.wire import JOBS, SHIP
from worker.jobs import jobs as work
from worker.jobs import rejects as files
from worker.jobs.badfile import BadFile
from worker.jobs.job import Options, job_id
from worker.jobs.jobs import Job, NoJob, NotNow
from worker.jobs.loading import load
from worker.jobs.reading import File
from worker.jobs.results import counts
from worker.web.bodies import copy_to
from worker.web.documents import JobDocument, JobList, LoadedJob
from worker.web.door import Door, TheDoor, TheKey, TheReader, check_kinds
from worker.web.json import answer
from worker.web.keys import Key
from worker.web.openapi import answers, file_body, problems
from worker.web.problems import Problem, invalid

router = APIRouter(tags=["jobs"])

IN_MEMORY_BYTES: Final = 1 << 20
MEDIA_TYPES: Final = ("text/csv", "application/x-ndjson")
_SHOWN: Final = (
    "job_id", "name", "kind", "state", "rows", "sent", "issued_by", "loaded_at", "decided_at",
    "dead_reason", "rate_per_s", "left_s", "is_paused",
)  # fmt: skip

T = TypeVar("T")


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=None,
    responses=answers(202, LoadedJob, "Committed: it goes on by itself.", 400, 408, 413, 415),
    openapi_extra=file_body(*MEDIA_TYPES),
)
async def upload(
    request: Request,
    door: TheDoor,
    key: TheKey,
    *,
    name: Annotated[Name | None, Query(description="The file's name, for people.")] = None,
    batch: Annotated[
        Name | None, Query(description="Tells equal shipments of different files apart.")
    ] = None,
    notify_customer: bool = True,
) -> Response:
    """Load a file of shipments: CSV of any kind, or JSON lines, as `fulfillment bulk` reads them.
    The same file again is the same job, and changes nothing.
    """
    check_kinds(key, [SHIP])
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as copy:
        stream: Any = copy
        await copy_to(stream, request, MEDIA_TYPES, door.settings.web_max_file_bytes)
        options = Options({}, None, batch, notify_customer, _by(key))
        loaded = await door.hand_in(lambda: loaded_job(door, stream, options, name))
    if loaded["answer"] == "accepted":
        door.hints.send(JOBS)
    return answer(loaded, 202, {"Location": f"/v1/jobs/{loaded['job_id']}"})


@router.get("/v1/jobs", response_model=None, responses=answers(200, JobList, "The latest first."))
async def list_(
    door: TheDoor,
    _: TheReader,
    *,
    state: Annotated[work.State | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Jobs, and how far each is."""
    found = await door.read(lambda connection: work.jobs(connection, state=state, limit=limit))
    return answer({"jobs": [_document(one) for one in found]})


@router.get(
    "/v1/jobs/{job_id}",
    response_model=None,
    responses=answers(200, JobDocument, "How far it is.", 404),
)
async def show(job_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """A job: how far, how fast, and what became of its rows."""

    def look(connection: Connection) -> dict[str, Any]:
        found = work.job(connection, job_id)
        return _document(found) | {"results": counts(connection, job_id).results}

    return answer(await door.read(lambda connection: found_job(lambda: look(connection))))


@router.post(
    "/v1/jobs/{job_id}/cancel",
    response_model=None,
    responses=answers(200, JobDocument, "It sends no more.", 404, 409),
)
async def cancel(job_id: UUID, door: TheDoor, key: TheKey) -> Response:
    """Send no more of a job. What is sent stays sent, and is decided."""
    return answer(await _act(door, key, job_id, work.cancel))


@router.post(
    "/v1/jobs/{job_id}/resume",
    response_model=None,
    responses=answers(200, JobDocument, "It goes on.", 404, 409),
)
async def resume(job_id: UUID, door: TheDoor, key: TheKey) -> Response:
    """Let a job that was cancelled, or is dead, go on from where it stood."""
    done = await _act(door, key, job_id, work.resume)
    door.hints.send(JOBS)
    return answer(done)


@router.get(
    "/v1/jobs/{job_id}/rejects",
    response_class=Response,
    response_model=None,
    responses={
        200: {
            "description": "Rows that were not applied: the same columns, and why.",
            "content": {
                one: {"schema": {"type": "string", "format": "binary"}} for one in MEDIA_TYPES
            },
        },
        **problems(404),
    },
)
async def rejects(job_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """What is to be corrected and sent again."""
    content, kind, _job = await door.read(lambda c: reject_file(c, job_id))
    return Response(content, media_type=kind)


def reject_file(connection: Connection, job_id: UUID) -> tuple[bytes, str, Job]:
    """The rows of a job that were not applied, as a file; its type, and the job.

    Raises:
      Problem: There is no such job.
    """
    found = found_job(lambda: work.job(connection, job_id))
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, files.encoding(found), newline="") as text:
        files.write(connection, found, text)
        text.flush()
        return raw.getvalue(), MEDIA_TYPES[found.layout["format"] != "csv"], found


def loaded_job(door: Door, stream: BinaryIO, options: Options, name: str | None) -> dict[str, Any]:
    """Load a file; the job's id, and whether it is new or known.

    Raises:
      Problem: It is no file of shipments.
    """
    try:
        file = File(stream)
        loaded_id = job_id(file.content.digest, options)
        with door.engine.begin() as connection:
            is_new = load(connection, file, loaded_id, options, name=name)
    except BadFile as error:
        raise invalid([("body", str(error))]) from None
    return {"job_id": loaded_id, "answer": "accepted" if is_new else "known"}


async def _act(door: Door, key: Key, job_id: UUID, act: Callable[..., Job]) -> dict[str, Any]:
    check_kinds(key, [SHIP])

    def do() -> dict[str, Any]:
        with door.engine.begin() as connection:
            done = found_job(lambda: act(connection, job_id, actor=_by(key)))
            return _document(done) | {"results": counts(connection, job_id).results}

    return await door.hand_in(do)


def found_job(look: Callable[[], T]) -> T:
    """What looking at a job, or acting on it, gives.

    Raises:
      Problem: It is not here, or not in a state for that.
    """
    try:
        return look()
    except NoJob as error:
        raise Problem("not-found", f"job {error} is not here") from None
    except NotNow as error:
        raise Problem("not-in-state", str(error)) from None


def _by(key: Key) -> str:
    return f"key {key.id}"


def _document(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _SHOWN}
