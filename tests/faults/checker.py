"""An independent audit of the books: it shares no code with the worker, only the schema's names.

`check` compares the database with the producer's own log, with a small model of the rules that
replays what was applied, and with the books of those who gave money back and who sold labels. It
reads one snapshot. Violations are sentences, `name: what`.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row

Row = dict[str, Any]
Found = Iterator[str]

TABLES = (
    "commands",
    "orders",
    "order_lines",
    "payments",
    "shipments",
    "shipment_lines",
    "refunds",
    "refund_lines",
    "refund_parts",
    "history",
    "followups",
    "purchases",
    "documents",
)
ENDS = {"applied", "rejected", "dead"}
OPEN = {"pending", "unknown"}
ENDINGS = {"settled", "failed", "overpaid"}
GIVEN_UP = {"failed", "overpaid"}
"""States of refund parts whose money is not taken from what is left."""


def check(
    database_url: str,
    published: Mapping[str, Row],
    *,
    ledger: Iterable[Row] | None = None,
    labels: Iterable[Row] | None = None,
    mail: Iterable[str] | None = None,
    files: Path | None = None,
) -> list[str]:
    """What is wrong: sentences, some of them `Lost` or `Doubled`.

    Args:
      database_url: The books.
      published: Every command that was sent: its id and its JSON body.
      ledger: Every refund at the provider: `payment_id`, `amount`, `state` (pending, settled,
        failed), and the `tag` that we gave it. Unset, nobody was asked.
      labels: Every label at the carriers: our `reference`, `tracking_number`, and whether it is
        `alive`. Unset, none were bought.
      mail: The Message-ID of every e-mail that arrived, as often as it did. Unset, nobody looked.
      files: The folder of labels. Unset, nobody looked.
    """
    connection = psycopg.connect(database_url, row_factory=dict_row)
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection:
        tables = {name: connection.execute(f"select * from {name}").fetchall() for name in TABLES}
    books = Books(dict(published), tables, _listed(ledger), _listed(labels), mail, files)
    return [type(found)(f"{name}: {found}") for name, law in LAWS.items() for found in law(books)]


class Lost(str):
    """What was promised, and is not there."""

    __slots__ = ()


class Doubled(str):
    """What is there twice."""

    __slots__ = ()


def _listed(rows: Iterable[Row] | None) -> list[Row] | None:
    return None if rows is None else list(rows)


@dataclass
class Books:
    """The log and every table, each row as a dict; and the books of others, where there are any."""

    published: dict[str, Row]
    tables: dict[str, list[Row]]
    ledger: list[Row] | None = None
    labels: list[Row] | None = None
    mail: Iterable[str] | None = None
    files: Path | None = None

    def __getattr__(self, name: str) -> list[Row]:
        return self.tables[name]

    def by(self, table: str, *columns: str) -> defaultdict[Any, list[Row]]:
        """The table's rows grouped by one column, or by several as a tuple."""
        groups: defaultdict[Any, list[Row]] = defaultdict(list)
        for row in self.tables[table]:
            key = tuple(row[column] for column in columns)
            groups[key if len(columns) > 1 else key[0]].append(row)
        return groups

    def applied(self) -> list[Row]:
        """Applied commands that say so; those that do not are another law's business."""
        return [row for row in self.commands if "order_version" in (row["outcome"] or {})]

    def effective(self) -> list[Row]:
        """Those of them that changed their order; placing it again without news does not."""
        return [row for row in self.applied() if row["outcome"]["changed"]]

    def own_parts(self) -> list[Row]:
        """Parts of refunds that a command asked for: those have its id, upstream's have not."""
        own = {row["refund_id"] for row in self.refunds if row["refund_id"] == row["command_id"]}
        return [part for part in self.refund_parts if part["refund_id"] in own]

    def live_refunds(self) -> list[Row]:
        """Refunds of which not every part has failed, or was paid beside the balance."""
        parts = self.by("refund_parts", "refund_id")
        return [
            refund
            for refund in self.refunds
            if any(part["state"] not in GIVEN_UP for part in parts[refund["refund_id"]])
        ]


def total(rows: list[Row], column: str) -> int:
    return sum(row[column] for row in rows)


def accepted(books: Books) -> Found:
    """What was published is there once, with the content that was sent, and nothing else is."""
    counts = Counter(str(row["id"]) for row in books.commands)
    for row_id in books.published:
        if counts[row_id] != 1:
            told = f"command {row_id} has {counts[row_id]} rows"
            yield Doubled(told) if counts[row_id] else Lost(told)
    for row_id in counts.keys() - books.published.keys():
        yield f"command {row_id} was never published"
    for row in books.commands:
        sent = books.published.get(str(row["id"]))
        if sent and row["body"] != sent:
            yield f"command {row['id']} is not what was sent"


