"""`emails preview`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import Connection

from worker.cli.exits import Code, Failure
from worker.cli.output import note
from worker.cli.session import session
from worker.emails.facts import Kind, load, newest
from worker.emails.message import compose
from worker.emails.rendering import BrokenTemplate
from worker.emails.route import Skip, recipient, rendering, sender
from worker.store.reading import known_orders

app = typer.Typer(
    name="emails",
    no_args_is_help=True,
    help="What customers are told: look at it before they do.",
)


class Told(StrEnum):
    """The kinds of e-mail."""

    shipped = "shipped"
    completed = "completed"
    cancelled = "cancelled"
    refunded = "refunded"
    voided = "voided"
    tracking_updated = "tracking_updated"


class Shape(StrEnum):
    """What a preview can be written as."""

    eml = "eml"
    html = "html"
    text = "text"


_NOTHING: dict[Kind, str] = {
    "shipped": "nothing of order {order} has been shipped",
    "completed": "nothing of order {order} has been completed",
    "cancelled": "nothing of order {order} has been cancelled",
    "refunded": "no refund of order {order} has been settled",
    "voided": "no shipment of order {order} has been voided",
    "tracking_updated": "no shipment of order {order} got another tracking number",
}


@app.callback()
def emails() -> None:
    """What customers are told: look at it before they do."""


@app.command()
def preview(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    kind: Annotated[
        Told,
        typer.Argument(metavar="KIND", help=f"{', '.join(Told)}."),
    ],
    *,
    of: Annotated[
        UUID | None,
        typer.Option(metavar="ID", help="The shipment, command or refund; else the latest."),
    ] = None,
    locale: Annotated[
        str | None, typer.Option(metavar="LOCALE", help="Such as fr or fr-CA; else the order's.")
    ] = None,
    shape: Annotated[
        Shape, typer.Option("--format", metavar="eml|html|text", help="What to write.")
    ] = Shape.eml,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Where to; else stdout.")
    ] = None,
) -> None:
    """Write an e-mail as the customer gets it. Nobody is told, and nothing is changed."""
    with session() as opened, opened.engine.connect() as connection:
        config = opened.settings
        found = newest(connection, order, kind.value, of)
        if found is None:
            raise Failure(_nothing(connection, order, kind, of), Code.NOT_FOUND)
        subject_id, followup_id = found
        facts = load(connection, kind.value, subject_id, followup_id=followup_id)
    assert facts is not None  # noqa: S101  # what was found a moment ago is never taken out
    words = rendering(config)
    if locale is not None and not words.languages.knows(locale):
        raise Failure("--locale: there is no catalogue for this language", Code.USAGE)
    to = recipient(facts)
    if isinstance(to, Skip):
        note(f"nobody would be told: {to.reason}")
    try:
        rendered = words.render(facts, locale)
    except BrokenTemplate as error:
        raise Failure(str(error)) from None
    if shape is Shape.eml:
        content = compose(
            rendered,
            mail_id=followup_id or subject_id,
            to="nobody@shop.invalid" if isinstance(to, Skip) else to,
            at=facts.told_at,
            sender=sender(config),
        ).content
    else:
        content = (rendered.html if shape is Shape.html else rendered.text).encode()
    _write(content, out)


def _nothing(connection: Connection, order: str, kind: Told, of: UUID | None) -> str:
    if not known_orders(connection, [order]):
        return f"order {order} is not here"
    return _NOTHING[kind.value].format(order=order) + (f" by {of}" if of else "")


def _write(content: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(content)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror}") from None
