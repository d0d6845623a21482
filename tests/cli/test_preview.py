"""`--dry-run` and `orders explain`: what a person sees, what a script reads, and nothing sent."""

from uuid import uuid4

import orjson

from messages import Fee, Payment
from tests.cli.cli_tools import json_of, one, paid_order, rows_of
from tests.factories import order_line, place, placed_order, ship
from tests.work import rig

HEADER = "order,line,quantity,carrier,tracking_number\n"


def order_of_two_payments():
    """A at 3 x 10.00 with 6.00 of tax, shipping 5.00; paid 20.00 and 21.00."""
    return placed_order(
        order_line("A", 3, net_minor=3000, tax_minor=600),
        fees=(Fee(kind="shipping", net_minor=500),),
        payments=(
            Payment(payment_id="P1", captured_minor=2000),
            Payment(payment_id="P2", captured_minor=2100),
        ),
    )


def test_a_refund_per_line_and_per_payment(cli, decided, engine):
    """The exact total, what it is for and where it goes; nothing is sent."""
    decided(place(order=order_of_two_payments()))
    before = rig.dump(engine)

    result = cli("refund", "O-1", "--item", "A=2", "--include-shipping", "--dry-run")

    assert result.stdout.splitlines() == [
        "would be applied: order version 2; refund 29.00 EUR",
        "  line A, 2 units                24.00 EUR  of it tax 4.00 EUR",
        "  shipping fee                    5.00 EUR",
        "  to payment P1                  20.00 EUR",
        "  to payment P2                   9.00 EUR",
        "  total                          29.00 EUR",
    ]
    assert result.stderr == "nothing was sent\n"
    assert result.exit_code == 0
    assert rig.dump(engine) == before


def test_an_amount_beside_a_cancellation(cli, decided):
    """What belongs to no line is its own row; what would follow is told, e-mail or none."""
    decided(place(order=order_of_two_payments()))

    result = cli("cancel", "O-1", "--refund", "1.50", "--no-notify", "--dry-run")

    assert result.stdout.splitlines() == [
        "would be applied: order version 2; A 3; refund 1.50 EUR",
        "  amount                          1.50 EUR",
        "  to payment P1                   1.50 EUR",
        "  total                           1.50 EUR",
        "  e-mail cancelled: none, switched_off",
    ]


def test_a_refusal(cli, placed):
    """What the rules would refuse, with the exit code of a refusal."""
    result = cli("ship", "O-1", "--item", "A=4", "--dry-run")

    assert result.stdout == ("would be rejected: more_than_remains: line A: 4 asked, 3 of 3 left\n")
    assert result.exit_code == 5


def test_an_order_that_is_not_here(cli, runtime):
    """A command that would wait says for what, with the exit code of waiting."""
    result = cli("ship", "nowhere", "--dry-run")

    assert result.stdout == "would wait for order nowhere, which is not here\n"
    assert result.exit_code == 7


def test_what_was_sent_before(cli, placed, decided):
    """The id of a command that is known gives what became of it; another's id is refused."""
    command = ship(order_id="O-1")
    decided(command)
    command_id = str(command.command_id)

    known = cli("ship", "O-1", "--command-id", command_id, "--dry-run")
    reused = cli("complete", "O-1", "--command-id", command_id, "--dry-run")

    assert known.stdout == (
        "was sent before and would change nothing: applied: order version 2; A 3\n"
    )
    assert (known.exit_code, reused.exit_code) == (0, 5)
    assert reused.stdout == "would be refused: this id belongs to another command\n"


def test_undecided_commands_are_told(cli, placed):
    """Commands of the order that nobody has decided yet are counted."""
    cli("ship", "O-1", "--item", "A=1")

    result = cli("ship", "O-1", "--dry-run")

    assert result.stdout.splitlines() == [
        "would be applied: order version 2; A 3",
        "  e-mail shipped",
        "undecided commands of this order come first: 1; not counted in",
    ]


def test_json(cli, placed):
    """The whole outcome, as it would be stored, and what would follow."""
    command_id = str(uuid4())

    found = json_of(
        cli("ship", "O-1", "--label", "--command-id", command_id, "--dry-run", "--json")
    )

    assert found == {
        "dry_run": True,
        "command_id": command_id,
        "kind": "ship",
        "order_id": "O-1",
        "would_be": "applied",
        "outcome": {
            "state": "applied",
            "order_version": 2,
            "changed": True,
            "items": [{"line_id": "A", "quantity": 3}],
            "refund": None,
        },
        "waits_for": None,
        "warnings": [],
        "followups": [
            {"route": "emails", "name": "shipped", "skipped": None},
            {"route": "labels", "name": "label", "skipped": None},
        ],
        "undecided": 0,
        "scheduled_at": None,
    }


