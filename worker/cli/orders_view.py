"""One order as text for a person: everything that `store.reading.order` found. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.cli.pending import command_pending, followup_pending
from worker.cli.show import facts, items, moment, money, outcome, plain

Document = Mapping[str, Any]


def order_text(order: Document) -> str:
    """The order, part by part; parts without rows are left out."""
    parts = [
        _head(order),
        _part("lines", _lines(order)),
        _part("fees", _fees(order)),
        _part("payments", _payments(order)),
        _part("shipments", _shipments(order)),
        _part("refunds", _refunds(order)),
        _part("history", _history(order)),
        _part("commands not applied", _commands(order)),
        _part("still to be done", _pending(order)),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(order: Document) -> str:
    values = {
        "order": order["order_id"] + (f" ({plain(order['number'])})" if order["number"] else ""),
        "status": order["fulfillment_status"],
        "payment": order["payment_status"] + (", refund pending" * order["refund_pending"]),
        "on hold": plain(order["hold"]),
        "forgotten": moment(order["forgotten_at"]),
        "total": money(order["total_minor"], order["currency"]),
        "customer": _joined(order, "customer_name", "customer_email", "customer_phone", "locale"),
        "ship to": _address(order["ship_to"]),
        "ship from": _address(order["ship_from"]),
        "billing": _address(order["billing_address"]),
        "placed": moment(order["placed_at"]),
        "updated": f"{moment(order['updated_at'])} (version {order['version']})",
    }
    return facts(values)


def _lines(order: Document) -> Iterable[Sequence[str]]:
    yield ("line", "name", "sku", "type", "ordered", "shipped", "completed", "cancelled", "left",
           "refunded", "price")  # fmt: skip
    for line in order["lines"]:
        counts = ("quantity", "shipped", "completed", "cancelled", "left", "refunded_units")
        price = money(line["gross_minor"], order["currency"])
        texts = (line["line_id"], plain(line["name"]), plain(line["sku"]), line["item_type"])
        yield (*texts, *(str(line[name]) for name in counts), price)


def _fees(order: Document) -> Iterable[Sequence[str]]:
    yield ("fee", "name", "price")
    for fee in order["fees"]:
        yield (fee["kind"], plain(fee["name"]), money(fee["gross_minor"], order["currency"]))


def _payments(order: Document) -> Iterable[Sequence[str]]:
    yield ("payment", "method", "captured at", "captured", "refunded", "settled", "overpaid")
    for payment in order["payments"]:
        yield (
            payment["payment_id"],
            plain(payment["method"]),
            moment(payment["captured_at"]),
            *(
                money(payment[name], order["currency"])
                for name in ("captured_minor", "refunded_minor", "settled_minor")
            ),
            money(payment["overpaid_minor"] or None, order["currency"]),
        )


def _shipments(order: Document) -> Iterable[Sequence[str]]:
    yield ("shipment", "shipped at", "items", "weight", "carrier", "tracking number",
           "tracking page", "label", "bought", "voided at", "transit", "warning")  # fmt: skip
    for one in order["shipments"]:
        yield (
            str(one["number"]),
            moment(one["shipped_at"]),
            items(one["items"]),
            f"{one['weight_g']} g" if one["weight_g"] else "",
            plain(one["carrier_name"] or one["carrier"]),
            plain(one["tracking_number"]),
            plain(one["tracking_page"]),
            one["label"],
            ", ".join(map(_purchase, one["purchases"])),
            moment(one["voided_at"]),
            " since ".join(filter(None, (one["transit"], moment(one["transit_at"])))),
            plain(one["warning"]),
        )


def _purchase(one: Document) -> str:
    """How often a label was asked for, and what each cost."""
    if one["state"] == "none":
        return "not bought"
    cost = money(one["cost_minor"], one["currency"])
    return " ".join(filter(None, (one["state"], cost)))


def _refunds(order: Document) -> Iterable[Sequence[str]]:
    currency = order["currency"]
    yield ("requested at", "amount", "of it shipping", "items", "reason", "parts")
    for one in order["refunds"]:
        parts = [
            f"{part['payment_id']} {money(part['amount_minor'], currency)} {part['state']}"
            for part in one["parts"]
        ]
        yield (
            moment(one["requested_at"]),
            money(one["amount_minor"], currency),
            money(one["shipping_minor"], currency),
            items({line["line_id"]: line["quantity"] for line in one["lines"]}),
            plain(one["reason"]),
            ", ".join(parts),
        )


def _history(order: Document) -> Iterable[Sequence[str]]:
    yield ("when", "what", "amount", "by", "command", "details")
    for entry in order["history"]:
        details = dict(entry["details"])
        yield (
            moment(entry["at"]),
            _event(entry["event"], details),
            money(entry["amount_minor"], order["currency"]),
            plain(entry["issued_by"]),
            plain(entry["command_id"]),
            _details(details, order["currency"]),
        )


def _event(event: str, details: dict[str, Any]) -> str:
    """What happened, in words; takes the names of the work out of the details."""
    names = [details.pop(name, None) for name in ("route", "name")]
    return " ".join(filter(None, (*names, event.removeprefix("followup_"))))


def _commands(order: Document) -> Iterable[Sequence[str]]:
    yield ("accepted", "what", "by", "command", "state")
    for one in order["open_commands"]:
        if one["state"] in {"rejected", "discarded"}:
            yield (
                moment(one["accepted_at"]),
                one["kind"],
                plain(one["issued_by"]),
                one["command_id"],
                outcome(one["state"], one["outcome"]),
            )


def _pending(order: Document) -> Iterable[Sequence[str]]:
    yield ("since", "queue", "what", "by", "id", "why it is not done")
    for one in order["open_commands"]:
        if one["state"] in {"pending", "dead"}:
            since, by = moment(one["accepted_at"]), plain(one["issued_by"])
            yield (since, "commands", one["kind"], by, one["command_id"], command_pending(one))
    for one in order["followups"]:
        if one["state"] in {"pending", "dead"}:
            since = moment(one["staged_at"])
            yield (since, one["route"], one["name"], "", one["id"], followup_pending(one))


def _part(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Rows under a title, columns aligned; columns without any value are left out."""
    headings, *found = rows
    if not found:
        return ""
    kept = [n for n in range(len(headings)) if any(row[n] for row in found)]
    table = [[row[n] for n in kept] for row in (headings, *found)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _details(details: Document, currency: str) -> str:
    shown = []
    for name, value in details.items():
        match name:
            case "items":
                shown.append(items(value))
            case "parts" | "payments":
                shown += [f"{one} {money(minor, currency)}" for one, minor in value.items()]
            case _ if name.endswith("_minor"):
                shown.append(f"{name.removesuffix('_minor')} {money(value, currency)}")
            case "label_made":  # files by kind; the hashes are for machines
                shown.append(", ".join(sorted(value)))
            case "changes":
                shown += [
                    f"{field}: {plain(one['from']) or 'nothing'} -> {plain(one['to']) or 'nothing'}"
                    for field, one in value.items()
                ]
            case _:
                shown.append(f"{name}: {plain(value)}")
    return "; ".join(shown)


def _address(address: Document | None) -> str:
    if not address:
        return ""
    values = [address.get("name"), address.get("company"), *address.get("lines", ())]
    values.append(_joined(address, "postal_code", "city", between=" "))
    values += [address.get("district"), address.get("country"), address.get("phone")]
    return ", ".join(plain(value) for value in values if value)


def _joined(values: Document, *names: str, between: str = ", ") -> str:
    return between.join(plain(values[name]) for name in names if values.get(name))
