"""What follows from a parcel: labels and e-mails per second, beside the bare libraries."""

import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import Engine

from messages import Ship
from messages.wire import EMAILS, LABELS
from tests.bench.lab import ROOT, SHIP_FROM, BenchFailed, Lab
from tests.bench.measurements import CHUNK, Measurement, through_store
from tests.work import rig
from worker.emails import facts as email_facts
from worker.emails.message import Mail, compose
from worker.emails.route import rendering, sender
from worker.embedded.server import ourselves
from worker.labels.facts import parcel
from worker.labels.files import Kind
from worker.labels.printer import Printer
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work import queues
from worker.work.accept import accept

FROM: Final = "shop@example.org"


def labels(lab: Lab, count: int) -> float:
    """Label, ZPL and packing slip of so many parcels, stored, by one worker process."""
    with _parcels(lab, count) as url, lab.worker("actors", url) as worker:
        return _rate(url, worker, LABELS, count)


def bare_reportlab(lab: Lab, count: int) -> float:
    """The same label and slip, drawn in a loop, and thrown away."""
    with _parcels(lab, 1) as url, _engine(url) as engine:
        with engine.connect() as connection:
            facts = parcel(connection, _subject(connection))
        if facts is None:
            raise BenchFailed("bare reportlab: no parcel")
        printer = Printer(Settings(ship_from=SHIP_FROM))
        kinds: tuple[Kind, ...] = ("label_pdf", "slip_pdf")
        for kind in kinds:
            printer.draw(facts, kind)  # the fonts are read
        began = time.monotonic()
        for _ in range(count):
            for kind in kinds:
                printer.draw(facts, kind)
        return count / (time.monotonic() - began)


def emails(lab: Lab, count: int) -> float:
    """So many *shipped* e-mails, by one worker process."""
    with _smtp_sink() as smtp_url, _parcels(lab, count) as url:
        settings = {"SMTP_URL": smtp_url, "FULFILLMENT_EMAIL_FROM": FROM}
        with lab.worker("actors", url, settings=settings) as worker:
            return _rate(url, worker, EMAILS, count)


def bare_smtplib(lab: Lab, count: int) -> float:
    """The same e-mail, sent in a loop on one connection to the same server."""
    with _parcels(lab, 1) as url:
        mail = _mail(url)
    with (
        _smtp_sink() as smtp_url,
        smtplib.SMTP("127.0.0.1", int(smtp_url.rpartition(":")[2])) as to,
    ):
        began = time.monotonic()
        for _ in range(count):
            to.sendmail(mail.sender, [mail.to], mail.content)
        return count / (time.monotonic() - began)


def store_door_chunks_labelled(lab: Lab, count: int) -> float:
    """As the store door in chunks, but each command stages a label beside its e-mail."""
    with lab.database() as url:
        return through_store(lab, url, _labelled(lab.commands[:count]), chunk=CHUNK)


def _labelled(commands: Sequence[Ship]) -> list[Ship]:
    return [command.model_copy(update={"label": "generate"}) for command in commands]


@contextmanager
def _parcels(lab: Lab, count: int) -> Iterator[str]:
    """The URL of a database in which so many parcels wait for what follows."""
    with lab.database() as url:
        with _engine(url) as engine:
            with engine.begin() as transaction:
                accept(transaction, _labelled(lab.commands[:count]))
            rig.drainer(engine, turn_s=60)()
        yield url


def _rate(url: str, worker: Any, route: str, count: int) -> float:
    query = (
        "select count(*) filter (where state = 'done'), count(*) from followups where route = %s"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        with _engine(url) as engine, engine.begin() as transaction:
            queues.resume(transaction, route, actor="bench")
        rate = worker.rate(lambda: connection.execute(query, (route,)).fetchone()[0], count, route)
        done, staged = connection.execute(query, (route,)).fetchone()
    if (done, staged) != (count, count):
        raise BenchFailed(f"{route}: {done} of {staged} done")
    return rate


def _mail(url: str) -> Mail:
    config = Settings(email_from=FROM)
    with _engine(url) as engine, engine.connect() as connection:
        row = connection.exec_driver_sql(
            "select id, name, subject_id from followups where route = 'emails'"
        ).one()
        facts = email_facts.load(connection, row.name, row.subject_id, followup_id=row.id)
    if facts is None:
        raise BenchFailed("bare smtplib: nothing to tell")
    rendered = rendering(config).render(facts, None)
    to = facts.document["customer_email"]
    return compose(rendered, mail_id=row.id, to=to, at=facts.told_at, sender=sender(config))


def _subject(connection: Any) -> Any:
    return connection.exec_driver_sql("select shipment_id from shipments").scalar_one()


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = make_engine(url, Settings(), pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _smtp_sink() -> Iterator[str]:
    """The URL of a mail server of its own process."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.smtp_sink"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **ourselves().popen(signal.SIGTERM),
    ) as process:
        try:
            port = process.stdout.readline().strip()
            yield f"smtp://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


FOLLOWUPS: Final = (
    Measurement("labels", "label, ZPL and slip, drawn and stored", 200, labels, 20),
    Measurement("bare reportlab", "the same pages in a loop", 200, bare_reportlab, 20),
    Measurement("e-mails", "rendered and sent by SMTP", 400, emails, 40),
    Measurement("bare smtplib", "the same e-mail in a loop", 400, bare_smtplib, 40),
    Measurement(
        "store door, chunks, labels",
        "as in chunks, with a second follow-up each",
        12_000,
        store_door_chunks_labelled,
    ),
)
