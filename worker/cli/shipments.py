"""`void`, `update-tracking`: what is set right after the fact, on shipments by id or number."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson
from worker.cli.send import (
    DEFAULT_TIMEOUT_S,
    AddedCarrier,
    AddedCarrierUrl,
    After,
    CarrierCode,
    CommandId,
    DryRun,
    ExpectedVersion,
    IssuedBy,
    NoNotify,
    NotBefore,
    Timeout,
    TrackingNumber,
    TrackingUrl,
    Wait,
    WhyOption,
    envelope,
    new_carrier_of,
    send,
    send_each,
    suggest_carrier,
)
from worker.cli.session import Session, session
from worker.cli.shipment_keys import named_shipments

app = typer.Typer()


@app.command()
def void(
    shipments: Annotated[list[str], typer.Argument(metavar="SHIPMENT", help="Ids or numbers.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also what the carrier has; it is sent a second time.")
    ] = False,
    reason: WhyOption = None,
    no_notify: NoNotify = False,
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
    """Call shipments back: their units are unfulfilled again, bought labels are voided.

    Refused once the carrier has the parcel, unless forced. Exit code 4 if a shipment is not here:
    nothing is sent then; else that of the first one that was not applied.
    """
    if len(shipments) > 1 and (command_id or after or expected_version is not None):
        raise Failure(
            "--command-id, --after and --expected-version are for one shipment", Code.USAGE
        )
    with session() as opened:
        bodies = [
            envelope(
                "void",
                order_id,
                no_notify=no_notify,
                expected_version=expected_version,
                after=after,
                not_before=not_before,
                command_id=command_id,
                issued_by=issued_by,
            )
            | {"shipment_id": shipment_id, "force": force, "reason": reason}
            for shipment_id, order_id in _found(opened, shipments).items()
        ]
        code = send_each(
            opened,
            bodies,
            timeout_s=timeout if wait else None,
            dry_run=dry_run,
            as_json=as_json,
        )
    raise typer.Exit(code)


@app.command("update-tracking")
def update_tracking(
    shipment: Annotated[str, typer.Argument(metavar="SHIPMENT", help="Its id or number.")],
    *,
    carrier: CarrierCode = None,
    new_carrier: AddedCarrier = None,
    new_carrier_url: AddedCarrierUrl = None,
    tracking_number: TrackingNumber = None,
    tracking_url: TrackingUrl = None,
    notify: Annotated[bool, typer.Option("--notify", help="Tell the customer.")] = False,
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
    """Correct how a shipment is tracked; the customer is told only with --notify.

    What is left out stays as it is, but a tracking page of an earlier number or carrier.
    """
    if not (carrier or new_carrier or tracking_number or tracking_url):
        raise Failure(
            "give --carrier, --new-carrier, --tracking-number or --tracking-url", Code.USAGE
        )
    with session() as opened:
        ((shipment_id, order_id),) = _found(opened, [shipment]).items()
        body: dict[str, Any] = envelope(
            "update_tracking",
            order_id,
            expected_version=expected_version,
            after=after,
            not_before=not_before,
            command_id=command_id,
            issued_by=issued_by,
        ) | {
            "shipment_id": shipment_id,
            "carrier": carrier,
            "new_carrier": new_carrier_of(new_carrier, new_carrier_url),
            "tracking_number": tracking_number,
            "tracking_url": tracking_url,
            "notify_customer": notify,
        }
        if carrier:
            suggest_carrier(opened, carrier)
        send(opened, body, timeout_s=timeout if wait else None, dry_run=dry_run, as_json=as_json)


def _found(opened: Session, asked: Sequence[str]) -> dict[UUID, str]:
    """The order of each shipment, in the order named, each once."""
    with opened.engine.connect() as connection:
        return named_shipments(connection, asked)
