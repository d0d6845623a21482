"""The file of rows that were not applied: same columns, same order, and why. Corrected, it is sent
again as it is.
"""

import csv
import json
from typing import Any, Final, TextIO
from uuid import UUID

import orjson
from sqlalchemy import Connection

from worker.jobs.columns import REASON, folded
from worker.jobs.formulas import harmless
from worker.jobs.jobs import Job
from worker.jobs.results import not_applied

ENCODING: Final = "utf-8-sig"
"""With a mark: spreadsheets take a CSV without one for Windows-1252."""
GONE: Final = "its cells were emptied by age"


def write(connection: Connection, job: Job, out: TextIO) -> int:
    """Write what is to be corrected; how many rows there were. A text file with `newline=""`."""
    is_csv = job.layout["format"] == "csv"
    return _csv(connection, job, out) if is_csv else _lines(connection, job.job_id, out)


def suffix(job: Job) -> str:
    """What such a file's name ends in."""
    return ".rejects.csv" if job.layout["format"] == "csv" else ".rejects.jsonl"


def encoding(job: Job) -> str:
    """In which encoding it is to be written."""
    return ENCODING if job.layout["format"] == "csv" else "utf-8"


def _csv(connection: Connection, job: Job, out: TextIO) -> int:
    names: list[str] = job.layout["columns"]
    reason = next((n for n, name in enumerate(names) if folded(name) == REASON), len(names))
    rows = csv.writer(out, delimiter=job.layout["delimiter"], lineterminator="\r\n")
    rows.writerow(map(harmless, _with(names, reason, REASON, len(names))))
    count = 0
    for _, cells, why in not_applied(connection, job.job_id):
        text = why if cells is not None else f"{why}; {GONE}"
        row = [] if cells is None else json.loads(cells)
        rows.writerow(map(harmless, _with(row, reason, text, len(names))))
        count += 1
    return count


def _with(cells: list[str], place: int, text: str, length: int) -> list[str]:
    """The cells with the reason in its place: also of a row that has too few, or too many."""
    padded = cells + [""] * (max(length, place) - len(cells))
    if place < length:
        return [*padded[:place], text, *padded[place + 1 :]]
    return [*padded[:length], text, *padded[length:]]


def _lines(connection: Connection, job_id: UUID, out: TextIO) -> int:
    count = 0
    for _, cells, why in not_applied(connection, job_id):
        row: Any = None if cells is None else json.loads(cells)
        if not isinstance(row, dict):
            row = {} if row is None else {"unreadable": row}
        out.write(orjson.dumps({**row, REASON: why}).decode() + "\n")
        count += 1
    return count
