"""Memory: as flat for many rows as for few, in whoever sends a file and in who carries it out."""

import io
import tracemalloc

import pytest

from tests.jobs import job_rig
from tests.jobs.job_rig import HEADER
from tests.work import rig
from worker.jobs.jobs import job
from worker.jobs.rejects import write
from worker.jobs.results import counts

FEW, MANY = 600, 2_400
ROOM = 600_000
"""Bytes between the two peaks: a hundredth of what the rows are in memory, and much above noise."""


class Rows(io.RawIOBase):
    """A file of so many rows that is in nobody's memory: its text is made as it is read."""

    LINE = "O-%07d,A,,1,,T%07d,%s\n"

    def __init__(self, count):
        self.head = HEADER.replace("\n", ",note\n").encode()
        self.size = len(self.line(0))
        self.length = len(self.head) + count * self.size
        self.at = 0

    def line(self, number):
        return (self.LINE % (number, number, "x" * 200)).encode()

    def seekable(self):
        return True

    def readable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset if whence == io.SEEK_SET else self.at + offset
        return self.at

    def tell(self):
        return self.at

    def readinto(self, buffer):
        wanted = min(len(buffer), self.length - self.at)
        first = max(0, self.at - len(self.head)) // self.size
        last = max(0, self.at + wanted - len(self.head)) // self.size + 1
        text = b"".join(self.line(number) for number in range(first, last))
        begins = len(self.head) + first * self.size
        if self.at < len(self.head):
            text, begins = self.head + text, 0
        part = text[self.at - begins :][:wanted]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)


def peak(act):
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.heavy
def test_flat_memory(engine):
    """Loading, sending, counting and giving back four times as many rows take no more memory."""
    peaks = []
    for count in (FEW, FEW, MANY):  # the first one fills caches
        rig.run(engine, "truncate jobs, job_rows, commands")
        found = []
        stream = io.BufferedReader(Rows(count), 1 << 16)

        def load(stream=stream, found=found):
            found.append(job_rig.load_stream(engine, stream))

        def look(found=found):
            with engine.connect() as connection:
                counts(connection, found[0])
                write(connection, job(connection, found[0]), Nowhere())

        def carry_out():
            job_rig.drain(engine)()

        loading = peak(load)
        sending = peak(carry_out)
        rig.run(engine, "update job_rows set problem = 'a test'")
        peaks.append((loading, sending, peak(look)))
        assert rig.count(engine, "commands") == count

    _, few, many = peaks
    assert [more < less + ROOM for less, more in zip(few, many, strict=True)] == [True] * 3, peaks


class Nowhere(io.TextIOBase):
    """Keeps nothing."""

    def write(self, text):
        return len(text)