def ended(books: Books) -> Found:
    for row in books.commands:
        outcome = (row["outcome"] or {}).get("state", "dead" if row["dead_reason"] else None)
        if row["state"] not in ENDS or outcome != row["state"]:
            yield Lost(f"command {row['id']} is {row['state']}, its outcome says {outcome}")


def conservation(books: Books) -> Found:
    for row in books.order_lines:
        units = [row["shipped"], row["completed"], row["cancelled"]]
        if min(units) < 0 or sum(units) > row["quantity"]:
            yield f"line {row['order_id']} {row['line_id']}: {units} of {row['quantity']}"
        if not 0 <= row["refunded_units"] <= row["quantity"]:
            yield f"line {row['order_id']} {row['line_id']}: {row['refunded_units']} refunded"
    for row in books.payments:
        if not 0 <= row["settled_minor"] <= row["refunded_minor"] <= row["captured_minor"]:
            yield f"payment {row['order_id']} {row['payment_id']} gave back more than it has"


def parcels(books: Books) -> Found:
    """What a line shipped lies in parcels, those from before the order came here among them, and
    not in those that a command called back.
    """
    order_of = {row["shipment_id"]: row["order_id"] for row in books.shipments}
    voids = Counter(
        UUID(row["body"]["shipment_id"]) for row in books.applied() if row["kind"] == "void"
    )
    inside: Counter[Any] = Counter()
    for row in books.shipment_lines:
        counter = "voided" if voids[row["shipment_id"]] else "shipped"
        inside[order_of.get(row["shipment_id"]), row["line_id"], counter] += row["quantity"]
    for row in books.order_lines:
        for counter in ("shipped", "voided"):
            held = inside.pop((row["order_id"], row["line_id"], counter), 0)
            if held != row[counter]:
                name = f"{row['order_id']} {row['line_id']}"
                yield f"line {name}: {row[counter]} {counter}, {held} held"
    for order_id, line_id, _ in inside:
        yield f"a parcel of {order_id} holds {line_id}, which is no line"
    for row in books.shipments:
        if voids.pop(row["shipment_id"], 0) != (row["voided_at"] is not None):
            yield f"parcel {row['shipment_id']} was not voided as often as commands say"
    for shipment_id in voids:
        yield f"parcel {shipment_id} was voided, and is not here"


def parts(books: Books) -> Found:
    """The parts of a refund sum to the whole, and those on a payment to what it gave back."""
    parts = books.by("refund_parts", "refund_id")
    for row in books.refunds:
        if total(parts[row["refund_id"]], "amount_minor") != row["amount_minor"]:
            yield f"refund {row['refund_id']} is not the sum of its parts"
    of_payment = books.by("refund_parts", "order_id", "payment_id")
    for row in books.payments:
        given = of_payment[row["order_id"], row["payment_id"]]
        open_or_settled = [part for part in given if part["state"] not in GIVEN_UP]
        settled = [part for part in given if part["state"] == "settled"]
        found = total(open_or_settled, "amount_minor"), total(settled, "amount_minor")
        if found != (row["refunded_minor"], row["settled_minor"]):
            yield f"payment {row['order_id']} {row['payment_id']} is not the sum of its parts"


def refunded(books: Books) -> Found:
    """What lines and orders count as given back is what their refunds name."""
    lines = books.by("refund_lines", "refund_id")
    for row in books.refunds:
        named = total(lines[row["refund_id"]], "gross_minor") + row["shipping_minor"]
        if named > row["amount_minor"]:
            yield f"refund {row['refund_id']} names more than it gives"
    of_line: Counter[Any] = Counter()
    shipping: Counter[str] = Counter()
    for refund in books.live_refunds():
        shipping[refund["order_id"]] += refund["shipping_minor"]
        for row in lines[refund["refund_id"]]:
            key = refund["order_id"], row["line_id"]
            of_line[*key, "refunded_units"] += row["quantity"]
            of_line[*key, "refunded_minor"] += row["gross_minor"]
            of_line[*key, "refunded_tax_minor"] += row["tax_minor"]
            of_line[*key, "refunded_discount_minor"] += row["discount_minor"]
    for row in books.order_lines:
        for column in [name for name in row if name.startswith("refunded_")]:
            if row[column] != of_line[row["order_id"], row["line_id"], column]:
                yield f"line {row['order_id']} {row['line_id']}: {column} is not that of refunds"
    for row in books.orders:
        if row["shipping_refunded_minor"] != shipping[row["order_id"]]:
            yield f"order {row['order_id']}: its shipping refunds do not sum"


