"""Columns, by the names that people use."""

import pytest

from worker.jobs.badfile import BadFile
from worker.jobs.columns import FIELDS, chosen, find

HEADERS = {
    "ours": "order,line,quantity,carrier,tracking_number",
    "capitals and spaces": "Order ID,Line,QTY,Shipping Carrier,Tracking #",
    "a shop's export": "Name,Lineitem sku,Lineitem quantity,Tracking Company,Tracking Number",
    "underscores": "order_number,sku,qty,carrier,tracking_no",
    "hyphens and dots": "Order-No.,Line-ID,Qty.,Carrier-Code,Tracking-Nr.",
    "French, accents": "Numéro de commande,SKU,Quantité,Transporteur,Numéro de suivi",
    "French, decomposed": "Nume\u0301ro de commande,SKU,Quantite\u0301,Transporteur,Suivi",
    "German": "Bestellnummer,Artikelnummer,Menge,Versanddienstleister,Sendungsnummer",
    "Spanish": "Pedido,SKU,Cantidad,Transportista,Número de seguimiento",
    "wide letters": "\uff2frder,SKU,Qty,Carrier,Tracking",
}


@pytest.mark.parametrize("name", HEADERS)
def test_names_of_columns(name):
    """Letter case, accents, spaces and signs do not count: each header says the five fields."""
    columns = find(HEADERS[name].split(","), {})

    assert list(columns.places.values()) == [0, 1, 2, 3, 4]
    assert columns.places.keys() <= set(FIELDS)
    assert columns.unused == []


def test_other_columns_are_kept_aside():
    """What means nothing here is named, but for a reject file's own reason."""
    columns = find(["Note", "order", "line", "qty", "Reason", ""], {})

    assert columns.unused == ["Note"]


def test_two_columns_of_one_meaning():
    """Two that mean the same are refused, and the sentence says how to choose; a choice settles it,
    and the other one means nothing.
    """
    names = ["Order ID", "Name", "line", "qty"]

    with pytest.raises(BadFile) as refused:
        find(names, {})

    assert str(refused.value) == (
        "columns 'Order ID' and 'Name' both mean order: say which with --column order=NAME"
    )
    columns = find(names, chosen(["order=name"]))
    assert (columns.places["order"], columns.unused) == (1, ["Order ID"])


def test_a_column_by_option():
    """A column of any name can be said to be a field; one that is not there is refused."""
    columns = find(["Belegnr", "line", "qty"], {"order": "belegnr"})

    assert columns.places == {"order": 0, "line": 1, "quantity": 2}
    with pytest.raises(BadFile, match=r"^--column order: no column is named 'x'$"):
        find(["order", "line", "qty"], {"order": "x"})
    with pytest.raises(BadFile, match=r"^--column order: several columns are named 'A'$"):
        find(["A", "A", "line", "qty"], {"order": "A"})


@pytest.mark.parametrize("option", ["order", "colour=x", "order="])
def test_an_option_that_is_none(option):
    """The sentence says what one looks like."""
    with pytest.raises(
        BadFile, match=r"^--column must be like order=NAME, for one of order, line,"
    ):
        chosen([option])


def test_an_option_twice():
    """A field is said once."""
    with pytest.raises(BadFile, match=r"^--column says order twice$"):
        chosen(["order=a", "order=b"])
