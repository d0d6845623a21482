"""What the command line says of hostile texts, and to them: sentences, and nothing that a terminal
would obey.
"""

import json
import unicodedata

import pytest

from tests.cli.cli_tools import invoke, json_of
from tests.hostile import bodies, corpus
from tests.work import rig
from worker.work.accept import record_stray

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def obeyed(text):
    """What a terminal would act on, or turn around."""
    return {char for char in text if unicodedata.category(char) in OBEYED} - {"\n"}


NOT_UTF8 = [
    ("orders", "show", "\udcff"),
    ("orders", "explain", "\udcff"),
    ("orders", "list", "--search", "\udcff"),
    ("orders", "list", "--after", "\udcff"),
    ("commands", "list", "--order", "\udcff"),
    ("audit", "--order", "\udcff"),
    ("dead", "list", "--reason", "\udcff"),
    ("strays", "list", "--reason", "\udcff"),
    ("labels", "print", "--order", "\udcff"),
    ("labels", "list", "--order", "\udcff"),
    ("refunds", "list", "--order", "\udcff"),
    ("emails", "preview", "\udcff", "shipped"),
    ("ship", "\udcff"),
    ("ship", "O-1", "--tracking-number", "\udcff"),
    ("cancel", "O-1", "--reason", "\udcff"),
    ("refund", "\udcff", "--amount", "5"),
    ("void", "\udcff"),
]


@pytest.mark.parametrize("words", NOT_UTF8, ids=" ".join)
def test_arguments_that_are_not_utf8(cli, engine, words):
    """A sentence, an exit code, no traceback, and nothing is sent."""
    result = cli(*words)

    assert result.exit_code in {0, 2, 4}
    assert result.stderr
    assert rig.count(engine, "commands") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("orders", "show", "\x1b[31m"),
        ("orders", "list", "--after", "\x1b[31m"),
        ("emails", "preview", "\x1b[31m", "shipped"),
        ("void", "\x1b[31m"),
        ("ship", "O-1", "--item", "\x1b[31m"),
        ("refund", "O-1", "--amount", "\x1b[31m EUR"),
        ("strays", "show", "\x1b[31m"),
        ("\x1b[31m",),
    ],
    ids=ascii,
)
def test_arguments_are_not_obeyed(cli, words):
    """An id that somebody pasted is repeated with what a terminal obeys made visible."""
    result = cli(*words)

    assert result.exit_code in {2, 4}
    assert obeyed(result.output) == set()


MANY = "9" * 30
LIKE = "must be like 2026-03-01, 2026-03-01T12:00 or 2026-03-01T12:00+01:00"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("strays", "show", MANY), 4, f"error: stray {MANY} is not here\n"),
        (("strays", "show", "9223372036854775808"), 4, "error: stray 9223372036854775808 is not"),
        (("strays", "show", "9223372036854775807"), 4, "error: stray 9223372036854775807 is not"),
        (("strays", "show", "--", f"-{MANY}"), 4, f"error: stray -{MANY} is not here\n"),
        (("strays", "replay", "7", MANY), 4, f"stray 7 is not here\nstray {MANY} is not here\n"),
        (("strays", "discard", MANY, "--because", "x"), 4, f"stray {MANY} is not here\n"),
        (("labels", "not-bought", MANY), 4, f"error: no such shipment: {MANY}\n"),
        (("void", MANY), 4, f"error: no such shipment: {MANY}\n"),
        (("orders", "list", "--after", MANY), 4, f"error: order {MANY} is not here"),
        (("orders", "list", "--placed-from", "2026-03-01T12:00+16:00"), 0, ""),
        (
            ("orders", "list", "--placed-from", "0001-01-01T00:00+01:00"),
            2,
            f"error: --placed-from: {LIKE}\n",
        ),
        (("ship", "O-1", "--item", f"A={MANY}"), 2, "error: items.0.quantity: "),
    ],
    ids=lambda one: " ".join(one)[:60] if isinstance(one, tuple) else "",
)
def test_numbers_beyond_any(cli, engine, words, code, sentence):
    """One that PostgreSQL cannot hold is nobody's number: the usual sentence, nothing is sent."""
    result = cli(*words)

    assert result.exit_code == code, result.output
    assert result.stderr.startswith(sentence)
    assert rig.count(engine, "commands") == 0


@pytest.mark.parametrize(
    "option",
    [
        ("--weight", MANY),
        ("--weight", "-1"),
        ("--expected-version", MANY),
        ("--expected-version", "-1"),
        ("--timeout", "nan"),
    ],
)
def test_options_beyond_any(cli, engine, option):
    """The option is named; nothing is sent."""
    result = cli("ship", "O-1", *option)

    assert result.exit_code == 2
    assert f"Invalid value for '{option[0]}'" in result.stderr
    assert rig.count(engine, "commands") == 0


