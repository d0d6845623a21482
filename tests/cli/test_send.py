"""`ship`, `complete`, `cancel`, `refund`: what a person sees, and the exit code a script reads."""

from uuid import UUID, uuid4

import redis

from messages.wire import COMMANDS
from tests.cli.cli_tools import json_of, one, paid_order, write
from tests.factories import order_line, place
from worker.store import lists, reading


def body_of(engine, command_id):
    with engine.connect() as connection:
        return reading.command(connection, command_id)["body"]


def test_without_wait_the_receipt_is_the_result(cli, placed):
    """A command that is accepted prints its receipt with its id and exits 0."""
    command_id = uuid4()

    result = cli("ship", "O-1", "--command-id", str(command_id))

    assert result.stdout == f"accepted: ship O-1, command {command_id}\n"
    assert result.exit_code == 0


def test_a_fresh_id_is_printed(cli, placed, engine):
    """Without --command-id a new id is made, and the receipt names the one that is stored."""
    receipt = json_of(cli("ship", "O-1", "--json"))

    assert receipt["answer"] == "accepted"
    assert body_of(engine, UUID(receipt["command_id"]))["kind"] == "ship"


def test_wait_applied(cli, placed, worker):
    """--wait prints what was done and exits 0 once the command is applied."""
    result = cli("ship", "O-1", "--item", "A=2", "--wait")

    assert result.stdout == "applied: order version 2; A 2\n"
    assert result.exit_code == 0


def test_wait_rejected(cli, placed, worker):
    """--wait prints the reason and exits 5 once the command is rejected."""
    result = cli("ship", "O-1", "--item", "A=4", "--wait")

    assert result.stdout == "rejected: more_than_remains: line A: 4 asked, 3 of 3 left\n"
    assert result.exit_code == 5


def test_wait_dead(cli, placed, engine):
    """--wait says where to look and exits 6 when the command is dead."""
    command_id = uuid4()
    cli("ship", "O-1", "--command-id", str(command_id))
    poison = "update commands set state = 'dead', dead_reason = 'poison' where id = %(id)s"
    write(engine, poison, id=command_id)

    result = cli("ship", "O-1", "--command-id", str(command_id), "--wait")

    assert result.stdout == "dead: poison\n"
    assert result.stderr == f"look: fulfillment dead show {command_id}\n"
    assert result.exit_code == 6


def test_wait_still_waiting(cli, runtime, worker):
    """--wait says what the command waits for and exits 7 when the time is over."""
    receipt = json_of(cli("ship", "O-9", "--json"))
    result = cli("ship", "O-9", "--command-id", receipt["command_id"], "--wait", "--timeout", "0.5")

    assert result.stdout.startswith("still waiting for order O-9, which is not here; next look ")
    assert result.exit_code == 7


def test_the_same_command_again(cli, placed, worker):
    """A command sent again answers with the stored outcome, and changes nothing."""
    words = ("ship", "O-1", "--item", "A=1", "--command-id", str(uuid4()), "--wait")

    first, again = cli(*words), cli(*words)

    assert first.stdout == again.stdout == "applied: order version 2; A 1\n"
    assert again.exit_code == 0


def test_another_command_with_the_same_id(cli, placed):
    """An id that belongs to another command is refused with 5, also without --wait."""
    command_id = str(uuid4())
    cli("ship", "O-1", "--item", "A=1", "--command-id", command_id)

    result = cli("ship", "O-1", "--item", "A=2", "--command-id", command_id)

    assert result.stdout == (
        f"refused: ship O-1, command {command_id}: this id belongs to another command; "
        "nothing was changed\n"
    )
    assert result.exit_code == 5


def test_every_field_of_ship(cli, placed, engine):
    """Each option of `ship` reaches the stored body; the time of issue is added."""
    command_id, after = uuid4(), uuid4()

    cli(
        "ship", "O-1", "--item", "B=1", "--item", "A=2", "--new-carrier", "dhl=DHL",
        "--new-carrier-url", "https://dhl.example/{number}", "--tracking-number", "T1",
        "--tracking-url", "https://dhl.example/T1", "--service", "Express", "--label",
        "--clamp", "--no-notify", "--expected-version", "1", "--after", str(after),
        "--command-id", str(command_id), "--issued-by", "Ann",
    )  # fmt: skip

    body = body_of(engine, command_id)
    assert body.pop("issued_at")
    assert body == {
        "kind": "ship",
        "command_id": str(command_id),
        "order_id": "O-1",
        "items": [{"line_id": "A", "quantity": 2}, {"line_id": "B", "quantity": 1}],
        "new_carrier": {
            "code": "dhl",
            "name": "DHL",
            "tracking_url": "https://dhl.example/{number}",
        },
        "tracking_number": "T1",
        "tracking_url": "https://dhl.example/T1",
        "service": "Express",
        "label": "generate",
        "policy": "clamp",
        "notify_customer": False,
        "expected_version": 1,
        "after": str(after),
        "issued_by": "Ann",
    }