def is_refund_only(body: Row) -> bool:
    """A cancellation of no unit that gives money back."""
    has_money = isinstance(body.get("refund"), dict) or body.get("include_shipping", False)
    items = body.get("items", [])
    return bool(items) and not any(item["quantity"] for item in items) and has_money


EVENTS = {
    "place": "placed",
    "ship": "shipped",
    "complete": "completed",
    "cancel": "cancelled",
    "void": "voided",
    "update_tracking": "tracking_updated",
    "hold": "held",
    "release": "released",
}


def due(row: Row) -> tuple[Counter[Any], Counter[Any], Counter[Any]]:
    """History, shipments and refunds that a command must have made."""
    row_id, body = row["id"], row["body"]
    history: Counter[Any] = Counter()
    shipments: Counter[Any] = Counter()
    refunds: Counter[Any] = Counter()
    outcome = row["outcome"] or {}
    is_changed = outcome.get("changed", True)
    if body["kind"] == "place" and (outcome.get("order_version") != 1 or not is_changed):
        history["changed_upstream"] += row["state"] == "applied" and is_changed
    elif row["state"] == "applied":
        if body["kind"] in EVENTS and not is_refund_only(body):
            history[EVENTS[body["kind"]]] += is_changed
        if body["kind"] == "ship":
            shipments[row_id] += 1
        if outcome.get("refund"):
            history["refund_requested"] += 1
            refunds[row_id] += 1
        placed = body.get("order", {})
        for event, kind, counter in (
            ("shipped", "shipment", shipments),
            ("refunded", "refund", refunds),
        ):
            for number in range(len(placed.get(f"{kind}s", []))):
                history[f"{event}_upstream"] += 1
                counter[uuid5(row_id, f"{kind} {number}")] += 1
        for event in ("completed", "cancelled"):
            if any(line.get(event) for line in placed.get("lines", [])):
                history[f"{event}_upstream"] += 1
    return +history, shipments, refunds


UUID_AT_END = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
AFTERWARDS = re.compile(r"refund_(?:settled|failed|overpaid)|label_.*|transit")
"""Events of follow-ups, not of commands."""


def effects(books: Books) -> Found:
    """Each applied command has its effect once; whatever was done, an applied command did."""
    columns = {"history": "event", "shipments": "shipment_id", "refunds": "refund_id"}
    done = {name: books.by(name, "command_id") for name in columns}
    for rows in done["history"].values():
        rows[:] = [row for row in rows if not AFTERWARDS.fullmatch(row["event"])]
    for row in books.commands:
        history, shipments, refunds = due(row)
        for (name, column), wanted in zip(
            columns.items(), (history, shipments, refunds), strict=True
        ):
            found = Counter(one[column] for one in done[name].pop(row["id"], []))
            if found != wanted:
                told = f"{row['state']} {row['body']['kind']} {row['id']}: {name} {dict(found)}"
                yield Lost(told) if wanted - found else Doubled(told)
    for row_id in {key for rows in done.values() for key in rows}:
        yield f"something was done for {row_id}, which is no command"


def endings(books: Books) -> Found:
    """History tells once how each part ended; what it tells afterwards is late, and something else;
    the last of it is what the part is.
    """
    told = books.by("history", "command_id")
    for part in books.own_parts():
        events = endings_of(told[part["refund_id"]], part["payment_id"])
        states = [row["event"].removeprefix("refund_") for row in events]
        late = ["late" in row["details"] for row in events]
        is_plain = late == [bool(n) for n in range(len(events))]
        repeats = any(one == after for one, after in pairwise(states))
        last = states[-1] if states else None
        wanted = None if part["state"] in OPEN else part["state"]
        if not is_plain or repeats or last != wanted:
            yield f"part {part['part_id']} is {part['state']}, history tells {states}"


def endings_of(history: list[Row], payment_id: str | None = None) -> list[Row]:
    """How parts of a refund ended, in the order in which they did."""
    events = [
        row
        for row in history
        if row["event"].removeprefix("refund_") in ENDINGS
        and payment_id in {None, row["details"]["payment_id"]}
    ]
    return sorted(events, key=lambda row: row["history_id"])


def versions(books: Books) -> Found:
    """Versions count the commands that changed an order, from 1, without gap or repeat."""
    given: defaultdict[str, list[int]] = defaultdict(list)
    for row in books.effective():
        given[row["order_id"]].append(row["outcome"]["order_version"])
    for row in books.orders:
        numbers = sorted(given.pop(row["order_id"], []))
        if numbers != list(range(1, row["version"] + 1)):
            yield f"order {row['order_id']} is at {row['version']}, applied were {numbers}"
    for order_id in given:
        yield f"order {order_id} is not here, and something was applied to it"


