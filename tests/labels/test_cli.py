"""`labels print | list | prune`, as people use them."""

import os
import time

import orjson
import pytest

from tests import factories as make
from tests.labels import lab
from tests.work import rig


def number(engine, command):
    return rig.one(
        engine, "select number from shipments where shipment_id = %(id)s", id=command.command_id
    ).number


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_label_is_printed_again_as_it_was(cli, engine, shipped, drain, tmp_path):
    """A label that was made is the stored bytes, by the shipment's number or its id."""
    command = shipped()
    drain()
    n = number(engine, command)

    elsewhere = {"FULFILLMENT_SHIP_FROM": lab.address().model_dump_json()}
    first = cli("print", n, "--out", f"{tmp_path}/a", **elsewhere)
    second = cli("print", command.command_id, "--out", f"{tmp_path}/b/")
    as_zpl = cli("print", n, "--format", "zpl", "--no-slip", "--out", f"{tmp_path}/label.zpl")

    assert (first.exit_code, second.exit_code, as_zpl.exit_code) == (0, 0, 0)
    assert first.stdout == f"{tmp_path}/a/label-{n}.pdf\n{tmp_path}/a/slip-{n}.pdf\n"
    stored = {path.read_bytes() for path in (tmp_path / "store").glob("*/*")}
    printed = set(files(tmp_path / "a").values()) | {(tmp_path / "label.zpl").read_bytes()}
    assert printed == stored
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_label_that_was_not_made_is_drawn(cli, engine, shipped, tmp_path):
    """A shipment without a label gets one on paper, and nothing else changes."""
    command = shipped(label="none")
    before = rig.dump(engine)

    result = cli("print", command.command_id, "--out", tmp_path / "out")

    assert result.exit_code == 0
    printed = files(tmp_path / "out")
    (picture,) = lab.pictures(printed[f"label-{number(engine, command)}.pdf"])
    assert lab.scanned(picture) == [("JD014600003SE", "Text")]
    assert rig.dump(engine) == before
    assert not (tmp_path / "store").exists()


def test_an_order_that_is_pending(cli, engine, tmp_path):
    """`--order` prints an address label and a slip of what is left; nothing changes, nobody is
    told, and the order's id is in no file name.
    """
    lab.placed(engine)
    rig.decided(engine, make.cancel(items=make.items(A=1)))
    before = rig.dump(engine)

    result = cli("print", "--order", "O-1", "--out", tmp_path / "out")

    assert result.exit_code == 0
    printed = files(tmp_path / "out")
    assert set(printed) == {"label.pdf", "slip.pdf"}
    (picture,) = lab.pictures(printed["label.pdf"])
    assert lab.scanned(picture) == []
    assert "SPRINGFIELD, IL 62701" in lab.words(printed["label.pdf"])
    slip = lab.words(printed["slip.pdf"]).split("\r\n")
    assert slip[1:-1] == [
        "Order O-1",
        "For Customer 1",
        "In this parcel",
        "4 x Product A",
        "2 x Product B",
    ]
    assert rig.dump(engine) == before
    assert not (tmp_path / "store").exists()


def test_a_sheet(cli, engine, shipped, drain, tmp_path):
    """`--sheet` is one PDF of the labels and slips, in the order in which they were named."""
    commands = [shipped(items=make.items(A=1), tracking_number=f"T{n}") for n in range(3)]
    drain()
    ids = [commands[2].command_id, commands[0].command_id, number(engine, commands[1])]

    sheet = cli("print", *ids, "--sheet", "--out", tmp_path / "sheet.pdf")
    labels = cli("print", *ids, "--sheet", "--no-slip", "--out", tmp_path)

    assert (sheet.exit_code, labels.exit_code) == (0, 0)
    pages = lab.pictures((tmp_path / "sheet.pdf").read_bytes())
    codes = [[text for text, _ in lab.scanned(picture)] for picture in pages]
    assert codes == [["T2"], [], ["T0"], [], ["T1"], []]
    assert len(lab.pictures((tmp_path / "labels.pdf").read_bytes())) == 3


