"""`labels print | list | prune | bought | not-bought`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal
from uuid import UUID

import typer
from pypdf.errors import PyPdfError
from sqlalchemy import Connection

from messages.wire import LABELS
from worker.cli.audit import By, actor, text
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, note, print_json, print_rows, say
from worker.cli.session import Session, reading, session
from worker.cli.shipment_keys import named_shipments
from worker.cli.show import moment, plain
from worker.errors import Terminal, Transient
from worker.labels import documents, facts
from worker.labels.facts import Parcel
from worker.labels.files import Kind, files
from worker.labels.printer import Printer
from worker.labels.prune import prune as prune_orphans
from worker.labels.reprint import reprint
from worker.labels.sheet import sheet
from worker.postage import by_hand
from worker.postage.adapter import Bought, LabelKind
from worker.postage.answers import MAX_LABEL_BYTES, kind_of

app = typer.Typer(
    name="labels",
    no_args_is_help=True,
    help="Print labels and packing slips, list them, remove orphans.",
)

LONGEST_NUMBER: Final = 100

Shipment = Annotated[str, typer.Argument(metavar="SHIPMENT", help="Id or number.")]
Format = Annotated[
    Literal["pdf", "zpl"], typer.Option("--format", help="Of the label; a slip is always a PDF.")
]


@app.command("print")
def print_(
    shipments: Annotated[
        list[str] | None, typer.Argument(metavar="[SHIPMENT]...", help="Ids or numbers.")
    ] = None,
    *,
    order: Annotated[
        str | None,
        typer.Option(metavar="ORDER", help="What is left of an order, before it is shipped."),
    ] = None,
    one_file: Annotated[
        bool, typer.Option("--sheet", help="All in one PDF, in this order.")
    ] = False,
    out: Annotated[
        str,
        typer.Option(metavar="FILE|DIR", help="Where to; - is standard output, for one file."),
    ] = ".",
    form: Format = "pdf",
    slip: Annotated[bool, typer.Option(help="Packing slips too.")] = True,
) -> None:
    """Write labels and packing slips to files.

    A label that was made is printed again as it was; one that was not is drawn, and nothing is
    stored. With --order the label has an address and no bar code, nothing is shipped, nobody told.
    Exit code 4 if a shipment or the order is not here; 1 if one was voided, pruned, forgotten or
    could not be drawn: the others are.
    """
    if bool(shipments) == bool(order):
        raise Failure("name shipments, or an order with --order", Code.USAGE)
    if one_file and form == "zpl":
        raise Failure("--sheet: a sheet is a PDF", Code.USAGE)
    with session() as opened:
        try:
            job = _Job(opened, form=form, slip=slip)
            with opened.engine.connect() as connection:
                parcels = [_left(connection, order)] if order else _found(connection, shipments)
            place = _Place(out, files=1 if one_file else len(parcels) * (1 + slip))
            for name, content in job.together(parcels) if one_file else job.each(parcels):
                place.write(name, content)
        except Transient as error:
            raise Failure(str(error)) from None
    raise typer.Exit(Code.FAILURE if job.failed else Code.OK)


class _Job:
    """What is printed in one run."""

    def __init__(self, opened: Session, *, form: Literal["pdf", "zpl"], slip: bool) -> None:
        self._opened = opened
        self._printer = Printer(opened.settings)
        self._kinds: tuple[Kind, ...] = (
            "label_zpl" if form == "zpl" else "label_pdf",
            *(("slip_pdf",) if slip else ()),
        )
        self.failed = 0

    def together(self, parcels: Sequence[Parcel]) -> Iterator[tuple[str, bytes]]:
        """One file of them all."""
        printed = [content for _, content in self.each(parcels)]
        if printed:
            try:
                yield "labels.pdf", sheet(printed)
            except PyPdfError:  # a carrier's own
                raise Failure(
                    "a file is no PDF that can be joined: print without --sheet"
                ) from None

    def each(self, parcels: Sequence[Parcel]) -> Iterator[tuple[str, bytes]]:
        """The files of each."""
        for parcel in parcels:
            try:
                printed = [(_file(parcel, kind), self._print(parcel, kind)) for kind in self._kinds]
            except Terminal as error:
                self.failed += 1
                note(f"{_name(parcel)}: {error}")
                continue
            yield from printed

    def _print(self, parcel: Parcel, kind: Kind) -> bytes:
        found = reprint(self._opened.engine, self._opened.settings, self._printer, parcel, kind)
        if found.was_lost:
            note(f"{_name(parcel)}: its {kind} is not in the store, it is drawn again")
        return found.content


class _Place:
    """Where the files go: a file, a folder, or standard output."""

    def __init__(self, out: str, *, files: int) -> None:
        self._out = Path(out)
        self._is_stream = out == "-"
        self._is_folder = out.endswith("/") or self._out.is_dir() or files > 1
        if files > 1 and (self._is_stream or self._out.is_file()):
            raise Failure(f"--out: {files} files need a folder, or --sheet", Code.USAGE)

    def write(self, name: str, content: bytes) -> None:
        """Write a file and say where it is."""
        if self._is_stream:
            sys.stdout.buffer.write(content)
            return
        path = self._out / name if self._is_folder else self._out
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise Failure(f"--out: {plain(str(path))}: {error.strerror}") from None
        say(plain(str(path)))


def _left(connection: Connection, order_id: str) -> Parcel:
    found = facts.left_of_order(connection, order_id)
    if found is None:
        raise Failure(f"order {plain(order_id)} is not here", Code.NOT_FOUND)
    if not any(line.quantity for line in found.lines):
        raise Failure(f"nothing of order {order_id} is left to ship")
    return found


def _found(connection: Connection, asked: Sequence[str] | None) -> list[Parcel]:
    """The shipments in the order named, each once."""
    parcels = (facts.parcel(connection, one) for one in named_shipments(connection, asked or ()))
    return [parcel for parcel in parcels if parcel]


def _file(parcel: Parcel, kind: Kind) -> str:
    name, _, suffix = kind.partition("_")
    return f"{name}.{suffix}" if parcel.number is None else f"{name}-{parcel.number}.{suffix}"


def _name(parcel: Parcel) -> str:
    return f"order {parcel.order_id}" if parcel.number is None else f"shipment {parcel.number}"


@app.command("list")
def list_(
    *,
    order: Annotated[str, typer.Option(metavar="ORDER", help="Whose.")],
    as_json: AsJson = False,
) -> None:
    """List an order's parcels and the files that were made for them."""
    with reading() as connection:
        rows = documents.of_order(connection, order)
        if not rows and facts.left_of_order(connection, order) is None:
            raise Failure(f"order {plain(order)} is not here", Code.NOT_FOUND)
    print_rows(
        rows,
        as_json=as_json,
        headings=("number#", "shipment", "label", "carrier", "tracking number", "made", "files"),
        table=(
            (
                str(row["number"]),
                str(row["shipment_id"]),
                plain(_state(row)),
                plain(row["carrier_name"]),
                plain(row["tracking_number"]),
                moment(max((one["made_at"] for one in row["documents"].values()), default=None)),
                ", ".join(
                    f"{kind}{' (pruned)' * bool(one['pruned_at'])}"
                    for kind, one in row["documents"].items()
                ),
            )
            for row in rows
        ),
    )


