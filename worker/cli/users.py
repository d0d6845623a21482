"""`users add | list | role | password | link | remove`: who may use the console, and for what."""

import sys
from typing import Annotated

import typer

from worker.cli.audit import By, actor
from worker.cli.exits import Code, Failure, check_words
from worker.cli.output import AsJson, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, plain
from worker.console import links, passwords, users
from worker.console.users import ROLES, Role

app = typer.Typer(
    name="users", no_args_is_help=True, help="Users of the console: who may do what there."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As it is typed to sign in.")]
RoleOption = Annotated[
    str,
    typer.Option(
        metavar="|".join(ROLES),
        help="Looks; also acts on orders; also on queues, dead letters, strays and jobs.",
    ),
]


@app.command()
def add(name: Name, *, role: RoleOption, by: By = None, as_json: AsJson = False) -> None:
    """Add a user, who can sign in once there is a password or a link."""
    cleaned, given = _cleaned(name), _role(role)
    with session() as opened, opened.engine.begin() as connection:
        is_new = users.add(connection, actor(by), cleaned, given)
    if not is_new:
        raise Failure(f"user {cleaned} is there already")
    if as_json:
        print_json({"name": cleaned, "role": given})
    else:
        say(f"added: {cleaned}, {given}")
        note(f"now `fulfillment users link {cleaned}`, or `fulfillment users password {cleaned}`")


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the users."""
    with reading() as connection:
        rows = users.listed(connection)
    print_rows(
        rows,
        as_json=as_json,
        headings=("name", "role", "added", "signed in"),
        table=(
            (row["name"], row["role"], moment(row["added_at"]), moment(row["signed_in_at"]))
            for row in rows
        ),
    )


@app.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="|".join(ROLES), help="From now on.")],
    *,
    by: By = None,
) -> None:
    """Let a user do more, or less, from the next page on."""
    cleaned, given = _cleaned(name), _role(role)
    with session() as opened, opened.engine.begin() as connection:
        is_there = users.give_role(connection, actor(by), cleaned, given)
    _check(is_there, cleaned)
    say(f"{cleaned}: {given}")


@app.command()
def password(name: Name, *, by: By = None) -> None:
    """Give a user a password, asked for or read from stdin; who is signed in is signed out."""
    cleaned = _cleaned(name)
    try:
        kept = passwords.hashed(_password())
    except passwords.Unusable as error:
        raise Failure(f"the password {error}", Code.USAGE) from None
    with session() as opened, opened.engine.begin() as connection:
        is_there = users.set_password(connection, actor(by), cleaned, kept)
    _check(is_there, cleaned)
    say(f"{cleaned}: password set")


@app.command()
def link(
    name: Name,
    *,
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where browsers reach the console.")
    ] = "http://127.0.0.1:8080",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Print a link that signs a user in, once, within ten minutes. Only its hash is kept."""
    cleaned = _cleaned(name)
    with session() as opened, opened.engine.begin() as connection:
        path = links.make(connection, actor(by), cleaned)
    _check(path is not None, cleaned)
    made = f"{url.rstrip('/')}{path}"
    if as_json:
        print_json({"name": cleaned, "url": made, "valid_s": links.VALID_S})
    else:
        say(made)
        note("it works once, for ten minutes")


@app.command()
def remove(name: Name, *, by: By = None) -> None:
    """Remove a user, who is signed out at once. What the user did stays in the audit."""
    cleaned = _cleaned(name)
    with session() as opened, opened.engine.begin() as connection:
        is_there = users.remove(connection, actor(by), cleaned)
    _check(is_there, cleaned)
    say(f"removed: {cleaned}")


def _cleaned(name: str) -> str:
    cleaned = users.cleaned(name)
    if cleaned is None:
        sentence = "NAME: at most 100 of a-z, 0-9 and . _ @ + -, beginning with a letter or digit"
        raise Failure(sentence, Code.USAGE)
    return cleaned


def _role(given: str) -> Role:
    check_words("--role", [given], ROLES)
    return next(role for role in ROLES if role == given)


def _check(is_there: bool, name: str) -> None:  # noqa: FBT001  # one question
    if not is_there:
        raise Failure(f"no user {plain(name)}", Code.NOT_FOUND)


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