def test_one_that_cannot_be_drawn(cli, engine, shipped, tmp_path):
    """In a batch the others are printed; the one that cannot be is told, with exit code 1."""
    lab.placed(engine, order_id="O-2", ship_to=None)
    bad = shipped(order_id="O-2", label="none")
    good = shipped(label="none")

    result = cli("print", bad.command_id, good.command_id, "--out", tmp_path / "out")

    assert result.exit_code == 1
    assert result.stderr == (
        f"shipment {number(engine, bad)}: correct ship_to: the whole address\n"
    )
    n = number(engine, good)
    assert set(files(tmp_path / "out")) == {f"label-{n}.pdf", f"slip-{n}.pdf"}


def test_a_file_that_is_gone(cli, engine, shipped, drain, tmp_path):
    """A stored file that was lost is drawn again, and that is said."""
    command = shipped()
    drain()
    n = number(engine, command)
    stored = {path.read_bytes() for path in (tmp_path / "store").glob("*/*.pdf")}
    for path in (tmp_path / "store").glob("*/*"):
        path.unlink()

    result = cli("print", n, "--out", tmp_path / "out")

    assert result.exit_code == 0
    assert set(files(tmp_path / "out").values()) == stored
    assert f"shipment {n}: its label_pdf is not in the store, it is drawn again" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["print"], 2, "name shipments, or an order with --order"),
        (["print", "1", "--order", "O-1"], 2, "name shipments, or an order with --order"),
        (["print", "99"], 4, "no such shipment: 99"),
        (["print", "x\x1b[0m"], 4, "no such shipment: x\\x1b[0m"),
        (["print", "9" * 40], 4, f"no such shipment: {'9' * 40}"),
        (["print", "--order", "O-9"], 4, "order O-9 is not here"),
        (["print", "1", "--sheet", "--format", "zpl"], 2, "--sheet: a sheet is a PDF"),
        (["print", "--order", "O-1", "--out", "-"], 2, "--out: 2 files need a folder, or --sheet"),
        (["print", "--order", "O-1", "--no-slip", "--out", "/proc/x/y"], 1, "--out: /proc/x/y: "),
        (["list", "--order", "O-9"], 4, "order O-9 is not here"),
    ],
)
def test_what_cannot_be_done(cli, engine, arguments, code, said):
    """Bad input gets a sentence and an exit code, and writes nothing."""
    lab.placed(engine)
    before = rig.dump(engine)

    result = cli(*arguments)

    assert result.exit_code == code
    assert result.stderr.startswith(f"error: {said}")
    assert rig.dump(engine) == before


@pytest.fixture
def made(shipped, drain):
    """A shipment whose label was made."""
    command = shipped()
    drain()
    return command


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("LABEL_FONT=/missing.ttf", 1, "FULFILLMENT_LABEL_FONT cannot be used"),
        ("LABEL_STORE=nonsense://b/p", 1, "pip install 'fulfillment-worker[s3]'"),
        ("SHIP_FROM={}}", 2, "FULFILLMENT_SHIP_FROM: must be an address as JSON"),
        ('SHIP_FROM={"country":"fr"}', 2, "country"),
        ("GS1_COMPANY_PREFIX=12x", 2, "FULFILLMENT_GS1_COMPANY_PREFIX"),
    ],
)
def test_settings_that_cannot_be_used(cli, made, setting, code, said):
    """A wrong setting is named, with what it must be."""
    variable, _, value = setting.partition("=")

    result = cli("print", made.command_id, **{f"FULFILLMENT_{variable}": value})

    assert result.exit_code == code
    assert said in result.stderr


