"""What answers look like, for the door's description. Each may grow: expect more fields."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from messages.outcomes import Applied, Rejected
from worker.web.problems import ErrorDocument

Answer = Literal["accepted", "known", "id_reused", "refused"]
State = Literal["pending", "applied", "rejected", "dead", "discarded"]


class Document(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(extra="allow")


class Discarded(Document):
    """A person gave the command up."""

    discarded: str | None


Outcome = Applied | Rejected | Discarded


class Receipt(Document):
    """What became of a command that was sent.

    `accepted`: it is in. `known`: it was before; `state` and `outcome` say how far it is.
    `id_reused`: its id belongs to another command. `refused`: `errors` say why.
    """

    command_id: UUID | None
    answer: Answer
    state: State | None
    outcome: Outcome | None
    location: str | None
    errors: list[ErrorDocument]


class Receipts(Document):
    """Receipts in the order of the commands."""

    results: list[Receipt]


class CommandDocument(Document):
    """A command and how far it is."""

    command_id: UUID
    kind: str
    order_id: str
    state: State
    outcome: Outcome | None
    dead_reason: str | None
    waits_for: str | None
    accepted_at: datetime
    decided_at: datetime | None
    attempts: int


class Total(Document):
    """Money."""

    amount_minor: int
    currency: str


class FollowUpDocument(Document):
    """What would follow."""

    route: str
    name: str
    skipped: str | None


class PreviewDocument(Document):
    """What would become of a command that was sent now."""

    command_id: UUID
    kind: str
    order_id: str
    would_be: Literal["applied", "rejected", "waiting", "dead", "known", "id_reused"]
    outcome: Outcome | None
    total_to_refund: Total | None
    waits_for: str | None
    warnings: list[str]
    followups: list[FollowUpDocument]
    undecided: int
    scheduled_at: datetime | None


class Previews(Document):
    """Previews in the order of the commands."""

    results: list[PreviewDocument]


class OrderHead(Document):
    """An order, as lists have it."""

    order_id: str
    number: str | None
    customer_name: str | None
    fulfillment_status: str
    payment_status: str
    refund_pending: bool
    hold: str | None
    currency: str
    total_minor: int
    version: int
    placed_at: datetime
    updated_at: datetime


class OrderPage(Document):
    """A page of orders, newest first."""

    orders: list[OrderHead]
    next: str | None = Field(description="The next page, as a relative reference.")


class OrderDocument(OrderHead):
    """All that is known of an order."""

    customer_email: str | None
    lines: list[dict[str, Any]]
    fees: list[dict[str, Any]]
    payments: list[dict[str, Any]]
    shipments: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    history: list[dict[str, Any]]
    open_commands: list[dict[str, Any]]
    followups: list[dict[str, Any]]


class Possible(Document):
    """An action: how much of it is possible, or why it is not."""

    action: str
    units: int
    amount_minor: int
    reason: str | None
    message: str | None


class LinePossible(Document):
    """What can be done with a line."""

    line_id: str
    item_type: str
    actions: list[Possible]


class ShipmentPossible(Document):
    """What can be done with a parcel."""

    shipment_id: UUID
    number: int | None
    actions: list[Possible]


class ExplainedDocument(Document):
    """What can be done with an order now."""

    order_id: str
    currency: str
    version: int
    hold: str | None
    actions: list[Possible]
    lines: list[LinePossible]
    shipments: list[ShipmentPossible]


class EventDocument(Document):
    """A CloudEvent 1.0."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    data: dict[str, Any]


class EventPage(Document):
    """A page of the feed."""

    events: list[EventDocument]
    next: str = Field(description="Where this page ends, as a relative reference.")


class LoadedJob(Document):
    """A file that was loaded, now or before."""

    job_id: UUID
    answer: Literal["accepted", "known"]


class JobHead(Document):
    """A job, as lists have it."""

    job_id: UUID
    name: str | None
    kind: str
    state: Literal["pending", "done", "cancelled", "dead"]
    rows: int
    sent: int
    issued_by: str | None
    loaded_at: datetime
    decided_at: datetime | None
    dead_reason: str | None
    rate_per_s: float | None
    left_s: float | None
    is_paused: bool


class JobList(Document):
    """Jobs, the latest first."""

    jobs: list[JobHead]


class JobDocument(JobHead):
    """A job, and how many of its rows came to what."""

    results: dict[str, int]


class Health(Document):
    """It is so."""

    status: str