def statuses(books: Books) -> Found:
    lines, payments = books.by("order_lines", "order_id"), books.by("payments", "order_id")
    for row in books.orders:
        mine, paid = lines[row["order_id"]], payments[row["order_id"]]
        active = total(mine, "quantity") - total(mine, "cancelled")
        done = total(mine, "shipped") + total(mine, "completed")
        captured, settled = total(paid, "captured_minor"), total(paid, "settled_minor")
        fulfilled = "partially_fulfilled" if done < active else "fulfilled"
        if done == 0:
            fulfilled = "unfulfilled" if active else "cancelled"
        if settled:
            money_is = "refunded" if settled == captured else "partially_refunded"
        elif captured >= row["total_minor"]:
            money_is = "paid"
        else:
            money_is = "partially_paid" if captured else "unpaid"
        wanted = fulfilled, money_is, total(paid, "refunded_minor") > settled
        found = row["fulfillment_status"], row["payment_status"], row["refund_pending"]
        if found != wanted:
            yield f"order {row['order_id']} says {found}, its rows say {wanted}"


def followups(books: Books) -> Found:
    """Each effect staged its follow-ups once, and nothing else did."""
    wanted = staged(books)
    found = Counter(
        (row["route"], row["name"], row["command_id"], row["subject_id"])
        for row in books.followups
        if row["name"] != "void_surplus"
    )
    purchases = {row["purchase_id"] for row in books.purchases}
    for row in books.followups:
        if row["name"] == "void_surplus" and row["subject_id"] not in purchases:
            yield f"{row['subject_id']} is to be given back, and was never asked for"
    for key in wanted.keys() | found.keys():
        if wanted[key] != found[key]:
            told = f"{' '.join(map(str, key))}: {found[key]} of {wanted[key]}"
            yield Lost(told) if wanted[key] > found[key] else Doubled(told)
    silent = {row["id"] for row in books.applied() if not row["body"].get("notify_customer", True)}
    for row in books.followups:
        if row["route"] == "emails" and row["command_id"] in silent and row["state"] != "skipped":
            yield f"the e-mail of {row['command_id']} was switched off, and is {row['state']}"


def staged(books: Books) -> Counter[tuple[str, str, UUID, UUID]]:
    """The follow-ups there must be: route, name, command and subject."""
    wanted: Counter[tuple[str, str, UUID, UUID]] = Counter()
    parts = books.by("refund_parts", "refund_id")
    history = books.by("history", "command_id")
    labelled = {row["shipment_id"] for row in books.shipments if row["label"] == "generate"}
    for row in books.applied():
        row_id, body = row["id"], row["body"]
        if body["kind"] in {"void", "update_tracking"} and row["outcome"]["changed"]:
            parcel = UUID(body["shipment_id"])
            is_void = body["kind"] == "void"
            is_told = is_void or body.get("notify_customer", False)
            wanted["emails", EVENTS[body["kind"]], row_id, parcel] += is_told
            wanted["labels", "void" if is_void else "relabel", row_id, parcel] += parcel in labelled
        if body["kind"] in {"ship", "complete", "cancel"} and not is_refund_only(body):
            wanted["emails", EVENTS[body["kind"]], row_id, row_id] += 1
        if body.get("label") == "generate":
            wanted["labels", "label", row_id, row_id] += 1
        for part in parts[row_id]:  # a refund has the id of its command; upstream's have not
            wanted["refunds", "settle", row_id, part["part_id"]] += 1
        wanted["emails", "refunded", row_id, row_id] += has_news(parts[row_id], history[row_id])
    for row in books.followups:  # a bought label is followed once its parcel has it
        if row["route"] == "labels" and "tracking_number" in (row["outcome"] or {}):
            wanted["tracking", "track", row["command_id"], row["subject_id"]] = 1
    return +wanted


def has_news(parts: list[Row], history: list[Row]) -> bool:
    """Whether there was a moment at which money had gone back and no part was open."""
    states = {part["payment_id"]: "pending" for part in parts}
    for row in endings_of(history):
        states[row["details"]["payment_id"]] = row["event"].removeprefix("refund_")
        if "settled" in states.values() and "pending" not in states.values():
            return True
    return False


