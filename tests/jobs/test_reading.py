"""Rows from bytes, however a spreadsheet wrote them."""

import io
from uuid import UUID

import pytest

from tests.jobs.job_rig import HEADER, problems, read
from worker.jobs.badfile import BadFile
from worker.jobs.parcels import plan
from worker.jobs.reading import File

ENCODINGS = {
    "UTF-8": "utf-8",
    "UTF-8 with a mark": "utf-8-sig",
    "UTF-16": "utf-16",
    "UTF-16, big end first": "utf-16-be",
    "Windows-1252": "cp1252",
    "Latin-1": "latin-1",
}
MARKS = {"utf-16-be": b"\xfe\xff"}
LINE_ENDS = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_line_ends_and_delimiters(encoding, line_end, delimiter):
    """Each of them is read as meant, without being told."""
    lines = [["Order", "SKU", "Qty", "Note"], ["O-1", "Zoë", "2", "x"], ["O-2", "b", "3", ""]]
    text = "".join(delimiter.join(cells) + LINE_ENDS[line_end] for cells in lines)
    name = ENCODINGS[encoding]

    rows = read(MARKS.get(name, b"") + text.encode(name))

    assert [(row.row, row.order, row.sku, row.quantity, row.problem) for row in rows] == [
        (2, "O-1", "Zoë", "2", None),
        (3, "O-2", "b", "3", None),
    ]
    assert rows[0].cells == ["O-1", "Zoë", "2", "x"]


def test_an_encoding_that_is_told():
    """--encoding is believed; what it cannot read refuses the file."""
    content = "order,sku,qty\n1,ж,1\n".encode("cp1251")

    assert read(content, encoding="windows-1251")[0].sku == "ж"
    with pytest.raises(BadFile, match=r"^the file is not utf-8-sig$"):
        read(content, encoding="UTF8")
    with pytest.raises(BadFile, match=r"^there is no encoding 'base64'$"):
        File(io.BytesIO(content), encoding="base64")


def test_a_guess_is_one():
    """Whoever reads Windows-1252 for lack of better knows that it is a guess."""
    file = File(io.BytesIO(b"order,sku,qty\n1,\xe9,1\n"))

    assert (file.content.encoding, file.content.is_guessed) == ("cp1252", True)


FILES = {
    "a spreadsheet": (b"PK\x03\x04\x14\x00", "the file is a spreadsheet or an archive; save it as"),
    "UTF-16 without a mark": (
        "order,line,qty\n1,1,1\n".encode("utf-16-le"),
        "the file holds zero bytes; if it is UTF-16, say --encoding utf-16-le",
    ),
    "a line without end": (
        b"order,line,qty\n" + b"x" * ((1 << 20) + 1),
        "line 2 is longer than 1048576 characters",
    ),
    "no JSON object first": (b'{"order": "1"\n', "line 1 is no JSON object"),
    "no order in JSON": (b'{"line": "1", "qty": 1}\n', "there is no column 'order';"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none(name):
    """It is refused as a whole, in a sentence."""
    content, sentence = FILES[name]

    with pytest.raises(BadFile) as refused:
        read(content)

    assert str(refused.value).startswith(sentence)


def test_cells_with_line_breaks():
    """A quoted line break belongs to its cell; a row has the number of the line it begins on."""
    content = b'order,line,qty,"a\nnote"\n"1","A","1","two\r\nlines"\n\n2,B,1,\n'

    assert [(row.row, row.order, row.cells[3]) for row in read(content)] == [
        (3, "1", "two\r\nlines"),
        (6, "2", ""),
    ]


def test_the_line_that_names_the_separator():
    """`sep=;`, which some spreadsheets want first, is none of the columns."""
    assert [row.order for row in read(b"sep=|\norder|line|qty\n1|A|1\n")] == ["1"]


def test_json_lines():
    """The same names; numbers are texts if they are whole, and a bad line is a row that is
    refused.
    """
    content = (
        b'{"Order ID": 1002, "line": "A", "qty": 3.0, "note": [1]}\n'
        b"\n"
        b'{"order": "2", "sku": "b", "quantity": "1", "tracking": 7.94e11}\n'
        b'{"order": "3"\n'
        b'{"order": true, "line": "A", "qty": 1}\n'
        b'{"order": "4", "qty": 1}\n'
    )

    rows = read(content)

    assert [(row.row, row.order, row.units, row.problem) for row in rows] == [
        (1, "1002", 3, None),
        (3, "2", 1, "tracking_number: must be a text; a number only if it is whole"),
        (4, "", 0, "is no JSON object"),
        (5, "", 1, "order: must be a text; a number only if it is whole"),
        (6, "", 0, "there is no column 'line' or 'sku'"),
    ]


DAMAGED = {
    "1.0E+21": "1.0E+21",
    "7,94E+11": "7,94E+11",
    "1E+5": "1E+5",
    "9.40011E+21": "9.40011E+21",
}


@pytest.mark.parametrize("cell", DAMAGED)
@pytest.mark.parametrize("field", ["order", "line", "sku", "tracking_number"])
def test_numbers_that_a_spreadsheet_damaged(field, cell):
    """They are refused in every field that may be a number, and the sentence says what to do."""
    values = {"order": "1", "line": "" if field == "sku" else "A", "quantity": "1", field: cell}
    text = ";".join(values) + "\n" + ";".join(values.values()) + "\n"

    assert problems(text.encode()) == [
        (
            f"{field}: a spreadsheet has made {cell} of the number: format the column as text, and "
            "take the number from where it came"
        )
    ]


@pytest.mark.parametrize("cell", ["1e400", "E+5", "1E5", "3E-2", "12345678901234567890"])
def test_what_only_looks_like_it(cell):
    """SKUs and numbers without a spreadsheet's `E+` are taken as they are."""
    assert problems(f"order,sku,qty\n1,{cell},1\n".encode()) == [None]


@pytest.mark.parametrize(
    ("cell", "units"),
    [
        ("3", 3),
        ("3.0", 3),
        ("3,0", 3),
        ("3.00", 3),
        ("03", 3),
        ("3.000", 0),
        ("3.5", 0),
        ("0", 0),
        ("-3", 0),
        ("+3", 0),
        ("1_0", 0),
        ("٣", 0),
        ("1000001", 0),
        ("3e0", 0),
    ],
)
def test_quantities(cell, units):
    """`3.0` is three, as programs write it; `3.000` may be three thousand, and is refused."""
    (row,) = read(f'order;line;qty\n1;A;"{cell}"\n'.encode())

    why = None if units else "quantity: must be a whole number from 1 to 1000000"
    assert (row.problem, row.problem is None and row.units) == (why, units or False)


def test_ids_of_commands_are_frozen():
    """A file of before has the commands that it had: the same file again ships nothing."""
    rows = "O-1,A,,1,dhl,T1\nO-1,B,,2,dhl,T1\nO-2,A,,3,,\n"

    parcels = plan(None, read((HEADER + rows).encode()), batch="x")

    assert [parcel.command.command_id for parcel in parcels] == [
        UUID("bfe18c97-20d9-5861-8b4c-1624572ddabf"),
        UUID("e9fcb45a-813d-5724-a6de-316b70a8ebbd"),
    ]
