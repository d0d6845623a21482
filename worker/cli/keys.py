"""`keys add | list | revoke`: who may use the HTTP door, and for what."""

from typing import Annotated

import typer

from messages.wire import KINDS
from worker.cli.audit import By, actor, text
from worker.cli.exits import Code, Failure, check_words
from worker.cli.output import AsJson, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, plain
from worker.web import keys

app = typer.Typer(
    name="keys", no_args_is_help=True, help="Keys of the HTTP door: who may do what with it."
)

_LONGEST_NAME = 255


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: a system, a person.")],
    *,
    kinds: Annotated[
        str, typer.Option(metavar="KIND,...|all", help="Kinds of command it may send.")
    ] = "",
    read: Annotated[bool, typer.Option("--read", help="It may see orders.")] = False,
    rate: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, help="Requests a minute. Default: the settings'."),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. It is shown once, and kept nowhere: only its hash is."""
    cleaned = text("NAME", name, _LONGEST_NAME)
    wanted = KINDS if kinds == "all" else [one.strip() for one in kinds.split(",") if one.strip()]
    check_words("--kinds", wanted, KINDS)
    if not wanted and not read:
        raise Failure("give --kinds, --read or both: a key is for something", Code.USAGE)
    with session() as opened, opened.engine.begin() as connection:
        made = keys.add(
            connection,
            actor(by),
            cleaned,
            kinds=sorted(set(wanted)),
            may_read=read,
            rate_per_minute=rate,
        )
    if as_json:
        print_json({"key": made, "id": made.split("_")[1]})
    else:
        say(made)
        note("it is not shown again; send it as Authorization: Bearer")


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the keys, also those that were revoked."""
    with reading() as connection:
        rows = keys.listed(connection)
    print_rows(
        rows,
        as_json=as_json,
        headings=("id", "name", "kinds", "reads", "rate#", "created", "last used", "revoked"),
        table=(
            (
                row["id"],
                plain(row["name"]),
                ", ".join(row["kinds"]),
                "yes" if row["may_read"] else "",
                str(row["rate_per_minute"] or ""),
                moment(row["created_at"]),
                moment(row["last_used_at"]),
                moment(row["revoked_at"]),
            )
            for row in rows
        ),
    )


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `keys list` shows it.")],
    *,
    by: By = None,
) -> None:
    """End a key. It may work for some seconds more."""
    with session() as opened, opened.engine.begin() as connection:
        is_ended = keys.revoke(connection, actor(by), key)
    if not is_ended:
        raise Failure(f"no key {plain(key)} is in use", Code.NOT_FOUND)
    say(f"revoked: {key}")
