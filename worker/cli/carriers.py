"""`carriers list | add`."""

from typing import Annotated

import typer
from pydantic import ValidationError

from messages import InvalidCommand, NewCarrier
from messages.problems import problems
from worker import carriers
from worker.cli.exits import Failure
from worker.cli.output import AsJson, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, plain

app = typer.Typer(
    name="carriers", no_args_is_help=True, help="The carriers that shipments may name."
)


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the carriers."""
    with reading() as connection:
        rows = carriers.carriers(connection)
    print_rows(
        rows,
        as_json=as_json,
        headings=("code", "name", "tracking page", "added"),
        table=(
            (row["code"], plain(row["name"]), plain(row["tracking_url"]), moment(row["added_at"]))
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
    """Add a carrier; adding the same one again changes nothing."""
    try:
        carrier = NewCarrier(code=code, name=name, tracking_url=tracking_url)
    except ValidationError as error:
        raise InvalidCommand(problems(error, NewCarrier)) from None
    with session() as opened, opened.engine.begin() as connection:
        answer = carriers.add(connection, carrier)
    if answer == "taken":
        raise Failure(f"carrier {code} is another one; see `fulfillment carriers list`")
    say(f"{answer}: {carrier.code}, {carrier.name}")
