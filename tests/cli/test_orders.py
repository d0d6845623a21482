"""`orders import | list | show`."""

from datetime import UTC, datetime

import orjson
import pytest

from messages import Address, Customer, Fee, NewCarrier, Payment
from tests.cli.cli_tools import json_of, one, paid_order, rows_of, table_of
from tests.factories import cancel, items, money, order_line, place, placed_order, refund, ship


def file_of(*orders):
    """JSON lines of ours."""
    lines = [
        orjson.dumps({"order_id": order_id, **order.model_dump(mode="json", exclude_defaults=True)})
        for order_id, order in orders
    ]
    return b"\n".join(lines)


def square(order_id, total, line_total):
    return {
        "id": order_id,
        "state": "OPEN",
        "line_items": [
            {
                "uid": "mug",
                "name": "Mug",
                "quantity": "1",
                "total_money": {"amount": line_total, "currency": "USD"},
            }
        ],
        "total_money": {"amount": total, "currency": "USD"},
    }


def test_import_places_orders(cli, worker, engine):
    """Orders of a file are placed; the report counts them and the exit code is 0."""
    stdin = file_of(("O-1", placed_order()), ("O-2", placed_order()))

    result = cli("orders", "import", "-", "--wait", stdin=stdin)

    assert result.stdout == "2 accepted, 0 known, 0 refused\n"
    assert result.exit_code == 0
    assert one(engine, "select count(*) from orders") == 2


def test_import_again_changes_nothing(cli, worker, engine):
    """The same file again is known: no second command, no second order."""
    stdin = file_of(("O-1", placed_order()))
    cli("orders", "import", "-", "--wait", stdin=stdin)

    result = cli("orders", "import", "-", "--wait", "--json", stdin=stdin)

    assert json_of(result) == {"accepted": 0, "known": 1, "waiting": 0, "refused": []}
    assert one(engine, "select count(*) from commands") == 1


def test_import_of_square_orders_refuses_with_the_difference(cli, worker, engine):
    """An order whose total does not tie is refused with the difference; the other one is placed."""
    stdin = orjson.dumps({"orders": [square("S-1", 1000, 1000), square("S-2", 1200, 1000)]})

    result = cli("orders", "import", "-", "--wait", stdin=stdin)

    refused, counts = result.stdout.splitlines()
    assert refused.startswith("refused: 2: S-2: total_mismatch: ")
    assert "200" in refused
    assert counts == "1 accepted, 0 known, 1 refused"
    assert result.exit_code == 5
    assert one(engine, "select string_agg(order_id, ' ') from orders") == "S-1"


def test_import_reports_what_the_worker_refuses(cli, placed, worker):
    """With --wait a changed order that is here already is reported with the rule's reason."""
    stdin = file_of(("O-1", placed_order(order_line("A", 5))))

    result = cli("orders", "import", "-", "--wait", stdin=stdin)

    assert result.stdout == (
        "refused: O-1: order_changed: lines.A.quantity differs; lines.A.net_minor differs;"
        " payments.P1 is gone\n1 accepted, 0 known, 1 refused\n"
    )
    assert result.exit_code == 5


def test_import_without_a_worker(cli, runtime):
    """With --wait and nobody who decides, the exit code is 7."""
    stdin = file_of(("O-1", placed_order()))

    result = cli("orders", "import", "-", "--wait", "--timeout", "0", stdin=stdin)

    assert result.stdout == "1 accepted, 0 known, 0 refused, 1 still waiting\n"
    assert result.exit_code == 7


def test_import_is_one_transaction_of_many_chunks(cli, runtime, engine):
    """2,500 orders, more than one chunk, are accepted in one transaction in the file's order."""
    stdin = file_of(*((f"O-{n}", placed_order()) for n in range(2500)))

    result = cli("orders", "import", "-", stdin=stdin)

    assert result.stdout == "2500 accepted, 0 known, 0 refused\n"
    assert one(engine, "select count(distinct accepted_at) from commands") == 1
    third = "select order_id from commands order by seq offset 2 limit 1"
    assert one(engine, third) == "O-2"


def test_two_imports_at_once(cli, engine):
    """An import that meets another one says so and changes nothing."""
    with engine.begin() as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext('fulfillment import'))")

        result = cli("orders", "import", "-", stdin=file_of(("O-1", placed_order())))

    assert result.stderr == "error: another import is running; try again when it has ended\n"
    assert result.exit_code == 1
    assert one(engine, "select count(*) from commands") == 0


def test_import_of_nonsense(cli, engine):
    """What is no JSON is refused, with the place."""
    result = cli("orders", "import", "-", stdin=b"order,line\n")

    assert result.stdout.startswith("refused: no id: unreadable: ")
    assert result.exit_code == 5


