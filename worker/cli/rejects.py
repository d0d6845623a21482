"""Where reject files go: beside the file, and never over what somebody has corrected meanwhile."""

import filecmp
import os
import tempfile
from pathlib import Path

from sqlalchemy import Connection

from worker.cli.exits import Failure
from worker.jobs import rejects
from worker.jobs.jobs import Job


def beside(name: str, job: Job) -> Path:
    """The reject file's path, by the name of the file that was sent."""
    path = Path(name)
    stem = path.name.removesuffix(path.suffix) if path.suffix else path.name
    return path.with_name(stem.removesuffix(".rejects") + rejects.suffix(job))


def save(connection: Connection, job: Job, path: Path, *, is_asked: bool) -> tuple[Path, int]:
    """Write the file whole or not at all: where, and how many rows. Asked for by name it replaces
    what is there; else, where something else is, it gets a number.

    Raises:
      Failure: It cannot be written there.
    """
    try:
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
        try:
            encoding = rejects.encoding(job)
            with open(handle, "w", encoding=encoding, newline="") as out:  # noqa: PTH123  # a descriptor
                count = rejects.write(connection, job, out)
            if not is_asked:
                path = _free(path, Path(made))
            Path(made).replace(path)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failure(f"{path}: {os.strerror(error.errno or 0)}") from None
    return path, count


def _free(path: Path, made: Path) -> Path:
    number, wanted = 1, path
    while path.exists() and not filecmp.cmp(path, made, shallow=False):
        number += 1
        path = wanted.with_stem(f"{wanted.stem}-{number}")
    return path