def test_complete(cli, decided, worker):
    """`complete` completes the lines that are not physical."""
    decided(place(order=paid_order(order_line("D", 2, item_type="digital"))))

    result = cli("complete", "O-1", "--wait")

    assert result.stdout == "applied: order version 2; D 2\n"


def test_cancel_with_a_full_refund(cli, placed, worker):
    """`cancel --refund full` pays back the price of what is cancelled."""
    result = cli("cancel", "O-1", "--item", "A=1", "--refund", "full", "--wait")

    assert result.stdout == "applied: order version 2; A 1; refund 1.00 EUR\n"


def test_cancel_with_an_amount(cli, placed, engine):
    """`cancel --refund AMOUNT` stores the amount in minor units, with the reason."""
    command_id = uuid4()

    cli("cancel", "O-1", "--refund", "0.5", "--reason", "late", "--include-shipping",
        "--command-id", str(command_id))  # fmt: skip

    body = body_of(engine, command_id)
    assert body["refund"] == {"amount_minor": 50, "currency": "EUR"}
    assert (body["reason"], body["include_shipping"]) == ("late", True)


def test_refund_in_the_orders_currency(cli, placed, worker):
    """An amount without a currency is in the order's."""
    result = cli("refund", "O-1", "--amount", "1.25", "--wait")

    assert result.stdout == "applied: order version 2; refund 1.25 EUR\n"


def test_refund_in_a_named_currency(cli, placed, worker):
    """A currency that is named is taken as it is, so that the rules refuse another one."""
    result = cli("refund", "O-1", "--amount", "125 jpy", "--wait")

    assert result.stdout == "rejected: other_currency: the order is in EUR, the amount in JPY\n"
    assert result.exit_code == 5


def test_refund_of_an_unknown_order_needs_a_currency(cli, engine):
    """Without the order its currency is unknown: 4, and nothing is sent."""
    result = cli("refund", "O-9", "--amount", "1.25")

    assert result.stderr == (
        "error: order O-9 is not here; name the currency to send it all the same: "
        "--amount '12.50 EUR'\n"
    )
    assert result.exit_code == 4
    with engine.connect() as connection:
        assert lists.commands(connection, limit=1) == []


BAD_VALUES = [
    (("ship", "O-1", "--item", "A"), "--item A: must be LINE=QUANTITY, such as A=2"),
    (("ship", "O-1", "--item", "A=-1"), "--item A=-1: must be LINE=QUANTITY, such as A=2"),
    (
        ("ship", "O-1", "--item", "A=1000001"),
        "items.0.quantity: Input should be less than or equal to 1000000",
    ),
    (
        ("ship", "O-1", "--carrier", "x", "--new-carrier", "y=Y"),
        "ship: give carrier or new_carrier, not both",
    ),
    (
        ("ship", "O-1", "--new-carrier", "y"),
        "--new-carrier: must be CODE=NAME, such as dhl=DHL",
    ),
    (("refund", "O-1"), "give --amount, --item or --include-shipping"),
    (
        ("refund", "O-1", "--amount", "1.255"),
        "--amount: 1.255 has more decimals than EUR allows (2)",
    ),
    *(
        (("refund", "O-1", f"--amount={text}"), "--amount: must be like '12.50' or '12.50 EUR'")
        for text in (
            "much",
            "1 2 3",
            "1_000",
            "1e2",
            "+1",
            "-1",
            "\u0663",
            "1.",
            ".5",
            "1,50",
            "Infinity",
            "",
            "1 \u20ac",
            "9" * 17,
            "1 EURO",
            "0x1",
            "1\n2",
            "1e1000000",
        )
    ),
    (("refund", "O-1", "--amount", "1 ABC"), "--amount: 'ABC' is no ISO 4217 currency"),
    (
        ("cancel", "O-1", "--refund", "half"),
        "--refund: must be none, full, or like '12.50' or '12.50 EUR'",
    ),
    (
        ("ship", "no spaces"),
        "order_id: String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'",
    ),
    (
        ("ship", "O-1", "--tracking-number", "T\x1b[31m"),
        "tracking_number: must not hold control characters, line breaks or surrogates",
    ),
]


def test_a_bad_value_is_one_sentence(cli, placed, engine):
    """A bad value says the field and what is allowed, exits 2, and nothing is sent."""
    results = [(cli(*words), sentence) for words, sentence in BAD_VALUES]

    for result, sentence in results:
        assert result.stderr == f"error: {sentence}\n"
        assert (result.stdout, result.exit_code) == ("", 2)
    assert one(engine, "select string_agg(kind, ' ') from commands") == "place"


def test_a_worker_is_hinted(cli, placed, runtime, redis_url):
    """An accepted command leaves a hint for the workers; one sent again does not."""
    command_id = str(uuid4())
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        cli("ship", "O-1", "--command-id", command_id)
        assert client.llen(f"fulfillment:{COMMANDS}") == 1
        cli("ship", "O-1", "--command-id", command_id)
        assert client.llen(f"fulfillment:{COMMANDS}") == 1