def paid_once(books: Books) -> Found:
    """The provider gave back what it was asked for, on that payment, and never twice for one part;
    and it gave nothing back of which nobody knows.
    """
    if books.ledger is None:
        return
    made = made_by_part(books.ledger)
    for part in books.own_parts():
        refunds = made.pop(part["part_id"], [])
        if len(refunds) > 1:
            yield Doubled(f"part {part['part_id']} was paid {len(refunds)} times")
        for refund in refunds:
            paid = refund["payment_id"], refund["amount"]
            if paid != (part["payment_id"], part["amount_minor"]):
                yield f"part {part['part_id']} was paid as {paid}"
    for part_id, refunds in made.items():
        yield f"{len(refunds)} refunds were made for {part_id}, which is no part"


def made_by_part(ledger: list[Row]) -> dict[UUID | None, list[Row]]:
    """Refunds that went out, or may yet, by the part that their tag names."""
    made: defaultdict[UUID | None, list[Row]] = defaultdict(list)
    for refund in ledger:
        if refund["state"] != "failed":
            named = UUID_AT_END.search(refund["tag"])
            made[named and UUID(named[0])].append(refund)
    return dict(made)


def money(books: Books) -> Found:
    """To the cent, on each payment: what is booked as gone is gone, and what is gone is booked as
    that, as beyond the balance, or as not known. No part says other than the provider.
    """
    if books.ledger is None:
        return
    out: Counter[str] = Counter()
    for refund in books.ledger:
        out[refund["payment_id"]] += refund["amount"] * (refund["state"] == "settled")
    made = made_by_part(books.ledger)
    booked: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in books.own_parts():
        states = [refund["state"] for refund in made.get(part["part_id"], [])]
        booked[part["payment_id"]][part["state"]] += part["amount_minor"]
        if part["state"] in {"settled", "overpaid"} and states != ["settled"]:
            yield f"part {part['part_id']} is {part['state']}, at the provider {states}"
        # Not asked; or asked, with an answer that was no.
        if (part["state"] == "failed" or not part["asked_at"]) and states:
            yield f"part {part['part_id']} is {part['state']}, at the provider {states}"
        if part["state"] == "pending" and part["asked_at"]:
            booked[part["payment_id"]]["unknown"] += part["amount_minor"]  # under way
    for payment_id in out.keys() | booked.keys():
        mine = booked[payment_id]
        least = mine["settled"] + mine["overpaid"]
        if not least <= out[payment_id] <= least + mine["unknown"]:
            yield f"payment {payment_id}: {out[payment_id]} went out, booked are {dict(mine)}"


def bought_once(books: Books) -> Found:
    """Labels alive at the carriers are those that are bought here, and at most those besides of
    which nobody knows; none was bought twice for one purchase, or for none.
    """
    if books.labels is None:
        return
    there = defaultdict(list)
    for label in books.labels:
        there[UUID(label["reference"])].append(label)
    for row in books.purchases:
        labels = there.pop(row["purchase_id"], [])
        if len(labels) > 1:
            yield Doubled(f"purchase {row['purchase_id']} was made {len(labels)} times")
        numbers = [label["tracking_number"] for label in labels if label["alive"]]
        is_right = {
            "bought": numbers == [row["tracking_number"]],
            "voided": bool(labels) and not numbers,
            "none": not labels,
            "unknown": len(numbers) <= 1,
        }
        if not is_right[row["state"]]:
            yield f"purchase {row['purchase_id']} is {row['state']}, alive there are {numbers}"
    for reference, labels in there.items():
        yield f"{len(labels)} labels were bought for {reference}, which is no purchase"


def labels(books: Books) -> Found:
    """A parcel goes with one label, and with its number; what is one too many, or of a parcel that
    was called back, was given back. History tells of each. Work that is not done yet may still.
    """
    purchases, history = books.by("purchases", "shipment_id"), books.by("history", "command_id")
    open_orders = {
        row["order_id"]
        for row in books.followups
        if row["route"] == "labels" and row["state"] in {"pending", "dead"}
    }
    renamed = {row["body"].get("shipment_id") for row in books.applied()}
    for row in books.shipments:
        mine = purchases[row["shipment_id"]]
        states = Counter(one["state"] for one in mine)
        told = Counter(
            (one["event"], one["details"]["tracking_number"])
            for one in history[row["command_id"]]
            if one["event"] in {"label_bought", "label_voided"}
        )
        wanted = Counter(
            (event, one["tracking_number"])
            for one in mine
            for event, ends in (
                ("label_bought", {"bought", "voided"}),
                ("label_voided", {"voided"}),
            )
            if one["state"] in ends
        )
        if told != wanted:
            yield f"history tells {dict(told)} of the labels of {row['shipment_id']}"
        if row["order_id"] in open_orders:
            continue
        if states["unknown"] or states["bought"] > (row["voided_at"] is None):
            yield f"parcel {row['shipment_id']} has labels {dict(states)}, and nothing is open"
        numbers = {one["tracking_number"] for one in mine if one["state"] == "bought"}
        is_own = str(row["shipment_id"]) in renamed
        if numbers and not is_own and numbers != {row["tracking_number"]}:
            yield f"parcel {row['shipment_id']} has not the number of its label"