def test_nothing_left(cli, engine, shipped):
    """An order of which nothing is left has no label to print."""
    shipped()

    result = cli("print", "--order", "O-1")

    assert (result.exit_code, result.stderr) == (1, "error: nothing of order O-1 is left to ship\n")


def test_list(cli, engine, shipped, drain):
    """`list` shows an order's parcels, the state of each label and its files."""
    first = shipped(items=make.items(A=1))
    drain()
    second = shipped(items=make.items(A=1), label="none", tracking_number=None)
    third = shipped(items=make.items(A=1))

    table = cli("list", "--order", "O-1")
    rows = [
        orjson.loads(line)
        for line in cli("list", "--order", "O-1", "--json").stdout.split("\n")[:-1]
    ]

    assert [row["shipment_id"] for row in rows] == [
        str(one.command_id) for one in (first, second, third)
    ]
    assert [sorted(row["documents"]) for row in rows] == [
        ["label_pdf", "label_zpl", "slip_pdf"], [], [],
    ]  # fmt: skip
    states = [line.split()[2] for line in table.stdout.splitlines()[1:]]
    assert states == ["made", "none", "pending"]


def test_prune(cli, engine, shipped, drain, tmp_path):
    """`prune` says what it removes, and with --dry-run only what it would."""
    shipped()
    drain()
    rig.run(engine, "delete from documents where kind <> 'label_pdf'")
    for path in (tmp_path / "store").glob("*/*"):
        os.utime(path, (time.time() - 7200,) * 2)

    would = cli("prune", "--dry-run")
    removed = cli("prune", "--json")
    again = cli("prune")

    assert len(would.stdout.splitlines()) == 2
    assert all(line.startswith("would remove: ") for line in would.stdout.splitlines())
    names = {orjson.loads(line)["file"] for line in removed.stdout.splitlines()}
    assert names == {line.removeprefix("would remove: ") for line in would.stdout.splitlines()}
    assert (again.stdout, again.stderr) == ("", "nothing\n")
    assert len(list((tmp_path / "store").glob("*/*"))) == 1


def test_a_sheet_of_what_was_made(cli, shipped, drain, tmp_path):
    """A sheet holds the files as they were made, whatever the settings are by now."""
    command = shipped(tracking_number="T1")
    drain()
    elsewhere = {"FULFILLMENT_SHIP_FROM": lab.address().model_dump_json()}

    cli("print", command.command_id, "--out", f"{tmp_path}/each/")
    cli("print", command.command_id, "--sheet", "--out", tmp_path / "sheet.pdf", **elsewhere)

    each = sorted(files(tmp_path / "each").items())
    made = [page for _, one in each for page in lab.pictures(one)]
    sheet = lab.pictures((tmp_path / "sheet.pdf").read_bytes())
    assert [page.tobytes() for page in sheet] == [page.tobytes() for page in made]


def test_a_voided_parcel_is_not_printed(cli, engine, shipped, drain, tmp_path):
    """It does not leave: it is told, with exit code 1, and the others are printed."""
    gone, good = shipped(items=make.items(A=1)), shipped(items=make.items(A=1))
    drain()
    rig.decided(engine, make.void(gone))
    drain()

    result = cli("print", gone.command_id, good.command_id, "--out", tmp_path / "out")
    listed = cli("list", "--order", "O-1", "--json")

    n = number(engine, gone)
    assert result.exit_code == 1
    assert result.stderr == f"shipment {n}: it was voided, its items come with another\n"
    assert {*files(tmp_path / "out")} == {
        f"label-{number(engine, good)}.pdf",
        f"slip-{number(engine, good)}.pdf",
    }
    rows = [orjson.loads(line) for line in listed.stdout.splitlines()]
    assert [(row["followup_state"], row["voided_at"] is None) for row in rows] == [
        ("done", False),
        ("done", True),
    ]
    assert [row.split()[2] for row in cli("list", "--order", "O-1").stdout.splitlines()] == [
        "label",
        "voided",
        "made",
    ]
