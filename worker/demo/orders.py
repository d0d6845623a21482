"""Invented orders in Square's format, the same for the same seed.

Nothing here is real: customers are numbered, addresses and mail are at example.com. All orders tie
but the last two, which give an import something to refuse: a draft, and one whose total is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Literal

Json = dict[str, Any]

_START: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
_REFUSED: Final = 2
"""So many of the orders, the last ones, are there to be refused."""


@dataclass(frozen=True, slots=True)
class _Market:
    """Where an order is from: its money, its tax, its language."""

    currency: str
    country: str
    locale: str
    city: str
    postal_code: str
    street: str
    phone: str
    price_factor: tuple[int, int]
    """Minor units for a price of one cent, as a fraction."""
    tax_percent: str | None
    tax_thousandths: int
    tax_type: Literal["INCLUSIVE", "ADDITIVE"]
    gross_holds_tax: bool
    """Square takes included tax out of gross sales in the US, Canada and Japan only."""
    carrier: str


_MARKETS: Final = (
    _Market(
        "EUR", "FR", "fr-FR", "Exempleville", "00017", "rue de l'Exemple", "+33 1 99 00 00 {:02}",
        (1, 1), "20", 200, "INCLUSIVE", gross_holds_tax=True, carrier="Colissimo",
    ),
    _Market(
        "EUR", "IE", "en-IE", "Sampletown", "X00 X000", "Example Street", "+353 20 910 00{:02}",
        (1, 1), "23", 230, "INCLUSIVE", gross_holds_tax=True, carrier="DHL",
    ),
    _Market(
        "USD", "US", "en-US", "Springfield", "00000", "Example Avenue", "+1 202 555 01{:02}",
        (11, 10), "8.5", 85, "ADDITIVE", gross_holds_tax=False, carrier="UPS",
    ),
    _Market(
        "CAD", "CA", "fr-CA", "Exempleville", "X0X 0X0", "rue de l'Exemple", "+1 613 555 01{:02}",
        (3, 2), "5", 50, "ADDITIVE", gross_holds_tax=False, carrier="Canada Post",
    ),
    _Market(
        "JPY", "JP", "en", "Mihon", "000-0000", "Mihon", "+81 3 0000 00{:02}",
        (8, 5), "10", 100, "INCLUSIVE", gross_holds_tax=False, carrier="Yamato",
    ),
    _Market(
        "KWD", "KW", "en", "Sample City", "00000", "Example Road", "+965 0000 00{:02}",
        (33, 10), None, 0, "ADDITIVE", gross_holds_tax=False, carrier="Aramex",
    ),
)  # fmt: skip
_MARKET_WEIGHTS: Final = (30, 10, 30, 10, 12, 8)


@dataclass(frozen=True, slots=True)
class _Product:
    sku: str
    name: str
    variations: tuple[str, ...]
    cents: int
    item_type: str = "physical"


_PRODUCTS: Final = (
    _Product("MUG", "Stoneware mug", ("Blue", "Grey", "Sand"), 1450),
    _Product("TEE", "Cotton T-shirt", ("S", "M", "L", "XL"), 2290),
    _Product("TOTE", "Canvas tote bag", ("Regular",), 1999),
    _Product("LAMP", "Desk lamp", ("Black", "White"), 5900),
    _Product("NOTE", "Dotted notebook", ("A5", "A6"), 875),
    _Product("TEA", "Green tea, 100 g", ("Regular",), 1133),
    _Product("SCARF", "Wool scarf", ("Red", "Navy"), 3999),
    _Product("EBOOK", "Brewing guide (PDF)", ("Regular",), 990, "digital"),
    _Product("SONG", "Album download", ("Regular",), 1199, "digital"),
    _Product("CARD", "Gift card", ("Regular",), 2500, "gift_card"),
    _Product("WRAP", "Gift wrapping", ("Regular",), 350, "service"),
    _Product("CLASS", "Tea tasting, one seat", ("Regular",), 4500, "event"),
)


def demo_orders(count: int = 200, seed: int = 2026) -> list[Json]:
    """So many orders in Square's format. The last two are to be refused, if there are three."""
    random = Random(seed)  # noqa: S311  # for variety, not for secrets
    orders = [_Maker(random, number).order() for number in range(1, count + 1)]
    if count > _REFUSED:
        orders[-2]["state"] = "DRAFT"
        orders[-1]["total_money"]["amount"] += 7
    return orders