MAIL_ID = re.compile(r"<([0-9a-f-]{36})@")


SINCE_THEN = {"voided", "not_told"}
"""Why an e-mail is skipped that went out before an interruption: its parcel was called back since.
"""


def mailed(books: Books) -> Found:
    """Who was to be told was; nobody was told what was to be skipped, or what there is no work for.
    A second copy is another's business: interruptions can explain it.
    """
    if books.mail is None:
        return
    arrived: Counter[UUID | None] = Counter()
    for message_id in books.mail:
        found = MAIL_ID.match(message_id)
        arrived[UUID(found[1]) if found else None] += 1
    for row in books.followups:
        if row["route"] == "emails":
            copies = arrived.pop(row["id"], 0)
            if row["state"] == "done" and not copies:
                yield Lost(f"e-mail {row['id']} of {row['command_id']} is done, and never arrived")
            reason = (row["outcome"] or {}).get("skipped")
            if row["state"] == "skipped" and copies and reason not in SINCE_THEN:
                yield f"e-mail {row['id']} of {row['command_id']} was skipped, and arrived"
    for row_id in arrived:
        yield f"an e-mail arrived for {row_id}, which is no follow-up"


FILES = {True: {"label_pdf", "slip_pdf"}, False: {"label_pdf", "label_zpl", "slip_pdf"}}
"""Of a label that was bought, and of one that was drawn."""


def stored(books: Books) -> Found:
    """Every label has its files, each is what its row says, and no file is half of one."""
    if books.files is None:
        return
    there = {}
    for path in books.files.glob("*/*"):
        content = path.read_bytes()
        there[path.stem] = hashlib.sha256(content).hexdigest()
        if path.suffix in {".pdf", ".zpl"} and there[path.stem] != path.stem:
            yield f"the file {path.name} is not what its name says"
    kinds: defaultdict[UUID, set[str]] = defaultdict(set)
    for row in books.documents:
        kinds[row["shipment_id"]].add(row["kind"])
        name = row["sha256"].hex()
        if there.get(name) != name:
            yield Lost(f"the {row['kind']} of {row['shipment_id']} is not in the folder")
    for row in books.followups:
        if row["route"] == "labels" and row["name"] == "label" and row["state"] == "done":
            is_bought = "tracking_number" in (row["outcome"] or {})
            mine = kinds.pop(row["subject_id"], set())
            wanted = FILES[is_bought] if "skipped" not in (row["outcome"] or {}) else set()
            if mine != wanted:
                yield Lost(f"parcel {row['subject_id']} has files {sorted(mine)}")


def listed(books: Books) -> Found:
    """Whatever a person must look at is a dead letter; a part that has ended is none."""
    work = {row["subject_id"]: row for row in books.followups if row["route"] == "refunds"}
    for part in books.own_parts():
        row = work.get(part["part_id"])
        state = row and row["state"]
        if part["state"] in {"settled", "failed"}:
            is_right = state == "done"
        elif part["state"] == "overpaid":
            is_right = state in {"dead", "done"}  # done: somebody has seen to it
        else:
            is_right = state in {"pending", "dead"}
        if not is_right:
            yield f"part {part['part_id']} is {part['state']}, its work {state}"


def replay(books: Books) -> Found:
    """A model of the rules comes to the same, applying what was applied in the same order."""
    lines, refunds = books.by("order_lines", "order_id"), books.by("refunds", "order_id")
    parcels = books.by("shipments", "order_id")
    holds = {row["order_id"]: row["hold"] for row in books.orders}
    failed = {part["order_id"] for part in books.refund_parts if part["state"] in GIVEN_UP}
    failed |= {row["order_id"] for row in books.history if "late" in row["details"]}
    commands: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(books.effective(), key=lambda row: row["outcome"]["order_version"]):
        commands[row["order_id"]].append(row)
    for order_id in commands.keys() - failed:  # what a failed part frees is not modelled
        place, *rows = commands[order_id]
        if place["body"]["kind"] != "place":
            yield f"order {order_id} did not begin with its placing"
            continue
        model = Model(place["id"], place["body"]["order"], lines[order_id])
        for row in rows:
            yield from replay_one(model, row)
        for row in lines[order_id]:
            mine = model.lines.get(row["line_id"], {})
            if any(row[name] != mine.get(name) for name in COUNTERS):
                yield f"line {order_id} {row['line_id']}: the model has {mine}"
        tracked = {row["shipment_id"]: own_number(books, row) for row in parcels[order_id]}
        if holds[order_id] != model.hold:
            yield f"order {order_id} is held by other than the model's {model.hold}"
        if tracked != model.tracked:
            yield f"order {order_id} has parcels with other numbers than the model's"
        if total(refunds[order_id], "amount_minor") != model.refunded:
            yield f"order {order_id} gave back other than the model's {model.refunded}"