def test_bulk(cli, placed, engine):
    """Each row has what would become of it, parcels of one order one after the other; the same
    file sent afterwards comes to just that.
    """
    rows = "O-1,A,2,,T1\nO-1,A,2,,T2\nO-1,A,1,,T3\nO-9,A,1,,T4\nO-1,Z,1,,T5\n"
    before = rig.dump(engine)

    result = cli("bulk", "-", "--dry-run", "--json", stdin=HEADER + rows)

    assert [(row["result"], row["reason"], row["message"]) for row in rows_of(result)] == [
        ("applied", None, None),
        ("rejected", "more_than_remains", "line A: 2 asked, 1 of 3 left"),
        ("applied", None, None),
        ("waiting", None, "for the order, which is not here"),
        ("rejected", "unknown_line", "the order has no line Z"),
    ]
    assert result.stderr.endswith(
        "nothing was sent; it would be: 2 applied; 2 rejected; 1 waiting\n"
    )
    assert result.exit_code == 5
    assert rig.dump(engine) == before


def test_bulk_again(cli, placed, worker):
    """A file that was sent before would change nothing: its rows are what they were then."""
    rows = HEADER + "O-1,A,2,,T1\n"
    cli("bulk", "-", stdin=rows)

    (row,) = rows_of(cli("bulk", "-", "--dry-run", "--json", stdin=rows))

    assert (row["result"], row["is_repeated"]) == ("applied", True)


def file_of(*orders):
    return b"\n".join(
        orjson.dumps(order.model_dump(mode="json") | {"order_id": order_id})
        for order_id, order in orders
    )


def test_import(cli, decided, engine):
    """New, changed, unchanged and refused orders are counted; nothing is written."""
    same, grown, other = (paid_order(order_line("A", 3)) for _ in range(3))
    for order_id, order in (("O-1", same), ("O-2", grown), ("O-3", other)):
        decided(place(order_id=order_id, order=order))
    more = placed_order(*grown.lines, order_line("B", 1), payments=grown.payments)
    stdin = file_of(
        ("O-1", same.model_copy(update={"upstream_version": 2})),
        ("O-2", more),
        ("O-3", paid_order(order_line("A", 2))),
        ("O-4", paid_order()),
    )
    before = rig.dump(engine)

    result = cli("orders", "import", "-", "--dry-run", stdin=stdin)

    refused, counts = result.stdout.splitlines()
    assert refused.startswith("refused: 3: O-3: order_changed: lines.A.quantity differs; ")
    assert counts == "would be: 1 new, 1 changed, 1 unchanged, 1 refused"
    assert result.exit_code == 5
    assert rig.dump(engine) == before


def test_explain(cli, decided, engine):
    """Line by line, parcel by parcel what is possible with how much, and why the rest is not."""
    order = paid_order(order_line("A", 3), order_line("B", 1, item_type="digital"))
    parcel, lost = (ship(items=rig.make.items(A=1)) for _ in range(2))
    decided(place(order=order), parcel, lost, rig.make.void(lost))
    numbers = dict(rows_of_shipments(engine))

    result = cli("orders", "explain", "O-1")

    assert result.stdout.splitlines() == [
        "order O-1, version 4",
        "  yes  ship                    2 units",
        "  yes  complete                1 unit",
        "  yes  cancel                  3 units, up to 3.00 EUR back",
        "  yes  refund an amount        up to 4.00 EUR back",
        "  no   refund the shipping fee no_shipping_fee: the order has no shipping fee",
        "  yes  hold",
        "  no   release                 not_on_hold: the order is not on hold",
        "",
        "line A (physical)",
        "  yes  ship                    2 units",
        (
            "  no   complete                wrong_item_type: "
            "line A (physical) is shipped, not completed"
        ),
        "  yes  cancel                  2 units, up to 2.00 EUR back",
        "  yes  refund                  3 units, up to 3.00 EUR back",
        "",
        "line B (digital)",
        (
            "  no   ship                    wrong_item_type: "
            "line B (digital) is completed, not shipped"
        ),
        "  yes  complete                1 unit",
        "  yes  cancel                  1 unit, up to 1.00 EUR back",
        "  yes  refund                  1 unit, up to 1.00 EUR back",
        "",
        f"shipment {numbers[parcel.command_id]} ({parcel.command_id})",
        "  yes  void                    1 unit",
        "",
        f"shipment {numbers[lost.command_id]} ({lost.command_id})",
        "  no   void                    already_voided: the shipment was voided before",
    ]


def rows_of_shipments(engine):
    """Id and number of every parcel."""
    return map(tuple, rig.rows(engine, "select shipment_id, number from shipments"))


def test_explain_json(cli, placed):
    """The same for a script, with stable codes."""
    found = json_of(cli("orders", "explain", "O-1", "--json"))

    assert (found["order_id"], found["version"], found["hold"]) == ("O-1", 1, None)
    (line,) = found["lines"]
    assert line["actions"][1] == {
        "action": "complete",
        "units": 0,
        "amount_minor": 0,
        "reason": "wrong_item_type",
        "message": "line A (physical) is shipped, not completed",
    }


def test_explain_an_order_that_is_not_here(cli, runtime, engine):
    """It says so, and its exit code is that of what is not found."""
    result = cli("orders", "explain", "nowhere")

    assert (result.stderr, result.exit_code) == ("error: order nowhere is not here\n", 4)
    assert one(engine, "select count(*) from orders") == 0
