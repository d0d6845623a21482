"""What tests of jobs share: loading a file, carrying it out by hand, its rows' fates."""

import io

from tests.work import rig
from worker.jobs.job import Options, job_id
from worker.jobs.loading import load
from worker.jobs.reading import File
from worker.jobs.results import results
from worker.jobs.route import jobs_route

HEADER = "order,line,sku,quantity,carrier,tracking_number\n"


def read(content, **options):
    """The rows of a file."""
    return list(File(io.BytesIO(content), **options).rows())


def problems(content, **options):
    """What is wrong with each row by itself."""
    return [row.problem for row in read(content, **options)]


def loaded(engine, content, **options):
    """Load a file, and commit; the job's id."""
    content = content.encode() if isinstance(content, str) else content
    return load_stream(engine, io.BytesIO(content), **options)


def load_stream(engine, stream, **options):
    """The same with a stream."""
    chosen = Options(**{"columns": {}} | options)
    file = File(stream, encoding=chosen.encoding, columns=chosen.columns)
    found = job_id(file.content.digest, chosen)
    with engine.begin() as connection:
        load(connection, file, found, chosen, name="parcels.csv")
    return found


def drain(engine):
    """A drainer of jobs, as a process of its own would have it."""
    return rig.drain_of(jobs_route(engine), engine, turn_s=600)


def carried_out(engine, content, **options):
    """Load a file, send all of it and have it decided; the job's id."""
    found = loaded(engine, content, **options)
    drain(engine)()
    rig.drainer(engine)()
    return found


def fates(engine, found):
    """What became of each row: its line of the file, result, and reason or message."""
    with engine.connect() as connection:
        return [
            (row.row, row.result, row.reason or row.message)
            for row in results(connection, found, is_all=True)
        ]


def job(engine, found):
    return rig.one(engine, "select * from jobs where id = %(id)s", id=found)