@pytest.mark.parametrize(
    "inside",
    ["1" + "0" * 5_000, "1e131000", "[" * 900 + "]" * 900, "[" * 5_000 + "]" * 5_000],
    ids=["5,000 digits", "1e131000", "900 brackets", "5,000 brackets"],
)
def test_a_body_that_python_cannot_hold_is_shown(cli, engine, drain, inside):
    """PostgreSQL takes it through the door of SQL; it is rejected, and shown as it is."""
    command_id = "019a0000-0000-7000-8000-000000000001"
    head = json.dumps({"kind": "ship", "command_id": command_id, "order_id": "O-1"})[:-1]
    raw = f'[{head}, "items": {inside}}}]'
    rig.rows(engine, "select * from accept_commands(%(raw)s::jsonb)", raw=raw)
    drain()

    shown = cli("commands", "show", command_id, "--json")

    assert json_of(shown)["outcome"]["reason"] == "invalid"
    assert "items" in json_of(shown)["body"]
    assert cli("commands", "show", command_id).exit_code == 0


@pytest.mark.parametrize("name", ["CSI", "escape", "delete"])
def test_a_stray_is_not_obeyed(cli, engine, name):
    """Nor by a terminal that reads eight bits; the JSON says the same text in its own escapes."""
    text = corpus.REFUSED[name].text
    with engine.begin() as connection:
        record_stray(connection, "invalid", text, problem=text)

    whole = cli("strays", "show", "1", "--json")

    assert obeyed(whole.stdout) == set()
    assert json_of(whole)["body"] == text
    for words in (("show", "1"), ("list",), ("list", "--groups"), ("replay", "1", "--dry-run")):
        assert obeyed(cli("strays", *words).output) == set()


def test_what_was_stored_is_not_obeyed(cli, engine, drain):
    """Every text in every field, on every list and in every view: no letter that turns others
    around, or hides, reaches the terminal; the JSON of an order has them exactly.
    """
    texts = list(corpus.STORED.values())
    with engine.begin() as connection:
        sent = [body for n, one in enumerate(texts) for body in bodies.of(n, one.text)]
        connection.exec_driver_sql(
            "select count(*) from accept_commands(%(sent)s::jsonb)", {"sent": json.dumps(sent)}
        )
    drain()

    for words in (
        ("orders", "list"), ("commands", "list"), ("refunds", "list"), ("carriers", "list"),
    ):  # fmt: skip
        assert obeyed(cli(*words).output) == set(), words
    for number, one in enumerate(texts):
        for words in (("orders", "show"), ("orders", "explain"), ("labels", "list", "--order")):
            assert obeyed(cli(*words, f"H-{number}").output) == set(), (words, one.why)
        shown = json_of(cli("orders", "show", f"H-{number}", "--json"))
        assert shown["customer_name"] == shown["lines"][0]["name"] == one.stored
        assert shown["shipments"][0]["tracking_number"] == one.stored


@pytest.mark.parametrize(
    "environment",
    [
        {"FULFILLMENT_REFUND_PROVIDERS": "{"},
        {"FULFILLMENT_REFUND_PROVIDERS": "[" * 100_000},
        {"FULFILLMENT_CARRIER_ADAPTERS": "9" * 5_000},
        {"FULFILLMENT_CARRIER_ADAPTERS": "[1]"},
        {"FULFILLMENT_SHIP_FROM": "[" * 100_000},
        {"FULFILLMENT_EMAIL_TEMPLATES_DIR": "x" * 5_000},
        {"FULFILLMENT_PROCESSES": "9" * 5_000},
        {"FULFILLMENT_SHOP_NAME": "\udcff"},
        {"FULFILLMENT_EMAIL_TIME_ZONE": "../../etc/passwd"},
        {"FULFILLMENT_EMAIL_LOCALE": "../../x"},
        {"SMTP_URL": "smtp://shop.invalid?starttls=always&starttls=never"},
        {"DATABASE_URL": "postgresql://shop.invalid:port/d"},
        {"DATABASE_URL": "postgresql://[::1"},
        {"DATABASE_URL": "mysql://shop.invalid/d"},
        {"DATABASE_URL": "\udcff"},
    ],
    ids=lambda one: ascii(one)[:60],
)
def test_settings(environment, redis_url):
    """A setting that cannot be used is a sentence that names it, and exit code 2."""
    own = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": redis_url} | environment

    result = invoke(["orders", "list"], own)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {next(iter(environment))}: ")
    assert "unpack" not in result.stderr
    assert obeyed(result.output) == set()
