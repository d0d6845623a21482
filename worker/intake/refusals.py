"""What a file's import refused: any number of orders, in memory that does not grow with them."""

import json
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import astuple
from typing import Final

from worker.intake.refusal import Refused

IN_MEMORY_BYTES: Final = 64 * 1024
"""What is beyond goes to a temporary file, which is gone with the object."""


class Refusals:
    """Refusals in the order in which they came. Not while one goes through them: `append`."""

    def __init__(self) -> None:
        self._count = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115  # closed below
        weakref.finalize(self, self._file.close)

    def append(self, refused: Refused) -> None:
        self._file.write(json.dumps(astuple(refused)).encode() + b"\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Refused]:
        self._file.seek(0)
        for line in self._file:
            yield Refused(*json.loads(line))
