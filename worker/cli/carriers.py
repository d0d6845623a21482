"""`carriers list | add | guess`."""

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from messages import InvalidCommand, NewCarrier
from messages.problems import problems
from worker.carriers import numbers, table
from worker.carriers.forms import forms_of
from worker.carriers.registry import means, tracking_page
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, note, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, plain

app = typer.Typer(
    name="carriers", no_args_is_help=True, help="The carriers that shipments may name."
)


@app.command("list")
def list_(
    *,
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="In the code or the name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the carriers; of those with known numbers, check digits are checked."""
    with reading() as connection:
        rows = [
            row | {"numbers_known": _has_known_numbers(row["code"], row["name"])}
            for row in table.carriers(connection, search)
        ]
    print_rows(
        rows,
        as_json=as_json,
        headings=("code", "name", "numbers", "added", "tracking page"),
        table=(
            (
                row["code"],
                plain(row["name"]),
                "known" if row["numbers_known"] else "",
                moment(row["added_at"]),
                plain(row["tracking_url"]),
            )
            for row in rows
        ),
    )


@app.command()
def add(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Lower-case, such as dhl.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What customers read.")],
    *,
    tracking_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Tracking page; {number} is the tracking number."),
    ] = None,
) -> None:
    """Add a carrier, or give it another tracking page; the same one again changes nothing."""
    try:
        carrier = NewCarrier(code=code, name=name, tracking_url=tracking_url)
    except ValidationError as error:
        raise InvalidCommand(problems(error, NewCarrier)) from None
    with session() as opened, opened.engine.begin() as connection:
        answer = table.add(connection, carrier)
    if answer == "taken":
        raise Failure(f"carrier {code} is another one; see `fulfillment carriers list`")
    say(f"{answer}: {carrier.code}, {carrier.name}")


@app.command()
def guess(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A tracking number.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say whose a tracking number may be, and whether its check digit is right."""
    found = numbers.fits(number)
    if not found:
        raise Failure("no known carrier has numbers like this", Code.NOT_FOUND)
    with reading() as connection:
        known = {row["code"]: row for row in table.carriers(connection)}
    rows: list[dict[str, Any]] = []
    for fit in sorted(found, key=lambda fit: (fit.is_right is False, fit.is_bare)):
        carrier = known.get(fit.form.carrier)
        page = carrier["tracking_url"] if carrier else None
        rows.append(
            {
                "code": fit.form.carrier,
                "form": fit.form.name,
                "check_digit": _CHECK_DIGITS[fit.is_right],
                "known": carrier is not None,
                "tracking_url": tracking_page(number, page),
            }
        )
    print_rows(
        rows,
        as_json=as_json,
        headings=("code", "form", "check digit", "tracking page"),
        table=(
            (row["code"], row["form"], row["check_digit"], plain(row["tracking_url"]))
            for row in rows
        ),
    )
    code = numbers.guess(number)
    is_known = code in known and means(code, known[code]["name"])
    note(f"`ship` without a carrier would take {code if is_known else 'none'}")


_CHECK_DIGITS = {True: "right", False: "wrong", None: "none"}


def _has_known_numbers(code: str, name: str) -> bool:
    return means(code, name) and any(form.check for form in forms_of(code))
