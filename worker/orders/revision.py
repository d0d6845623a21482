"""An order that upstream places again: what its newer form adds, or why it is not taken over.

Lines and captured payments may come along, and upstream's hold may come or go: it is taken over
where it is another than in the form before, and where upstream takes its own hold off. So a hold of
ours stays, and what we released stays so, while upstream says what it said. Any other difference
is refused with the field's name: the money and the parcels here rest on what was placed before.

Upstream may not have heard yet of what is done here, or never does. So of what was shipped,
completed, cancelled and refunded a newer form may tell no less than the form before it, for nothing
of that may vanish, and no more than is done here, for nothing of that is ours to guess. Of units
whose parcels were called back here it may tell or not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from messages import PlacedOrder, Reason
from messages.fields import Model
from worker.orders.intake import lines_of
from worker.orders.model import Order, Payment, Rejection

SHOWN_DIFFERENCES: Final = 5


def is_older(form: PlacedOrder, than: PlacedOrder) -> bool:
    """Whether upstream had left this form behind when it placed the other one. Forms that cannot be
    compared are taken in the order of acceptance.
    """
    if form.upstream_version is not None and than.upstream_version is not None:
        return form.upstream_version < than.upstream_version
    if form.updated_at is not None and than.updated_at is not None:
        return form.updated_at < than.updated_at
    return False


def revise(order: Order, before: PlacedOrder, form: PlacedOrder) -> Order | Rejection:
    """The order with what the newer form adds to the one before; both forms tie by themselves."""
    found = list(_differences(order, before, form))
    if found:
        more = f" and {len(found) - SHOWN_DIFFERENCES} more" * (len(found) > SHOWN_DIFFERENCES)
        return Rejection(Reason.ORDER_CHANGED, "; ".join(found[:SHOWN_DIFFERENCES]) + more)
    here = {line.line_id for line in order.lines}
    lines = lines_of(
        [line for line in form.lines if line.line_id not in here],
        # Lines that are here have their share already, and may have been refunded with it.
        discount_minor=form.discount_minor - before.discount_minor,
        tax_minor=form.tax_minor - before.tax_minor,
    )
    if isinstance(lines, Rejection):
        return lines
    paid = {payment.payment_id for payment in order.payments}
    return replace(
        order,
        total_minor=form.total_minor,
        lines=order.lines + lines,
        payments=order.payments
        + tuple(
            Payment(payment.payment_id, payment.captured_minor, method=payment.method)
            for payment in form.payments
            if payment.payment_id not in paid
        ),
        hold=_hold(order, before, form),
    )


def _hold(order: Order, before: PlacedOrder, form: PlacedOrder) -> str | None:
    is_ours = form.hold is None and order.hold != before.hold
    return order.hold if is_ours or form.hold == before.hold else form.hold


_MAY_GROW: Final = {"lines", "payments", "total_minor", "discount_minor", "tax_minor"}
_DONE: Final = {"shipments", "refunds", "completed", "cancelled"}
_TELLS_THE_FORM: Final = {"upstream_version", "updated_at"}


def _differences(order: Order, before: PlacedOrder, form: PlacedOrder) -> Iterator[str]:
    """Fields in which the newer form differs and may not, never with their values."""
    # Upstream's hold may come and go, and so may the customer's wish to be left alone.
    ignored: Any = dict.fromkeys(_MAY_GROW | _DONE | _TELLS_THE_FORM | {"hold"}, True)
    ignored["customer"] = {"opted_out"}
    here = {line.line_id for line in order.lines}
    yield from _differ("", before.model_dump(exclude=ignored), form.model_dump(exclude=ignored))
    yield from _listed("lines", _by_id(before.lines, "line_id"), _by_id(form.lines, "line_id"))
    yield from _listed(
        "payments", _by_id(before.payments, "payment_id"), _by_id(form.payments, "payment_id")
    )
    adds_lines = any(line.line_id not in here for line in form.lines)
    for name in ("discount_minor", "tax_minor"):
        growth = getattr(form, name) - getattr(before, name)
        if growth < 0 or (growth > 0 and not adds_lines):
            yield f"{name} differs, and no added line accounts for it"
    told, tells, is_done = _told(before, here), _told(form, here), _done(order)
    voided = Counter({f"lines.{line.line_id}.shipped": line.voided for line in order.lines})
    for what in sorted(told.keys() | tells.keys()):
        if tells[what] < told[what] - voided[what]:
            yield f"{what}: was {told[what]}, is {tells[what]} now"
        elif tells[what] > is_done[what] + voided[what]:
            yield f"{what}: upstream has {tells[what]}, here are {is_done[what]}"


def _listed(
    name: str, before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for one_id, one in before.items():
        if one_id in now:
            yield from _differ(f"{name}.{one_id}", one, now[one_id])
        else:
            yield f"{name}.{one_id} is gone"


def _differ(path: str, before: Any, now: Any) -> Iterator[str]:
    """Paths of the innermost fields that differ."""
    match before, now:
        case dict(), dict():
            for name in before:
                yield from _differ(f"{path}.{name}".lstrip("."), before[name], now[name])
        case (list() | tuple(), list() | tuple()) if len(before) == len(now):
            for place, (one, other) in enumerate(zip(before, now, strict=True)):
                yield from _differ(f"{path}.{place}", one, other)
        case _ if before != now:
            yield f"{path} differs"


def _by_id(models: Iterable[Model], key: str) -> dict[str, dict[str, Any]]:
    return {getattr(model, key): model.model_dump(exclude=_DONE) for model in models}


def _told(form: PlacedOrder, here: set[str]) -> Counter[str]:
    """How much the form tells to be done, by the name of the field. What is completed or cancelled
    of a line that it adds comes in with the line.
    """
    told: Counter[str] = Counter()
    for line in form.lines:
        if line.line_id in here:
            told[f"lines.{line.line_id}.completed"] += line.completed
            told[f"lines.{line.line_id}.cancelled"] += line.cancelled
    for shipment in form.shipments:
        for item in shipment.items:
            told[f"lines.{item.line_id}.shipped"] += item.quantity
    for refund in form.refunds:
        told["shipping_refunded_minor"] += refund.shipping_minor
        for item in refund.items:
            told[f"lines.{item.line_id}.refunded"] += item.quantity
        for part in refund.parts:
            told[f"payments.{part.payment_id}.refunded_minor"] += part.amount_minor
    return told


def _done(order: Order) -> Counter[str]:
    """How much is done here, by the same names."""
    done = Counter({"shipping_refunded_minor": order.shipping_refunded_minor})
    for line in order.lines:
        done[f"lines.{line.line_id}.shipped"] = line.shipped
        done[f"lines.{line.line_id}.completed"] = line.completed
        done[f"lines.{line.line_id}.cancelled"] = line.cancelled
        done[f"lines.{line.line_id}.refunded"] = line.refunded_units
    for payment in order.payments:
        done[f"payments.{payment.payment_id}.refunded_minor"] = payment.refunded_minor
    return done
