"""What a job is: its id follows from the file and from how it is to be read, so that the same file
again is the same job.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from worker.orders.value import value

JOBS: Final = UUID("6a5b1f0e-3d0f-5d53-8f0d-6c5e3b1f7a42")
"""Namespace of the jobs' ids. Frozen: with another one, a file that was sent is none of today's."""


@value
class Options:
    """How a file is to be read, and what goes into every command."""

    columns: Mapping[str, str]
    """Columns that were named, by field."""
    encoding: str | None = None
    batch: str | None = None
    """Tells equal parcels of different files apart."""
    notify_customer: bool = True
    issued_by: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """What goes into every command."""
        fields: dict[str, Any] = {} if self.notify_customer else {"notify_customer": False}
        return fields | ({"issued_by": self.issued_by} if self.issued_by else {})


def job_id(digest: str, options: Options) -> UUID:
    """The id of the job that this file is. Who sends it does not count, nor what it is called."""
    content = [
        digest,
        options.batch,
        options.notify_customer,
        options.encoding,
        dict(options.columns),
    ]
    return uuid5(JOBS, json.dumps(content, sort_keys=True, separators=(",", ":")))
