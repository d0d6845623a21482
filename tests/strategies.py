"""Hypothesis strategies: any valid command, and orders that were paid."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from messages import (
    Address,
    Cancel,
    Command,
    Complete,
    Customer,
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Hold,
    Item,
    Money,
    NewCarrier,
    OrderLine,
    Payment,
    Place,
    PlacedOrder,
    Refund,
    Release,
    Ship,
    UpdateTracking,
    Void,
)
from tests.factories import ORDER_ID, order, payments
from worker.orders.model import Line, Order

ITEM_TYPES = ["physical", "digital", "service", "event", "gift_card", "donation", "membership"]

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,9}", fullmatch=True)
codes = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True)
texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20
).filter(str.strip)
urls = st.from_regex(r"https?://[!-~]{1,30}", fullmatch=True)
quantities = st.integers(0, 1_000_000)
amounts = st.integers(0, 10**12)
moments = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001  # the strategy adds the zone
    datetime(2999, 12, 30),  # noqa: DTZ001  # the strategy adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
)
currencies = st.sampled_from(["EUR", "JPY", "KWD"])
moneys = st.builds(Money, amount_minor=amounts, currency=currencies)


def listed(
    one: st.SearchStrategy[object], max_size: int = 3, min_size: int = 0
) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(one, min_size=min_size, max_size=max_size).map(tuple)


def maybe(one: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | one


item_lists = listed(st.builds(Item, line_id=ids, quantity=quantities))
addresses = st.builds(
    Address,
    name=maybe(texts),
    lines=listed(texts, 5),
    city=maybe(texts),
    postal_code=maybe(texts),
    country=maybe(st.sampled_from(["CA", "FR"])),
)
placed_orders = st.builds(
    PlacedOrder,
    currency=currencies,
    total_minor=amounts,
    lines=listed(
        st.builds(
            OrderLine,
            line_id=ids,
            name=texts,
            sku=maybe(texts),
            item_type=st.sampled_from(ITEM_TYPES),
            quantity=st.integers(1, 1_000_000),
            net_minor=amounts,
            discount_minor=amounts,
            tax_minor=amounts,
            completed=quantities,
            cancelled=quantities,
        ),
        min_size=1,
    ),
    fees=listed(
        st.builds(
            Fee,
            kind=st.sampled_from(["shipping", "service", "tip", "rounding"]),
            net_minor=st.integers(-(10**12), 10**12),
            tax_minor=amounts,
        )
    ),
    payments=listed(
        st.builds(Payment, payment_id=ids, captured_minor=amounts, captured_at=maybe(moments))
    ),
    discount_minor=amounts,
    tax_minor=amounts,
    number=maybe(texts),
    placed_at=maybe(moments),
    customer=st.builds(
        Customer,
        name=maybe(texts),
        email=maybe(texts),
        locale=maybe(st.sampled_from(["fr", "fr-CA", "zh_Hant_TW"])),
        opted_out=st.booleans(),
    ),
    billing_address=maybe(addresses),
    ship_to=maybe(addresses),
    hold=maybe(texts),
    shipments=listed(st.builds(DoneShipment, items=item_lists, shipped_at=maybe(moments))),
    refunds=listed(
        st.builds(
            DoneRefund,
            parts=listed(
                st.builds(DoneRefundPart, payment_id=ids, amount_minor=st.integers(1, 10**12)),
                min_size=1,
            ),
            items=listed(
                st.builds(
                    DoneRefundItem,
                    line_id=ids,
                    quantity=st.integers(1, 1_000_000),
                    gross_minor=amounts,
                )
            ),
            shipping_minor=amounts,
        ),
        max_size=2,
    ),
    upstream_version=maybe(st.integers(0, 2**63 - 1)),
    updated_at=maybe(moments),
)

_envelope = {
    "command_id": st.uuids(),
    "order_id": ids,
    "issued_at": maybe(moments),
    "issued_by": maybe(texts),
    "expected_version": maybe(st.integers(0, 2**31 - 1)),
    "after": maybe(st.uuids()),
    "not_before": maybe(moments),
    "notify_customer": st.booleans(),
    "policy": st.sampled_from(["strict", "clamp"]),
}
_ship = _envelope | {
    "items": item_lists,
    "tracking_number": maybe(texts),
    "tracking_url": maybe(urls),
    "service": maybe(texts),
    "label": st.sampled_from(["none", "generate"]),
    "weight_g": maybe(st.integers(1, 1_000_000)),
}
places = st.builds(Place, **_envelope, order=placed_orders)
ships = st.builds(Ship, **_ship, carrier=maybe(codes)) | st.builds(
    Ship,
    **_ship,
    new_carrier=st.builds(NewCarrier, code=codes, name=texts, tracking_url=maybe(urls)),
)
completes = st.builds(Complete, **_envelope, items=item_lists)
cancels = st.builds(
    Cancel,
    **_envelope,
    items=item_lists,
    refund=st.sampled_from(["none", "full"]) | moneys,
    include_shipping=st.booleans(),
    reason=maybe(texts),
)
refunds = st.builds(
    Refund, **_envelope, amount=maybe(moneys), include_shipping=st.booleans(), reason=maybe(texts)
) | st.builds(Refund, **_envelope, items=item_lists, include_shipping=st.booleans())

voids = st.builds(
    Void, **_envelope, shipment_id=st.uuids(), force=st.booleans(), reason=maybe(texts)
)
trackings = st.builds(
    UpdateTracking,
    **_envelope,
    shipment_id=st.uuids(),
    carrier=codes,
    tracking_number=maybe(texts),
    tracking_url=maybe(urls),
) | st.builds(UpdateTracking, **_envelope, shipment_id=st.uuids(), tracking_url=urls)
holds = st.builds(Hold, **_envelope, reason=texts)
releases = st.builds(Release, **_envelope)

commands: st.SearchStrategy[Command] = st.one_of(
    places, ships, completes, cancels, refunds, voids, trackings, holds, releases
)
"""Any valid command of any kind; what it says need not fit any order."""


@st.composite
def paid_orders(draw: st.DrawFn, *, min_unit_minor: int = 0) -> Order:
    """An order of lines A, B and C at most, some digital, with awkward prices: paid in one to
    three payments, perhaps not in full.
    """
    lines = []
    for line_id in "ABC"[: draw(st.integers(1, 3))]:
        quantity = draw(st.integers(1, 7))
        gross_minor = draw(st.integers(min_unit_minor * quantity, 1_000))
        lines.append(
            Line(
                line_id=line_id,
                item_type=draw(st.sampled_from(["physical", "digital"])),
                quantity=quantity,
                gross_minor=gross_minor,
                tax_minor=draw(st.integers(0, gross_minor)),
                discount_minor=draw(st.integers(0, 500)),
            )
        )
    shipping_minor = draw(st.sampled_from([0, 7, 499]))
    total_minor = sum(one.gross_minor for one in lines) + shipping_minor
    captured_minor = draw(
        st.sampled_from([total_minor, total_minor, total_minor, total_minor // 2, 0])
    )
    first = draw(st.integers(0, captured_minor))
    second = draw(st.integers(0, captured_minor - first))
    return order(
        *lines,
        shipping_minor=shipping_minor,
        payments=payments(first, second, captured_minor - first - second),
        hold=draw(st.sampled_from([None] * 15 + ["fraud check"])),
    )


_units = st.dictionaries(
    # Mostly the one line that every order has.
    st.sampled_from(["A", "A", "A", "B", "C"]),
    st.integers(0, 4),
    max_size=2,
).map(lambda found: tuple(Item(line_id=k, quantity=v) for k, v in found.items()))
_euros = st.builds(Money, amount_minor=st.integers(0, 600), currency=st.just("EUR"))
_small = {
    "command_id": st.uuids(),
    "order_id": st.just(ORDER_ID),
    "policy": st.sampled_from(["strict", "clamp"]),
    "expected_version": st.sampled_from([None] * 18 + [1, 2]),
}
order_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Ship,
        **_small,
        items=_units,
        carrier=st.sampled_from([None, "dhl", None, "unheard-of"]),
        label=st.sampled_from(["none", "generate"]),
    ),
    st.builds(
        Ship, **_small, items=_units, new_carrier=st.just(NewCarrier(code="unheard-of", name="U"))
    ),
    st.builds(Complete, **_small, items=_units),
    st.builds(
        Cancel,
        **_small,
        items=_units,
        refund=st.sampled_from(["none", "full", "full"]) | _euros,
        include_shipping=st.sampled_from([False, False, True]),
    ),
    st.builds(Refund, **_small, amount=_euros, include_shipping=st.booleans()),
    st.builds(
        Refund, **_small, items=_units, include_shipping=st.sampled_from([False, False, True])
    ),
    # Few holds, or nothing would leave.
    st.sampled_from([True] * 3 + [False]).flatmap(
        lambda is_release: (
            st.builds(Release, **_small)
            if is_release
            else st.builds(Hold, **_small, reason=st.sampled_from(["fraud check", "recall"]))
        )
    ),
)
"""Commands on the orders of `paid_orders`: about half of them are refused."""
