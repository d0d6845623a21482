"""Which units of which lines a command takes."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from messages import Cancel, Complete, Item, Reason, Ship
from worker.orders.model import Line, Order, Rejection


def take(
    order: Order,
    command: Ship | Complete | Cancel,
    *,
    nothing: Reason | None,
    fits: Callable[[Line], bool],
    misfit: str,
) -> dict[str, int] | Rejection:
    """Units by line that the command takes, all that remains of fitting lines unless it names
    items; `nothing` is the refusal when that comes to none.
    """
    if not command.items:
        items = {
            line.line_id: line.remaining for line in order.lines if fits(line) and line.remaining
        }
    else:
        chosen = named_lines(order, command.items)
        if isinstance(chosen, Rejection):
            return chosen
        items = {}
        for line, asked in chosen:
            if asked and not fits(line):
                return Rejection(
                    Reason.WRONG_ITEM_TYPE, f"line {line.line_id} ({line.item_type}) {misfit}"
                )
            if asked > line.remaining and command.policy == "strict":
                return Rejection(
                    Reason.MORE_THAN_REMAINS,
                    f"line {line.line_id}: {asked} asked, {line.remaining} of {line.quantity} left",
                )
            if quantity := min(asked, line.remaining):
                items[line.line_id] = quantity
    if not items and nothing is not None:
        return Rejection(nothing, "no unit remains" if not command.items else "no unit is taken")
    return items


def named_lines(order: Order, items: Collection[Item]) -> list[tuple[Line, int]] | Rejection:
    """The lines that are named, in the order's own order, with the units asked for."""
    asked = {item.line_id: item.quantity for item in items}
    if len(asked) < len(items):
        (twice, _), *_ = Counter(item.line_id for item in items).most_common(1)
        return Rejection(Reason.DUPLICATE_LINE, f"line {twice} is named more than once")
    chosen = [(line, asked[line.line_id]) for line in order.lines if line.line_id in asked]
    if len(chosen) < len(asked):
        unknown = min(asked.keys() - {line.line_id for line, _ in chosen})
        return Rejection(Reason.UNKNOWN_LINE, f"the order has no line {unknown}")
    return chosen


def add(lines: tuple[Line, ...], counter: str, items: Mapping[str, int]) -> tuple[Line, ...]:
    """The lines with so many units more on a counter; those without are as they were."""
    return tuple(
        replace(line, **{counter: getattr(line, counter) + items[line.line_id]})
        if line.line_id in items
        else line
        for line in lines
    )