def own_number(books: Books, shipment: Row) -> str | None:
    """The tracking number that commands gave the parcel, not its label."""
    came = {
        row["tracking_number"]
        for row in books.purchases
        if row["shipment_id"] == shipment["shipment_id"]
    }
    number: str | None = shipment["tracking_number"]
    return None if number in came else number


COUNTERS = ("shipped", "completed", "cancelled", "refunded_units", "refunded_minor")


def replay_one(model: "Model", row: Row) -> Found:
    outcome = row["outcome"]
    said = {item["line_id"]: item["quantity"] for item in outcome["items"]}
    given = (outcome["refund"] or {}).get("amount_minor", 0)
    try:
        items, amount = model.apply(row["body"])
    except Impossible as why:
        yield f"{row['body']['kind']} {row['id']} should have been refused: {why}"
    else:
        if (said, given) != (items, amount):
            yield f"{row['id']} says {said} and {given}, the model {items} and {amount}"


class Impossible(Exception):
    """The model would have refused this."""


class Model:
    """One order as plain numbers. Static prices of lines are the stored ones."""

    def __init__(self, place_id: UUID, placed: Row, stored: list[Row]) -> None:
        self.gross = {row["line_id"]: row["gross_minor"] for row in stored}
        self.lines: dict[str, Row] = {}
        self.add_lines(placed)
        self.captured = sum(paid["captured_minor"] for paid in placed.get("payments", []))
        self.shipping = sum(
            fee["net_minor"] - fee.get("discount_minor", 0) + fee.get("tax_minor", 0)
            for fee in placed.get("fees", [])
            if fee["kind"] == "shipping"
        )
        self.refunded = self.shipping_back = 0
        self.hold = self.told_hold = placed.get("hold")
        self.standing: dict[UUID, dict[str, int]] = {}
        self.tracked: dict[UUID, str | None] = {}
        for number, parcel in enumerate(placed.get("shipments", [])):
            shipment_id = uuid5(place_id, f"shipment {number}")
            self.standing[shipment_id] = {x["line_id"]: x["quantity"] for x in parcel["items"]}
            self.tracked[shipment_id] = parcel.get("tracking_number")
            for item in parcel["items"]:
                self.lines[item["line_id"]]["shipped"] += item["quantity"]
        for done in placed.get("refunds", []):
            self.refunded += sum(part["amount_minor"] for part in done["parts"])
            self.shipping_back += done.get("shipping_minor", 0)
            for item in done.get("items", []):
                self.count(item["line_id"], item["quantity"], item["gross_minor"])

    def add_lines(self, placed: Row) -> None:
        """Those that are not here yet."""
        for line in placed["lines"]:
            blank = {
                "quantity": line["quantity"],
                "physical": line.get("item_type", "physical") == "physical",
                "gross": self.gross.get(line["line_id"], 0),
                "shipped": 0,
                "completed": line.get("completed", 0),
                "cancelled": line.get("cancelled", 0),
                "refunded_units": 0,
                "refunded_minor": 0,
            }
            self.lines.setdefault(line["line_id"], blank)

    def hear_hold(self, told: str | None) -> None:
        """Upstream's word counts where it is new; its release only of its own hold."""
        if told != self.told_hold and (told or self.hold == self.told_hold):
            self.hold = told
        self.told_hold = told

    def count(self, line_id: str, units: int, gross_minor: int) -> None:
        self.lines[line_id]["refunded_units"] += units
        self.lines[line_id]["refunded_minor"] += gross_minor

    def apply(self, body: Row) -> tuple[dict[str, int], int]:
        """Units taken by line, and the money that goes back."""
        kind, strict = body["kind"], body.get("policy", "strict") == "strict"
        if kind in {"hold", "release"}:
            if kind == "release" and self.hold is None:
                raise Impossible("it is not on hold")
            self.hold = body.get("reason")
            return {}, 0
        if kind in {"ship", "complete"} and self.hold is not None:
            raise Impossible("it is on hold")
        if kind == "place":  # again: payments are never fewer than before
            self.hear_hold(body["order"].get("hold"))
            self.add_lines(body["order"])
            self.captured = sum(paid["captured_minor"] for paid in body["order"]["payments"])
            return {}, 0
        if kind in {"void", "update_tracking"}:
            return self.correct(body, UUID(body["shipment_id"])), 0
        asked = {item["line_id"]: item["quantity"] for item in body.get("items", [])}
        if asked.keys() - self.lines.keys():
            raise Impossible("an unknown line")
        if kind == "refund":
            chosen = {line_id: asked[line_id] for line_id in self.lines if line_id in asked}
            return {}, self.refund(body, chosen, strict=strict, fit=not strict)
        taken = self.take(body, asked, strict=strict)
        if kind != "cancel":
            return taken, 0
        full = taken if body.get("refund") == "full" else {}
        return taken, self.refund(body, full, strict=strict, fit=True)

    def take(self, body: Row, asked: dict[str, int], *, strict: bool) -> dict[str, int]:
        """Ship, complete or cancel units."""
        kind = body["kind"]
        column = {"ship": "shipped", "complete": "completed", "cancel": "cancelled"}[kind]
        taken = {}
        for line_id, line in self.lines.items():
            left = line["quantity"] - line["shipped"] - line["completed"] - line["cancelled"]
            fits = kind == "cancel" or line["physical"] == (kind == "ship")
            wanted = asked.get(line_id, 0) if asked else left * fits
            if (wanted and not fits) or (wanted > left and strict):
                raise Impossible(f"{wanted} of {line_id}, {left} are left")
            if min(wanted, left):
                taken[line_id] = min(wanted, left)
        if not taken and not is_refund_only(body):
            raise Impossible("nothing is left")
        for line_id, units in taken.items():
            self.lines[line_id][column] += units
        if kind == "ship":
            self.standing[UUID(body["command_id"])] = taken
            self.tracked[UUID(body["command_id"])] = body.get("tracking_number")
        return taken

    def correct(self, body: Row, shipment_id: UUID) -> dict[str, int]:
        """Units that come back from a parcel, or none, and its number from now on."""
        if shipment_id not in self.standing:
            raise Impossible("the parcel is not here, or was called back")
        if body["kind"] == "update_tracking":
            number = body.get("tracking_number", self.tracked[shipment_id])
            self.tracked[shipment_id] = number
            return {}
        back = self.standing.pop(shipment_id)
        for line_id, units in back.items():
            self.lines[line_id]["shipped"] -= units
        return back

    def refund(self, body: Row, units: dict[str, int], *, strict: bool, fit: bool) -> int:
        """Reserve the money: units by the penny rule, then shipping, then an amount."""
        is_cancel = body["kind"] == "cancel"
        left, itemised, counted = self.captured - self.refunded, 0, []
        for line_id, asked in units.items():
            line = self.lines[line_id]
            free = line["quantity"] - line["refunded_units"]
            if asked > free and strict and not is_cancel:
                raise Impossible(f"{asked} of {line_id}, {free} are not refunded")
            quantity = min(asked, free)
            each, odd = divmod(line["gross"], line["quantity"])
            first = line["refunded_units"] + quantity
            due = max(0, each * first + min(first, odd) - line["refunded_minor"])
            given = min(due, left - itemised) if fit else due
            if quantity and (given or not due):
                counted.append((line_id, quantity, given))
                itemised += given
        fee = self.shipping if body.get("include_shipping") and not self.shipping_back else 0
        money = body.get("refund") if is_cancel else body.get("amount")
        amount = money["amount_minor"] if isinstance(money, dict) else 0
        if strict and itemised + fee + amount > left:
            raise Impossible(f"{itemised + fee + amount} asked, {left} is left")
        fee = min(fee, left - itemised)
        amount = min(amount, left - itemised - fee)
        if itemised + fee + amount == 0:
            if not is_cancel or is_refund_only(body):
                raise Impossible("it comes to nothing")
            return 0
        for one in counted:
            self.count(*one)
        self.refunded += itemised + fee + amount
        self.shipping_back += fee
        return itemised + fee + amount


LAWS: dict[str, Callable[[Books], Found]] = {
    "accepted": accepted,
    "ended": ended,
    "conservation": conservation,
    "parcels": parcels,
    "parts": parts,
    "refunded": refunded,
    "effects": effects,
    "endings": endings,
    "versions": versions,
    "statuses": statuses,
    "followups": followups,
    "paid_once": paid_once,
    "money": money,
    "listed": listed,
    "bought_once": bought_once,
    "labels": labels,
    "mailed": mailed,
    "stored": stored,
    "replay": replay,
}