def test_list_filters(cli, decided):
    """`orders list` filters by status and payment status, newest first."""
    decided(
        place(order=paid_order()),
        place(order_id="O-2", order=placed_order()),
        place(order_id="O-3", order=placed_order()),
    )
    decided(ship(order_id="O-3"))

    def listed(*words):
        return {row["order_id"] for row in rows_of(cli("orders", "list", "--json", *words))}

    assert listed() == {"O-1", "O-2", "O-3"}
    assert listed("--status", "fulfilled") == {"O-3"}
    assert listed("--status", "fulfilled", "--status", "unfulfilled") == {"O-1", "O-2", "O-3"}
    assert listed("--payment-status", "unpaid", "--status", "unfulfilled") == {"O-2"}


def test_list_searches(cli, decided):
    """`orders list` searches, and narrows by date, carrier, refund on its way and dead work."""
    customer = Customer(name="Zoé Roy", email="zoe@example.com")
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    decided(
        place(order=paid_order(customer=customer, placed_at=at)),
        place(order_id="O-2", order=placed_order(customer=customer)),
        ship(new_carrier=NewCarrier(code="acme", name="Acme"), tracking_number="1Z 99"),
        refund(amount=money(1)),
    )

    def listed(*words):
        return [row["order_id"] for row in rows_of(cli("orders", "list", "--json", *words))]

    assert listed("--search", "ROY zoe") == ["O-2", "O-1"]
    assert listed("--search", "1z9") == ["O-1"]
    assert listed("--carrier", "acme", "--search", "roy") == ["O-1"]
    assert listed("--refund-pending") == ["O-1"]
    assert listed("--dead") == []
    assert listed("--placed-from", "2026-03-01", "--placed-until", "2026-03-02") == ["O-1"]
    assert listed("--placed-until", "2026-03-01 23:30:00") == []
    assert listed("--placed-until", "2026-03-02T00:30:01+01:00") == ["O-1"]


def test_list_names_the_customer(cli, decided):
    """The table has the customer's name; what a terminal would obey in it is made visible."""
    customer = Customer(name="Zoé \u202e Roy")
    decided(
        place(order=placed_order(customer=customer, placed_at=datetime(2026, 3, 1, tzinfo=UTC)))
    )

    headings, row = table_of(cli("orders", "list"))

    assert headings == [
        "order", "number", "customer", "status", "payment", "total", "version", "placed",
    ]  # fmt: skip
    assert row == [
        "O-1", "Zoé", "\\u202e", "Roy", "unfulfilled", "unpaid", "3.00", "EUR", "1", "2026-03-01",
        "00:00:00",
    ]  # fmt: skip


def test_list_page_by_page(cli, decided):
    """A list that was cut says on stderr how to go on, and that gives the rest."""
    decided(place(order=placed_order()), place(order_id="O-2", order=placed_order()))

    result = cli("orders", "list", "--limit", "1", "--json")
    rest = cli("orders", "list", "--limit", "1", "--json", "--after", "O-2")

    assert [row["order_id"] for row in rows_of(result)] == ["O-2"]
    assert result.stderr == "only the first 1; there are more, see --limit or --after O-2\n"
    assert [row["order_id"] for row in rows_of(rest)] == ["O-1"]
    assert rest.stderr == ""


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--carrier", "nobody"), 4, "carrier nobody is not here; see `fulfillment carriers list`"),
        (("--after", "O-9"), 4, "order O-9 is not here: no page begins after it"),
        (
            ("--placed-from", "yesterday"),
            2,
            "--placed-from: must be like 2026-03-01, 2026-03-01T12:00 or 2026-03-01T12:00+01:00",
        ),
        (
            ("--placed-until", "2026-02-30"),
            2,
            "--placed-until: must be like 2026-03-01, 2026-03-01T12:00 or 2026-03-01T12:00+01:00",
        ),
    ],
)
def test_list_refuses(cli, words, code, sentence):
    """What is not known or no date is refused with a sentence and an exit code."""
    result = cli("orders", "list", *words)

    assert (result.stderr, result.exit_code) == (f"error: {sentence}\n", code)


def test_list_with_an_unknown_status(cli):
    """An unknown status names those that are allowed and exits 2."""
    result = cli("orders", "list", "--status", "lost")

    assert result.stderr == (
        "error: --status: must be one of unfulfilled, partially_fulfilled, fulfilled, cancelled\n"
    )
    assert result.exit_code == 2


