"""The route of e-mails: what is due is told to the customer, or skipped with the reason."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from messages.wire import EMAILS
from worker.emails.address import BadAddress, checked
from worker.emails.edits import read_edits
from worker.emails.facts import KINDS, Facts, load
from worker.emails.folder import Folder
from worker.emails.language import Languages
from worker.emails.message import Mail, Sender, compose
from worker.emails.parcel import LOOK_S, is_number_to_come
from worker.emails.rendering import BrokenTemplate, Rendering
from worker.emails.smtp import Smtp
from worker.emails.smtp_url import read_smtp_url
from worker.errors import Terminal
from worker.settings import Settings
from worker.work.drain import Route
from worker.work.followups import Answer, Ended, Later, Task, followups_route
from worker.work.observer import SILENT, Observer

SHIPPED_POLL_S: Final = 10.0
"""How often to look whether the e-mail has ended that told of a parcel which does not come."""


class Delivery(Protocol):
    """A way for e-mails to leave."""

    def deliver(self, mail: Mail) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Emails:
    """Tells customers what became of their orders."""

    engine: Engine
    rendering: Rendering
    sender: Sender
    delivery: Delivery
    bought_from: Collection[str] = ()
    """Carriers that give a parcel its number with its label."""

    def __call__(self, task: Task) -> Answer:
        """Carry one follow-up out.

        Raises:
          worker.errors.Transient: The e-mail cannot leave now.
          worker.errors.Terminal: A person must look: refused for good, a broken template, an edit
            that cannot be used.
        """
        if task.name not in KINDS:
            raise Terminal("unknown_email", f"there is no e-mail {task.name!r}")
        with self.engine.connect() as connection:
            if task.name == "shipped" and is_number_to_come(
                connection, task.subject_id, self.bought_from
            ):
                return Later(LOOK_S, "label")
            facts = load(connection, task.name, task.subject_id, followup_id=task.id)
        if facts is None:
            raise Terminal("nothing_to_tell", f"{task.name} {task.subject_id} is not here")
        try:
            edits = read_edits(task.edits)
        except ValueError as error:
            raise Terminal("bad_edit", str(error)) from None
        if facts.kind == "voided" and {"pending", "dead"} & {*facts.document["parcel"]["told"]}:
            return Later(SHIPPED_POLL_S, "email")
        to = recipient(facts, edits.to)
        if isinstance(to, Skip):
            return Ended({"skipped": to.reason}, state="skipped")
        try:
            rendered = self.rendering.render(facts, edits.locale)
        except BrokenTemplate as error:
            raise Terminal("broken_template", str(error)) from error
        mail = compose(rendered, mail_id=task.id, to=to, at=facts.told_at, sender=self.sender)
        self.delivery.deliver(mail)
        return Ended({"message_id": mail.message_id})


@dataclass(frozen=True, slots=True)
class Skip:
    """Nobody is to be told; `reason` is `opted_out`, `forgotten`, `nothing_refunded`, `not_told`
    (that the parcel had left, so why tell that it does not come), `voided`, `no_address` or
    `bad_address`.
    """

    reason: str


def recipient(facts: Facts, to: str | None = None) -> str | Skip:
    """Who gets the e-mail: `to`, or the order's customer."""
    if facts.document["opted_out"]:
        return Skip("opted_out")
    if facts.document["is_forgotten"]:
        return Skip("forgotten")
    if facts.kind == "refunded" and not facts.document["refunded"]:
        return Skip("nothing_refunded")
    parcel = facts.document["parcel"]
    if facts.kind == "voided" and "done" not in parcel["told"]:
        return Skip("not_told")
    if facts.kind in {"shipped", "tracking_updated"} and parcel["is_voided"]:
        return Skip("voided")
    address = to or facts.document["customer_email"]
    if not address:
        return Skip("no_address")
    try:
        return checked(address)
    except BadAddress:
        return Skip("bad_address")


def emails_route(engine: Engine, config: Settings, *, observer: Observer = SILENT) -> Route:
    """The route as the settings want it."""
    ways = rendering(config), sender(config), delivery(config)
    emails = Emails(engine, *ways, bought_from=config.carrier_adapters)
    return followups_route(
        engine,
        EMAILS,
        emails,
        # One at a time, or a slow server would hold the second e-mail of a batch beyond its limit;
        # half of the threads at most, or a slow server would hold up the commands.
        batch_size=1,
        drainers=max(1, config.threads // 2),
        close=emails.delivery.close,
        observer=observer,
    )


def rendering(config: Settings) -> Rendering:
    folder = config.email_templates_dir
    zone = config.email_time_zone
    return Rendering(
        Languages(config.email_locale, folder),
        folder=folder,
        shop_name=config.shop_name,
        time_zone=UTC if zone == "UTC" else ZoneInfo(zone),
    )


def sender(config: Settings) -> Sender:
    return Sender(config.email_from, config.shop_name, config.email_reply_to)


def delivery(config: Settings) -> Delivery:
    """How e-mails leave.

    Raises:
      ValueError: Production does not say where to.
    """
    if config.mail_problem:
        raise ValueError(config.mail_problem)
    if not config.smtp_url:
        return Folder(config.email_folder or config.state_dir / "mail")
    server = read_smtp_url(config.smtp_url.get_secret_value())
    return Smtp(server, timeout_s=config.smtp_timeout_s)