def _state(row: dict[str, Any]) -> str:
    if row["voided_at"]:
        return "voided"
    match row["followup_state"]:
        case None:
            return "none"
        case "done":
            return "made"
        case "dead":
            return f"dead: {row['dead_reason']}"
        case state:
            return str(state)


@app.command()
def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove files that no shipment names, once they are an hour old."""
    with session() as opened:
        try:
            store = files(opened.settings)
            removed = list(prune_orphans(opened.engine, store, dry_run=dry_run))
        except Transient as error:
            raise Failure(str(error)) from None
    if as_json:
        for one in removed:
            print_json({"file": one.name, "removed": not dry_run, "age_s": int(one.age_s)})
        return
    for one in removed:
        say(f"{'would remove' if dry_run else 'removed'}: {one.name}")
    if not removed:
        note("nothing")


@app.command()
def bought(
    shipment: Shipment,
    *,
    tracking_number: Annotated[
        str, typer.Option("--tracking-number", metavar="NUMBER", help="The parcel's.")
    ],
    carrier_id: Annotated[
        str, typer.Option("--carrier-id", metavar="ID", help="What the carrier voids it by.")
    ],
    file: Annotated[
        typer.FileBinaryRead | None, typer.Option("--file", help="The label, a PDF or ZPL.")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say that a label whose purchase got no answer was bought: the parcel goes on with it."""
    content, kind = _label_in(file)
    label = Bought(
        carrier_id=text("--carrier-id", carrier_id, LONGEST_NUMBER),
        tracking_number=text("--tracking-number", tracking_number, LONGEST_NUMBER),
        label=content,
        label_kind=kind,
    )
    who = actor(by)
    _say(shipment, lambda connection, one: by_hand.bought(connection, one, label, by=who), as_json)


@app.command("not-bought")
def not_bought(shipment: Shipment, *, by: By = None, as_json: AsJson = False) -> None:
    """Say that a label whose purchase got no answer was not bought: a replay buys it."""
    who = actor(by)
    _say(shipment, lambda connection, one: by_hand.not_bought(connection, one, by=who), as_json)


def _say(
    shipment: str,
    say_so: Callable[[Connection, UUID], by_hand.Said],
    as_json: bool,  # noqa: FBT001  # as typer has it
) -> None:
    with session() as opened:
        with opened.engine.begin() as connection:
            (shipment_id,) = named_shipments(connection, [shipment])
            said = say_so(connection, shipment_id)
        opened.hint(LABELS)
    match said.answer:
        case "nothing_open":
            raise Failure(f"shipment {shipment}: no purchase of a label waits for a word")
        case "in_progress":
            raise Failure(f"shipment {shipment}: a worker is asking the carrier now; try again")
    if as_json:
        print_json({"shipment_id": shipment_id, "dead": said.dead})
        return
    again = f"; to buy it: fulfillment dead replay {said.dead}" if said.dead else ""
    say(f"shipment {shipment}: noted{again}")


def _label_in(file: BinaryIO | None) -> tuple[bytes, LabelKind]:
    content = file.read(MAX_LABEL_BYTES + 1) if file else b""
    if len(content) > MAX_LABEL_BYTES:
        raise Failure("--file: a label has at most 10 MB", Code.USAGE)
    if not file:
        return content, "label_pdf"
    if kind := kind_of(content):
        return content, kind
    raise Failure("--file: is neither a PDF nor ZPL", Code.USAGE)
