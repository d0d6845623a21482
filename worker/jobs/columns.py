"""Which column means what, by the names that people use; letter case, accents, spaces and signs do
not count.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from worker.jobs.badfile import BadFile
from worker.orders.value import value

FIELDS: Final = ("order", "line", "sku", "quantity", "carrier", "tracking_number")
REASON: Final = "reason"
"""The column that a reject file has beside its own; sent again, it is replaced."""

NAMES: Final[Mapping[str, frozenset[str]]] = {
    "order": frozenset(
        [
            "order",
            "orderid",
            "ordernumber",
            "orderno",
            "ordernr",
            "ordernum",
            "ordername",
            "orderref",
            "orderreference",
            "name",
            "salesorder",
            "salesordernumber",
            "bestellung",
            "bestellnummer",
            "bestellnr",
            "auftragsnummer",
            "commande",
            "numerodecommande",
            "pedido",
            "numerodepedido",
            "ordine",
            "numeroordine",
        ]
    ),
    "line": frozenset(
        [
            "line",
            "lineid",
            "lineno",
            "linenumber",
            "lineitem",
            "lineitemid",
            "orderline",
            "orderlineid",
            "position",
        ]
    ),
    "sku": frozenset(
        [
            "sku",
            "lineitemsku",
            "itemsku",
            "productsku",
            "variantsku",
            "sellersku",
            "merchantsku",
            "skucode",
            "artikelnummer",
            "articlenumber",
        ]
    ),
    "quantity": frozenset(
        [
            "quantity",
            "qty",
            "lineitemquantity",
            "lineitemqty",
            "itemquantity",
            "itemqty",
            "quantityshipped",
            "qtyshipped",
            "shippedquantity",
            "shippedqty",
            "units",
            "menge",
            "anzahl",
            "quantite",
            "cantidad",
            "quantita",
        ]
    ),
    "carrier": frozenset(
        [
            "carrier",
            "carriercode",
            "carriername",
            "shippingcarrier",
            "shipmentcarrier",
            "trackingcompany",
            "trackingcarrier",
            "shippingcompany",
            "courier",
            "versanddienstleister",
            "paketdienst",
            "transporteur",
            "transportista",
            "corriere",
        ]
    ),
    "tracking_number": frozenset(
        [
            "tracking",
            "trackingnumber",
            "trackingno",
            "trackingnr",
            "trackingnum",
            "trackingid",
            "trackingcode",
            "trackingnumbers",
            "shippingtrackingnumber",
            "trackandtrace",
            "waybill",
            "awb",
            "sendungsnummer",
            "numerodesuivi",
            "suivi",
            "numerodeseguimiento",
            "numerotracking",
        ]
    ),
}
"""By field, names as `folded` leaves them."""

_FIELD_OF: Final = {name: field for field, names in NAMES.items() for name in names}
_ALLOWED: Final = (
    "the first line must name the columns: order, line or sku, quantity, carrier, tracking_number"
)


@value
class Columns:
    """The columns of a file."""

    names: tuple[str, ...]
    """As they stand there."""
    places: Mapping[str, int]
    """Where each field is."""

    @property
    def unused(self) -> list[str]:
        """Columns that mean nothing here."""
        used = set(self.places.values())
        return [
            name
            for place, name in enumerate(self.names)
            if place not in used and name.strip() and folded(name) != REASON
        ]


def folded(name: str) -> str:
    """The name without what people write one way or another."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in decomposed if char.isalnum())


def find(names: Sequence[str], given: Mapping[str, str]) -> Columns:
    """The columns of these names, `given` says which is which where that is not clear.

    Raises:
      BadFile: One is missing, or two mean the same.
    """
    if not any(map(str.strip, names)):
        raise BadFile(f"the file is empty; {_ALLOWED}")
    places = {field: _place(names, field, name) for field, name in given.items()}
    taken = set(places.values())
    for place, name in enumerate(names):
        field = _FIELD_OF.get(folded(name))
        if field is None or field in given or place in taken:
            continue
        if field in places:
            first = names[places[field]]
            if first == name:
                raise BadFile(f"a column is named twice; {_ALLOWED}")
            raise BadFile(
                f"columns {first.strip()[:64]!r} and {name.strip()[:64]!r} both mean {field}: "
                f"say which with --column {field}=NAME"
            )
        places[field] = place
    if missing := {"order", "quantity"} - places.keys():
        raise BadFile(f"there is no column {min(missing)!r}; {_ALLOWED}")
    if not {"line", "sku"} & places.keys():
        raise BadFile(f"there is no column 'line' or 'sku'; {_ALLOWED}")
    return Columns(tuple(names), places)


def chosen(options: Sequence[str]) -> dict[str, str]:
    """What `field=NAME` options say.

    Raises:
      BadFile: One is no such option, or says a field twice.
    """
    found: dict[str, str] = {}
    for option in options:
        field, sign, name = option.partition("=")
        if not sign or field not in FIELDS or not name.strip():
            raise BadFile(f"--column must be like order=NAME, for one of {', '.join(FIELDS)}")
        if field in found:
            raise BadFile(f"--column says {field} twice")
        found[field] = name
    return found


def _place(names: Sequence[str], field: str, wanted: str) -> int:
    found = [place for place, name in enumerate(names) if name == wanted] or [
        place for place, name in enumerate(names) if folded(name) == folded(wanted)
    ]
    if len(found) != 1:
        many = "several columns are" if found else "no column is"
        raise BadFile(f"--column {field}: {many} named {wanted[:64]!r}")
    return found[0]