@pytest.fixture
def busy(decided):
    """An order with something of everything."""
    order = placed_order(
        order_line("A", 3, name="Mug", sku="MUG"),
        fees=(Fee(kind="shipping", net_minor=500),),
        payments=(Payment(payment_id="P1", captured_minor=800, method="card"),),
        customer=Customer(name="Zoé", email="zoe@example.com", locale="fr-FR"),
        ship_to=Address(name="Zoé", city="Lyon", country="FR"),
        number="N 1",
    )
    decided(place(order=order, issued_by="shop"))
    decided(ship(items=items(A=1), tracking_number="T1", issued_by="depot"))
    decided(cancel(items=items(A=1), refund="full", reason="late"))
    decided(refund(include_shipping=True))
    decided(ship(items=items(A=9)), ship(carrier="nobody", after=None))


def test_show_is_everything(cli, busy):
    """`orders show` has the lines with what is left, fees, payments, shipments, refunds and parts,
    history with who, what and how much, commands that were refused, and follow-ups.
    """
    order = json_of(cli("orders", "show", "O-1", "--json"))

    (line,) = order["lines"]
    assert [line[name] for name in ("quantity", "shipped", "completed", "cancelled", "left")] == [
        3, 1, 0, 1, 1,
    ]  # fmt: skip
    assert [fee["gross_minor"] for fee in order["fees"]] == [500]
    assert [payment["refunded_minor"] for payment in order["payments"]] == [600]
    assert [(one["tracking_number"], one["items"]) for one in order["shipments"]] == [
        ("T1", {"A": 1})
    ]
    assert [
        (one["amount_minor"], [(part["payment_id"], part["state"]) for part in one["parts"]])
        for one in order["refunds"]
    ] == [(100, [("P1", "pending")]), (500, [("P1", "pending")])]
    assert [
        (entry["event"], entry["issued_by"], entry["amount_minor"]) for entry in order["history"]
    ] == [
        ("placed", "shop", 800),
        ("shipped", "depot", None),
        ("cancelled", None, None),
        ("refund_requested", None, 100),
        ("refund_requested", None, 500),
    ]
    assert all(entry["command_id"] for entry in order["history"])
    assert [one["outcome"]["reason"] for one in order["open_commands"]] == [
        "more_than_remains",
        "unknown_carrier",
    ]
    assert [(one["route"], one["name"]) for one in order["followups"]] == [
        ("emails", "shipped"),
        ("emails", "cancelled"),
        ("refunds", "settle"),
        ("refunds", "settle"),
    ]


def test_show_for_a_person(cli, busy):
    """The same as text: amounts with their currency, parts under their names."""
    lines = table_of(cli("orders", "show", "O-1"))

    assert ["order", "O-1", "(N", "1)"] in lines
    assert ["customer", "Zoé,", "zoe@example.com,", "fr-FR"] in lines
    assert ["ship", "to", "Zoé,", "Lyon,", "FR"] in lines
    assert ["A", "Mug", "MUG", "physical", "3", "1", "0", "1", "1", "1", "3.00", "EUR"] in lines
    assert ["shipping", "5.00", "EUR"] in lines
    assert ["P1", "card", "8.00", "EUR", "6.00", "EUR", "0.00", "EUR"] in lines
    assert any(line[2:4] == ["shipped", "depot"] for line in lines)


def test_show_where_parcels_can_be_followed(cli, decided):
    """A parcel's own page is shown, else its carrier's page for its number; none where the parcel
    has no number, or its carrier no page.
    """
    acme = NewCarrier(code="acme", name="Acme", tracking_url="https://acme.example/{number}")
    other = NewCarrier(code="other", name="Other")
    decided(place(order=placed_order(order_line("A", 5))))
    for carrier, parcel in [
        (acme, {"tracking_number": "1/A"}),
        (acme, {"tracking_number": "2", "tracking_url": "https://own.example/2"}),
        (acme, {}),
        (other, {"tracking_number": "4"}),
    ]:
        decided(ship(items=items(A=1), new_carrier=carrier, **parcel))

    order = json_of(cli("orders", "show", "O-1", "--json"))
    lines = table_of(cli("orders", "show", "O-1"))

    pages = {one["tracking_number"]: one["tracking_page"] for one in order["shipments"]}
    assert pages == {
        "1/A": "https://acme.example/1%2FA",
        "2": "https://own.example/2",
        None: None,
        "4": None,
    }
    assert any({"1/A", pages["1/A"]} <= {*line} for line in lines)


def test_show_of_an_unknown_order(cli, decided):
    """An order that is not here exits 4 and says how many commands wait for it."""
    decided(ship(order_id="O-9"))

    result = cli("orders", "show", "O-9")

    assert result.stderr == "error: order O-9 is not here; 1 commands wait for it\n"
    assert result.exit_code == 4
