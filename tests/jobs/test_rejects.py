"""Reject files: what was not applied, as it came, and why; sent again, it is what it was."""

import csv
import io

import pytest

from tests import factories as make
from tests.hostile import corpus
from tests.jobs import job_rig
from tests.jobs.job_rig import HEADER
from tests.work import rig
from worker.jobs.formulas import harmless, restored
from worker.jobs.jobs import job
from worker.jobs.reading import File
from worker.jobs.rejects import write

CELLS = [
    "=cmd|' /C calc'!A0",
    "+49 30 1234",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    " =1",
    "'=1",
    "''=1",
    "' '+1",
    "\uff1d1",
    "'plain",
    "plain",
    "",
    "'",
    "a=b",
    *(one.text for one in corpus.STORED.values()),
]


def rejects(engine, found):
    out = io.StringIO(newline="")
    with engine.connect() as connection:
        write(connection, job(connection, found), out)
    return out.getvalue()


@pytest.mark.parametrize("cell", CELLS)
def test_formulas(cell):
    """Nothing that is written begins like a formula, and it is read as it was."""
    written = harmless(cell)

    assert written.lstrip(" '\"")[:1] not in set("=+-@\t\r\uff1d") or written.startswith("'")
    assert restored(written) == cell
    assert restored(harmless(written)) == written


def test_the_round_trip(engine):
    """Columns of others, their order, odd cells and row lengths come back as they came, with the
    reason; the reject file sent again is refused for the same, with the same cells.
    """
    notes = ["=1+1", "'=x", "-", "a;b", 'say "x"', "two\nlines", "  padded ", "Zoë"]
    text = io.StringIO(newline="")
    rows = csv.writer(text, delimiter=";")
    rows.writerow(["=Note", "Qty", "Order", "Line"])
    rows.writerows([note, "x", "O-1", "A"] for note in notes)
    rows.writerow(["short", "1"])

    first = job_rig.carried_out(engine, text.getvalue().encode("cp1252"))
    back = rejects(engine, first)
    second = job_rig.carried_out(engine, back.encode("utf-8-sig"))

    found = list(csv.reader(io.StringIO(back, newline=""), delimiter=";"))
    assert found[0] == ["'=Note", "Qty", "Order", "Line", "reason"]
    assert [row[:4] for row in found[1:-1]] == [
        [harmless(restored(note)), "x", "O-1", "A"] for note in notes
    ]
    assert {row[4] for row in found[1:-1]} == {"quantity: must be a whole number from 1 to 1000000"}
    assert found[-1] == ["short", "1", "", "", "has 2 cells, the first line names 4 columns"]
    # The short row is filled up: it is refused for another reason now.
    again = list(csv.reader(io.StringIO(rejects(engine, second), newline=""), delimiter=";"))
    assert again[:-1] == found[:-1]
    assert again[-1] == ["short", "1", "", "", "order: must not be empty"]


def test_corrected_rows_are_sent(engine):
    """A reject file in which the mistake is mended ships what it says, reason and all."""
    rig.with_lines(engine, *(rig.make.order_line(name, 3) for name in "AB"))
    first = job_rig.carried_out(engine, HEADER + "O-1,A,,1,,T1\nO-1,B,,x,,=T2\n")

    mended = rejects(engine, first).replace("x", "2", 1)
    second = job_rig.carried_out(engine, mended)

    assert job_rig.fates(engine, second) == [(2, "applied", None)]
    numbers = rig.rows(engine, "select tracking_number from shipments")
    assert sorted(number for (number,) in numbers) == ["=T2", "T1"]


def test_what_was_rejected_before(engine):
    """A row that a rule refused, sent again as it is, is the same command, with what became of it
    then, and its file says what to do: in another batch it is judged again.
    """
    rig.placed(engine)
    (hold,) = rig.decided(engine, make.hold())
    first = job_rig.carried_out(engine, HEADER + "O-1,A,,1,,T1\n")
    (release,) = rig.decided(engine, make.release())

    second = job_rig.carried_out(engine, rejects(engine, first))
    third = job_rig.carried_out(engine, rejects(engine, second), batch="again")

    why = "on_hold: the order is on hold: fraud check"
    assert (hold, release) == ("applied", "applied")
    assert job_rig.fates(engine, second) == [(2, "rejected", "on_hold")]
    (_, sent_again) = csv.reader(io.StringIO(rejects(engine, second)))
    assert sent_again[-1] == (f"{why}; it was sent before: with another batch it is judged again")
    assert job_rig.fates(engine, third) == [(2, "applied", None)]


def test_json_lines_come_back_as_such(engine):
    """Objects keep their fields and get a reason; sent again they have it still, once."""
    content = b'{"order": "O-1", "line": "A", "qty": 0, "note": {"a": [1, "=x"]}}\nno\n'
    content = content.replace(b"no\n", b'"no"\n')

    first = job_rig.carried_out(engine, content)
    back = rejects(engine, first)

    why = "quantity: must be a whole number from 1 to 1000000"
    assert back.splitlines() == [
        f'{{"order":"O-1","line":"A","qty":0,"note":{{"a":[1,"=x"]}},"reason":"{why}"}}',
        '{"unreadable":"\\"no\\"","reason":"is no JSON object"}',
    ]
    assert File(io.BytesIO(back.encode())).columns.unused == ["note"]