class _Maker:
    """Makes one order; every sum is taken over what was rounded, so all of them tie."""

    def __init__(self, random: Random, number: int) -> None:
        self.random = random
        self.number = number
        self.market = random.choices(_MARKETS, _MARKET_WEIGHTS)[0]
        self.created_at = _START + timedelta(minutes=37 * number)
        self.percent_off = random.choices((0, 10, 15, 33), (65, 15, 10, 10))[0]

    def order(self) -> Json:
        products = self.random.sample(_PRODUCTS, self.random.choice((1, 1, 2, 2, 3, 4, 5)))
        lines = [self._line(f"line-{n}", product) for n, product in enumerate(products, start=1)]
        physical = [line for line in lines if _is(line, "physical")]
        charges = [self._shipping()] if physical and self._chance(70) else []
        tip = self._price(200) if self._chance(8) else 0
        total = sum(_minor(one, "total_money") for one in (*lines, *charges)) + tip
        rounding = -(total % 5) if self.market.currency == "CAD" and self._chance(50) else 0
        total += rounding
        paid = total > 0 and self._chance(93)
        order: Json = {
            "id": f"demo-{self.number:04}",
            "location_id": "DEMO",
            "reference_id": f"#{1000 + self.number}",
            "source": {"name": "Demo shop"},
            "state": "OPEN",
            "version": 1,
            "created_at": _time(self.created_at),
            "updated_at": _time(self.created_at + timedelta(minutes=5)),
            "line_items": lines,
            "service_charges": charges,
            "taxes": self._taxes(),
            "discounts": self._discounts(),
            "fulfillments": self._fulfillments(lines, upstream=paid and self._chance(25)),
            "tenders": self._tenders(total) if paid else [],
            "total_money": self._money(total),
            "total_tax_money": self._sum("total_tax_money", *lines, *charges),
            "total_discount_money": self._sum("total_discount_money", *lines),
            "total_service_charge_money": self._sum("total_money", *charges),
            "total_tip_money": self._money(tip),
        }
        if rounding:
            order["rounding_adjustment"] = {
                "name": "Cash rounding",
                "amount_money": self._money(rounding),
            }
        is_told_by_country = physical and self.market.country in {"FR", "IE", "US"}
        if not is_told_by_country or self._chance(60):
            order["metadata"] = {"locale": self.market.locale}
        if paid and self._chance(8):
            self._give_back(order)
        return order

    def _line(self, uid: str, product: _Product) -> Json:
        quantity = self.random.choices((1, 6, 12, 24), (10, 35, 35, 20))[0]
        price = self._price(product.cents)
        is_card = product.item_type == "gift_card"
        discount = 0 if is_card else _percent(price * quantity, self.percent_off * 10)
        tax = 0 if is_card else self._tax(price * quantity - discount)
        is_added = self.market.tax_type == "ADDITIVE"
        line: Json = {
            "uid": uid,
            "name": product.name,
            "variation_name": self.random.choice(product.variations),
            "quantity": str(quantity),
            "item_type": "GIFT_CARD" if is_card else "ITEM",
            "metadata": {"sku": product.sku, "item_type": product.item_type},
            "base_price_money": self._money(price),
            "gross_sales_money": self._money(
                price * quantity - (0 if is_added or self.market.gross_holds_tax else tax)
            ),
            "total_discount_money": self._money(discount),
            "total_tax_money": self._money(tax),
            "total_money": self._money(price * quantity - discount + (tax if is_added else 0)),
        }
        if tax:
            line["applied_taxes"] = [{"tax_uid": "tax", "applied_money": self._money(tax)}]
        if discount:
            line["applied_discounts"] = [
                {"discount_uid": "sale", "applied_money": self._money(discount)}
            ]
        return line

    def _shipping(self) -> Json:
        price = self._price(590)
        tax = self._tax(price)
        is_added = self.market.tax_type == "ADDITIVE"
        return {
            "uid": "shipping",
            "name": "Livraison" if self.market.locale.startswith("fr") else "Standard shipping",
            "calculation_phase": "SUBTOTAL_PHASE",
            "metadata": {"fee": "shipping"},
            "amount_money": self._money(price),
            "applied_money": self._money(price),
            "total_tax_money": self._money(tax),
            "total_money": self._money(price + (tax if is_added else 0)),
        }

    def _taxes(self) -> list[Json]:
        if self.market.tax_percent is None:
            return []
        return [
            {
                "uid": "tax",
                "name": "TVA" if self.market.country == "FR" else "Tax",
                "type": self.market.tax_type,
                "percentage": self.market.tax_percent,
                "scope": "ORDER",
            }
        ]

    def _discounts(self) -> list[Json]:
        if not self.percent_off:
            return []
        return [
            {
                "uid": "sale",
                "name": "Sale",
                "type": "FIXED_PERCENTAGE",
                "percentage": str(self.percent_off),
                "scope": "ORDER",
            }
        ]

    def _tenders(self, total: int) -> list[Json]:
        """One card, or a gift card and a card; the money itself may still be missing."""
        first = total * self.random.randrange(2, 6) // 10 if self._chance(20) else 0
        status = "CAPTURED" if self._chance(96) else "AUTHORIZED"
        card = {
            "id": f"pay-{self.number:04}-card",
            "type": "CARD",
            "created_at": _time(self.created_at + timedelta(minutes=2)),
            "amount_money": self._money(total - first),
            "card_details": {"status": status, "entry_method": "KEYED"},
        }
        if not first:
            return [card]
        gift = {
            "id": f"pay-{self.number:04}-gift",
            "type": "SQUARE_GIFT_CARD",
            "created_at": _time(self.created_at + timedelta(minutes=1)),
            "amount_money": self._money(first),
        }
        return [gift, card]

    def _fulfillments(self, lines: list[Json], *, upstream: bool) -> list[Json]:
        """What is to be done, the first part of it COMPLETED already if done upstream."""
        physical = {line["uid"]: int(line["quantity"]) for line in lines if _is(line, "physical")}
        digital = {line["uid"]: int(line["quantity"]) for line in lines if _is(line, "digital")}
        others = {
            line["uid"]: int(line["quantity"])
            for line in lines
            if line["uid"] not in physical | digital
        }
        found = []
        if physical:
            first = next(iter(physical))
            part = {first: max(1, physical[first] // 2)} if upstream else {}
            rest = {uid: units - part.get(uid, 0) for uid, units in physical.items()}
            if part:
                found.append(self._fulfillment("SHIPMENT", "COMPLETED", part))
            if any(rest.values()):
                found.append(self._fulfillment("SHIPMENT", "PROPOSED", rest))
        state = "COMPLETED" if upstream else "PROPOSED"
        if digital:
            found.append(self._fulfillment("DIGITAL", state, digital))
        if others:
            found.append(self._fulfillment("PICKUP", state, others))
        return [{"uid": f"fulfillment-{n}", **one} for n, one in enumerate(found, start=1)]

    def _fulfillment(self, kind: str, state: str, units: Mapping[str, int]) -> Json:
        details: Json = {"recipient": self._recipient(has_address=kind == "SHIPMENT")}
        if kind == "SHIPMENT" and state == "COMPLETED":
            tracking_number = f"DEMO{self.number:08}"
            details |= {
                "carrier": self.market.carrier,
                "tracking_number": tracking_number,
                "tracking_url": f"https://example.com/track/{tracking_number}",
                "shipped_at": _time(self.created_at + timedelta(hours=26)),
            }
        return {
            "type": kind,
            "state": state,
            "line_item_application": "ENTRY_LIST",
            "entries": [
                {"line_item_uid": uid, "quantity": str(quantity)}
                for uid, quantity in units.items()
                if quantity
            ],
            f"{kind.lower()}_details": details,
        }

    def _recipient(self, *, has_address: bool) -> Json:
        market, name = self.market, f"Customer {self.number}"
        recipient: Json = {
            "display_name": name,
            "email_address": f"customer{self.number}@example.com",
            "phone_number": market.phone.format(self.number % 100),
        }
        if has_address:
            recipient["address"] = {
                "address_line_1": f"{self.number} {market.street}",
                "locality": market.city,
                "postal_code": market.postal_code,
                "country": market.country,
            }
        return recipient

    def _give_back(self, order: Json) -> None:
        """One unit of the first line was returned, and its price paid back on the last payment."""
        line, tender = order["line_items"][0], order["tenders"][-1]
        units = int(line["quantity"])
        # The first unit carries the odd minor unit, as the penny rule has it.
        first = {
            key: self._money(-(-_minor(line, key) // units))
            for key in ("total_money", "total_tax_money", "total_discount_money")
        }
        amount = first["total_money"]["amount"]
        status = tender.get("card_details", {}).get("status", "CAPTURED")
        if status != "CAPTURED" or not 0 < amount <= _minor(tender, "amount_money"):
            return
        order["returns"] = [
            {
                "uid": "return-1",
                "source_order_id": order["id"],
                "return_line_items": [
                    {"source_line_item_uid": line["uid"], "quantity": "1", **first}
                ],
            }
        ]
        order["refunds"] = [
            {
                "id": f"refund-{self.number:04}",
                "tender_id": tender["id"],
                "amount_money": self._money(amount),
                "status": "COMPLETED",
                "reason": "Returned",
                "created_at": _time(self.created_at + timedelta(days=3)),
            }
        ]

    def _chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def _price(self, cents: int) -> int:
        factor, divisor = self.market.price_factor
        return cents * factor // divisor

    def _tax(self, minor: int) -> int:
        rate = self.market.tax_thousandths
        if self.market.tax_type == "ADDITIVE":
            return _percent(minor, rate)
        return (2 * minor * rate + 1000 + rate) // (2 * (1000 + rate))

    def _money(self, minor: int) -> Json:
        return {"amount": minor, "currency": self.market.currency}

    def _sum(self, key: str, *parts: Json) -> Json:
        return self._money(sum(_minor(part, key) for part in parts))


def _is(line: Json, item_type: str) -> bool:
    return bool(line["metadata"]["item_type"] == item_type)


def _minor(part: Json, key: str) -> int:
    return int(part[key]["amount"])


def _percent(minor: int, thousandths: int) -> int:
    """So many thousandths of an amount, halves up."""
    return (2 * minor * thousandths + 1000) // 2000


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
