"""What follows from the demo's commands: refunds settled by hand, a dead label set right, and a
folder of labels, slips and e-mails to look at.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from messages import Address, Customer, OrderLine, Place, PlacedOrder, Ship, new_command_id
from messages.wire import LABELS
from worker.emails import facts as email_facts
from worker.emails.route import rendering
from worker.labels import facts as label_facts
from worker.labels.files import KINDS, Kind
from worker.labels.printer import Printer
from worker.labels.sheet import sheet
from worker.refunds.by_hand import end_by_hand, parts
from worker.settings import Settings
from worker.work.accept import accept
from worker.work.dead import Chosen, dead
from worker.work.mending import edit_and_replay

SHOP_NAME: Final = "Demo shop"
SHIP_FROM: Final = Address(
    company=SHOP_NAME,
    lines=("1 rue de l'Exemple",),
    postal_code="00017",
    city="Exempleville",
    country="FR",
)
EMAIL_FROM: Final = "orders@shop.example.com"
REFUNDS: Final = 40
FAILED: Final = 3
SHEET: Final = 20
BAD_ORDER: Final = "demo-no-city"
"""An order that somebody typed in without a city."""

EXAMPLES = """
-- examples: for each kind of e-mail and language, the one whose items are most
select distinct on (f.name, lower(left(coalesce(o.locale, 'en'), 2)))
  f.id, f.name, f.subject_id, lower(left(coalesce(o.locale, 'en'), 2)) as language
from followups f join orders o using (order_id)
where f.route = 'emails' and f.state = 'done'
order by 2, 4, (
  select jsonb_array_length(c.outcome -> 'items') from commands c where c.id = f.command_id
) desc, f.id
"""

PARCELS = """
-- parcels: the latest with a label
select s.shipment_id from shipments s join documents d using (shipment_id)
where d.kind = 'label_pdf' order by s.number desc limit %(limit)s
"""


def order_without_city(engine: Engine) -> None:
    """Ship an order whose address no label can be made of."""
    address = Address(name="Customer 0", lines=("17 Example Street",), country="IE")
    order = PlacedOrder(
        currency="EUR",
        total_minor=1999,
        lines=(OrderLine(line_id="1", name="Canvas tote bag", quantity=1, net_minor=1999),),
        customer=Customer(name="Customer 0", email="customer0@example.com", locale="en-IE"),
        ship_to=address,
    )
    place = Place(command_id=new_command_id(), order_id=BAD_ORDER, order=order)
    ship = Ship(command_id=new_command_id(), order_id=BAD_ORDER, carrier="dhl", label="generate")
    with engine.begin() as connection:
        accept(connection, [place, ship])


def settle_refunds(engine: Engine) -> tuple[int, int]:
    """End some of the refund parts as a person at the bank would; how many settled and failed."""
    with engine.connect() as connection:
        found = parts(connection, limit=REFUNDS)
    for part in found[FAILED:]:
        with engine.begin() as connection:
            end_by_hand(connection, part["part_id"], "settled", by="demo")
    for part in found[:FAILED]:
        with engine.begin() as connection:
            end_by_hand(connection, part["part_id"], "failed", by="demo", note="account closed")
    return len(found[FAILED:]), len(found[:FAILED])


def set_right(engine: Engine, wait: Callable[[], None]) -> str:
    """Give the dead label its city, and replay it; what was wrong, and what came of it."""
    with engine.begin() as connection:
        (letter,) = dead(connection, Chosen(order_id=BAD_ORDER, route=LABELS), limit=1)
        corrected = {"ship_to.city": "Sampletown", "ship_to.postal_code": "X00 X000"}
        edit_and_replay(connection, letter["id"], corrected, actor="demo")
    wait()
    with engine.connect() as connection:
        state = connection.exec_driver_sql(
            "select state from followups where id = %(id)s", {"id": letter["id"]}
        ).scalar_one()
    return f"{letter['reason']}: {letter['errors'][-1]['message']}; set right, replayed: {state}"


def look(engine: Engine, config: Settings, folder: Path) -> list[str]:
    """Fill a folder with examples; the names of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    with engine.connect() as connection:
        for name, content in [*_labels(connection, config), *_emails(connection, config)]:
            (folder / name).write_bytes(content)
    return sorted(path.name for path in folder.iterdir())


def _labels(connection: Connection, config: Settings) -> Iterator[tuple[str, bytes]]:
    ids: list[UUID] = list(connection.exec_driver_sql(PARCELS, {"limit": SHEET}).scalars())
    parcels = [found for one in ids if (found := label_facts.parcel(connection, one))]
    printer = Printer(config)
    for kind in KINDS:
        what, _, ending = kind.partition("_")
        yield f"{what}.{ending}", printer.draw(parcels[0], kind)
    both: tuple[Kind, ...] = ("label_pdf", "slip_pdf")
    yield "sheet.pdf", sheet(printer.draw(parcel, kind) for parcel in parcels for kind in both)


def _emails(connection: Connection, config: Settings) -> Iterator[tuple[str, bytes]]:
    rendered = rendering(config)
    for row in connection.exec_driver_sql(EXAMPLES).all():
        facts = email_facts.load(connection, row.name, row.subject_id, followup_id=row.id)
        if facts:
            yield f"{row.name}-{row.language}.html", rendered.render(facts, None).html.encode()
