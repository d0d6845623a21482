"""`/jobs`: files of shipments: handed in, followed, stopped, and what came back of them."""

import tempfile
import time
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, BinaryIO, Final, get_args
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.datastructures import QueryParams
from starlette.responses import Response

from messages.wire import JOBS
from worker.console.forms import TheFile, TheForm
from worker.console.gate import TheAgent, TheOperator, TheViewer
from worker.console.lines import line
from worker.console.pages import page
from worker.console.visit import Visit, see_other
from worker.jobs import jobs as work
from worker.jobs import rejects as files
from worker.jobs.badfile import BadFile
from worker.jobs.foreseeing import foresee
from worker.jobs.job import Options
from worker.jobs.jobs import Job
from worker.jobs.loading import load
from worker.jobs.reading import File
from worker.jobs.results import counts, results
from worker.web.door import Door, TheDoor
from worker.web.jobs import IN_MEMORY_BYTES, found_job, loaded_job, reject_file
from worker.web.problems import invalid

router = APIRouter()

SHOWN: Final = 100
ROWS: Final = 50
"""Rows of one file that are shown; the file of rejects has them all."""
JUDGING_S: Final = 8.0
"""For how long a file is judged before it is sent; less than a request may take."""
_STATES: Final = get_args(work.State)


@router.get("/jobs")
async def list_(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """Jobs, the latest first; to htmx the part that it asks for again and again."""
    given = request.query_params.get("state")
    state = given if given in _STATES else None
    found = await door.read(lambda c: work.jobs(c, state=state, limit=SHOWN + 1))
    template = "jobs/list.html" if visit.is_htmx else "jobs.html"
    return page(visit, template, jobs=found, shown=SHOWN, state=state or "", states=_STATES)


@router.post("/jobs")
async def send(request: Request, visit: TheAgent, door: TheDoor, file: TheFile) -> Response:
    """Load a file as a job, or only say what would become of its rows: `check=true`."""
    query = request.query_params
    options, name = _options(query, visit), _name(query)
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as copy:
        stream: Any = copy
        await file(stream, door.settings.web_max_file_bytes)
        if query.get("check") == "true":
            found = await door.look(lambda: _foreseen(door, stream, options, name))
            return page(visit, "jobs/foreseen.html", **found)
        loaded = await door.hand_in(lambda: loaded_job(door, stream, options, name))
    if loaded["answer"] == "accepted":
        door.hints.send(JOBS)
    return see_other(visit, f"/jobs/{loaded['job_id']}")


@router.get("/jobs/{job_id}")
async def show(job_id: UUID, visit: TheViewer, door: TheDoor) -> Response:
    """How far a job is, how fast, and what became of its rows."""

    def look(connection: Connection) -> dict[str, Any]:
        return {
            "job": found_job(lambda: work.job(connection, job_id)),
            "counts": counts(connection, job_id),
            "rows": list(results(connection, job_id, is_all=False, limit=ROWS + 1)),
        }

    template = "jobs/job.html" if visit.is_htmx else "jobs/show.html"
    return page(visit, template, shown=ROWS, **await door.read(look))


@router.get("/jobs/{job_id}/rejects")
async def rejects(job_id: UUID, _: TheViewer, door: TheDoor) -> Response:
    """What was not applied, to be corrected and sent again; no spreadsheet runs anything in it."""
    content, kind, job = await door.read(lambda c: reject_file(c, job_id))
    headers = {"Content-Disposition": f'attachment; filename="{job_id}{files.suffix(job)}"'}
    return Response(content, media_type=kind, headers=headers)


@router.post("/jobs/{job_id}/cancel")
async def cancel(job_id: UUID, visit: TheOperator, door: TheDoor, _: TheForm) -> Response:
    """Send no more of a job. What is sent stays sent, and is decided."""
    await _act(door, job_id, work.cancel, visit)
    return see_other(visit, f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/resume")
async def resume(job_id: UUID, visit: TheOperator, door: TheDoor, _: TheForm) -> Response:
    """Let a job that was cancelled, or is dead, go on from where it stood."""
    await _act(door, job_id, work.resume, visit)
    door.hints.send(JOBS)
    return see_other(visit, f"/jobs/{job_id}")


async def _act(door: Door, job_id: UUID, act: Callable[..., Job], visit: Visit) -> None:
    await door.write(lambda c: found_job(lambda: act(c, job_id, actor=visit.actor)))


def _foreseen(door: Door, stream: BinaryIO, options: Options, name: str | None) -> dict[str, Any]:
    """What would become of the rows; nobody else sees the job, and nothing of it stays."""
    job_id, until_s = uuid4(), time.monotonic() + JUDGING_S
    grace_s, judged = door.settings.grace_s, 0
    try:
        file = File(stream)
        with door.engine.connect() as connection:
            load(connection, file, job_id, options, name=name)
            for count in foresee(connection, door.engine, job_id, options, grace_s=grace_s):
                judged += count
                if time.monotonic() > until_s:
                    break
            found = {
                "job": work.job(connection, job_id),
                "counts": counts(connection, job_id),
                "rows": list(results(connection, job_id, is_all=False, limit=ROWS + 1)),
            }
            connection.rollback()
    except BadFile as error:
        raise invalid([("file", str(error))]) from None
    return found | {"judged": judged, "shown": ROWS, "unused": file.columns.unused}


def _options(query: QueryParams, visit: Visit) -> Options:
    batch = query.get("batch", "")
    is_told = query.get("notify_customer") != "false"
    return Options({}, None, line("batch", batch) if batch else None, is_told, visit.actor)


def _name(query: QueryParams) -> str | None:
    """The file's, for people."""
    return PurePath("".join(filter(str.isprintable, query.get("name", "")))).name[:255] or None
