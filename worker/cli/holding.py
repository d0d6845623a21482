"""`hold` and `release`: what stops an order, and lets it go on."""

from typing import Annotated

import typer

from worker.cli.output import AsJson
from worker.cli.send import (
    DEFAULT_TIMEOUT_S,
    After,
    CommandId,
    DryRun,
    ExpectedVersion,
    IssuedBy,
    NotBefore,
    Order,
    Timeout,
    Wait,
    envelope,
    send,
)
from worker.cli.session import session

app = typer.Typer()


@app.command()
def hold(
    order: Order,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever wants to ship it.")
    ],
    expected_version: ExpectedVersion = None,
    after: After = None,
    not_before: NotBefore = None,
    command_id: CommandId = None,
    issued_by: IssuedBy = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Let nothing of an order be shipped or completed until it is released.

    It can be cancelled and refunded. An order has one hold: another reason takes its place.
    """
    body = envelope(
        "hold",
        order,
        expected_version=expected_version,
        after=after,
        not_before=not_before,
        command_id=command_id,
        issued_by=issued_by,
    ) | {"reason": reason}
    with session() as opened:
        send(opened, body, timeout_s=timeout if wait else None, dry_run=dry_run, as_json=as_json)


@app.command()
def release(
    order: Order,
    *,
    expected_version: ExpectedVersion = None,
    after: After = None,
    not_before: NotBefore = None,
    command_id: CommandId = None,
    issued_by: IssuedBy = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Take an order's hold off, whoever put it on; with --not-before at its time.

    Upstream's hold comes back when upstream places the order with another one.
    """
    body = envelope(
        "release",
        order,
        expected_version=expected_version,
        after=after,
        not_before=not_before,
        command_id=command_id,
        issued_by=issued_by,
    )
    with session() as opened:
        send(opened, body, timeout_s=timeout if wait else None, dry_run=dry_run, as_json=as_json)
