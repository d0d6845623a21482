"""`dead` and `audit`: what an operator sees of failures, and does about them."""

import getpass
import json
import signal
import subprocess
import sys
from uuid import uuid4

import pytest

from messages import Address, Customer, Payment
from tests.cli.cli_tools import json_of, one, own_process, rows_of, table_of, write
from tests.factories import money, place, placed_order, refund, ship
from tests.work import rig
from worker.labels.making import labels_route
from worker.settings import Settings


@pytest.fixture
def dead_refund(decided, engine):
    """A refund part of O-3 that died."""
    paid = (Payment(payment_id="P1", captured_minor=300),)
    decided(place(order_id="O-3", order=placed_order(payments=paid)))
    decided(refund(order_id="O-3", amount=money(100)))
    write(
        engine,
        "update followups set state = 'dead', dead_reason = 'provider_400', decided_at = now()"
        " where route = 'refunds'",
    )
    return one(engine, "select id from followups where route = 'refunds'")


def states(engine):
    """How many commands and follow-ups are in which state."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "select state, count(*) from (select state from commands union all"
            " select state from followups) as work group by state"
        )
        return dict(list(rows))


def test_list_for_a_person(cli, dead):
    """`dead list` begins with how many died of what; then comes each letter."""
    lines = table_of(cli("dead", "list"))

    assert lines[0] == [
        "letters",
        "queue",
        "reason",
        "oldest",
        "newest",
        "example",
        "last",
        "error",
    ]
    assert lines[1][:3] == ["2", "commands", "unsupported_version"]
    assert lines[2][:3] == ["1", "emails", "smtp_550"]
    assert lines[3] == []
    assert {line[0] for line in lines[5:]} == {str(row_id) for row_id in dead.values()}


def test_groups(cli, dead):
    """`dead list --groups` has a line for each queue and reason, with an example."""
    rows = rows_of(cli("dead", "list", "--groups", "--json"))

    assert [(row["route"], row["reason"], row["letters"]) for row in rows] == [
        ("commands", "unsupported_version", 2),
        ("emails", "smtp_550", 1),
    ]
    assert rows[1]["example"] == str(dead["email"])


def test_nothing_is_dead(cli):
    """Without dead letters the list says so and succeeds."""
    result = cli("dead", "list")

    assert (result.stdout, result.stderr, result.exit_code) == ("", "nothing\n", 0)


def test_older_than(cli, dead, engine):
    """`--older-than` leaves out what failed later, for listing and for acting."""
    write(engine, "update followups set decided_at = now() - interval '121 minutes'")

    assert [row["id"] for row in rows_of(cli("dead", "list", "--json", "--older-than", "2h"))] == [
        str(dead["email"])
    ]
    assert cli("dead", "replay", "--older-than", "3h").exit_code == 4
    assert cli("dead", "replay", "--older-than", "7200s").stdout == "replayed: 1 emails\n"


@pytest.mark.parametrize("text", ["2", "h", "2 weeks", "-2h", "2.5h", "99999999999d"])
def test_a_bad_age(cli, dead, engine, text):
    """What is no age is a mistake: 2, and nothing changes."""
    before = rig.dump(engine)

    result = cli("dead", "replay", f"--older-than={text}")

    assert result.stderr == "error: --older-than: must be like 30s, 15m, 2h or 7d\n"
    assert result.exit_code == 2
    assert rig.dump(engine) == before


def test_dry_run(cli, dead, engine):
    """`replay --dry-run` says of each letter what would come of it, and changes nothing; 5 when one
    would still fail.
    """
    write(
        engine,
        "update commands set body = body - 'schema_version' where id = %(id)s",
        id=dead["O-2"],
    )
    before = rig.dump(engine)

    result = cli("dead", "replay", "--all", "--dry-run", "--json")
    person = cli("dead", "replay", "--all", "--dry-run")

    assert {row["id"]: (row["prospect"], row["why"]) for row in rows_of(result)} == {
        str(dead["O-1"]): ("would_fail", "unsupported_version: this worker knows version 1"),
        str(dead["O-2"]): ("would_succeed", None),
        str(dead["email"]): (
            "would_fail",
            "skipped: the order has no e-mail address; give one with --set to=ADDRESS",
        ),
    }
    assert result.exit_code == person.exit_code == 5
    assert person.stderr == "nothing was replayed; 2 would still fail; 1 would succeed\n"
    assert rig.dump(engine) == before
    assert cli("dead", "replay", str(dead["O-2"]), "--dry-run").exit_code == 0


def test_dry_run_of_a_label(cli, decided, engine):
    """A label whose address still lacks its city would fail again, and the answer says which field
    to correct; with the city set it would not.
    """
    nowhere = Address(
        name="Customer", lines=("1 Main Street",), country="NL", postal_code="3511 AB"
    )
    decided(place(order=placed_order(ship_to=nowhere)), ship(label="generate"))
    rig.drain_of(labels_route(engine, Settings()), engine)()
    label = one(engine, "select id from followups where route = 'labels' and state = 'dead'")

    answer = json_of(cli("dead", "replay", str(label), "--dry-run", "--json"))

    assert answer["prospect"] == "would_fail"
    assert answer["why"] == "bad_address: correct ship_to: city"


def test_dry_run_of_what_is_not_dead(cli, decided, engine):
    """A named letter that is not dead any more is done already; an unknown one exits 4."""
    command, unknown = ship(), uuid4()
    decided(place(order=placed_order()))
    decided(command)

    result = cli("dead", "replay", str(command.command_id), "--dry-run", "--json")
    other = cli("dead", "replay", str(unknown), "--dry-run")

    assert [(row["prospect"], row["why"]) for row in rows_of(result)] == [
        ("already_done", "it is applied"),
    ]
    assert result.exit_code == 0
    assert other.exit_code == 4
    assert f"{unknown} is not here" in other.stderr


def test_a_bounded_replay(cli, dead, engine):
    """`--limit` bounds a replay, which says what is left."""
    result = cli("dead", "replay", "--all", "--limit", "2")

    assert result.stdout == "replayed: 2 commands\n"
    assert result.stderr == "only the first 2 of 3; run it again, or see --limit\n"
    assert result.exit_code == 0
    assert states(engine)["dead"] == 1


def test_ctrl_c(environment, dead, engine):
    """Ctrl-C ends a replay after the letters at hand: what it says is what was done; 130."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "dead", "replay", "--all", "--rate", "0.05", "--json"],
        env=own_process(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)

    assert (stdout, process.returncode) == ("", 130)
    assert stderr.splitlines()[-1] == "interrupted: 1 of 3 replayed"
    assert one(engine, "select work_id from audit") == one(
        engine, "select id from commands where state = 'pending'"
    )
    assert str(one(engine, "select work_id from audit")) == first["id"]


def test_discard(cli, dead, engine):
    """`dead discard` ends a letter, says so, and keeps why and who."""
    result = cli("dead", "discard", str(dead["email"]), "--because", "wrong shop", "--by", "ann")

    assert (result.stdout, result.exit_code) == (f"discarded: emails {dead['email']}\n", 0)
    outcome = one(engine, "select outcome from followups where id = %(id)s", id=dead["email"])
    assert outcome == {"discarded": "wrong shop", "by": "ann"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--all", "--yes"), "--because: say why, for the audit and the order's history"),
        (("--all", "--because", "x"), "--yes: needed to give up what is not named by its id"),
        (
            ("--yes", "--because", "x"),
            "name ids, --reason, --order, --queue, --older-than or --all",
        ),
        (("--all", "--yes", "--because", " "), "--because: must not be empty"),
        (("--all", "--yes", "--because", "x" * 501), "--because: must be at most 500 characters"),
        (("--all", "--yes", "--because", "x", "--by", "\x1b"), "--by: must not hold control"),
    ],
)
def test_discard_is_asked_for_twice(cli, dead, engine, words, sentence):
    """Without a reason, or without ids and --yes, nothing is given up."""
    before = rig.dump(engine)

    result = cli("dead", "discard", *words)

    assert result.stderr.startswith(f"error: {sentence}")
    assert result.exit_code == 2
    assert rig.dump(engine) == before


@pytest.mark.parametrize("named", [True, False])
def test_a_refund_part_is_never_given_up(cli, dead_refund, engine, named):
    """A refund part that was named, or chosen by its queue, is refused with the way to end it."""
    before = rig.dump(engine)
    words = (str(dead_refund),) if named else ("--queue", "refunds", "--yes")

    result = cli("dead", "discard", *words, "--because", "x")

    part = one(engine, "select part_id from refund_parts")
    assert result.stderr == (
        "error: a refund part is never given up: use `fulfillment refunds settle PART` or"
        f" `fulfillment refunds fail PART` ({part})\n"
    )
    assert result.exit_code == 1
    assert rig.dump(engine) == before


def test_refund_parts_among_others_stay(cli, dead, dead_refund, engine):
    """Giving up everything leaves refund parts where they are, and says so."""
    result = cli("dead", "discard", "--all", "--yes", "--because", "x")

    assert result.stdout == "discarded: 2 commands, 1 emails\n"
    assert result.stderr.startswith("a refund part is never given up")
    assert result.exit_code == 0
    assert [row["id"] for row in rows_of(cli("dead", "list", "--json"))] == [str(dead_refund)]


def test_a_corrected_command(cli, dead, engine, runtime):
    """`replay ID --set` replaces a command; the new one is decided, the original is kept."""
    result = cli("dead", "replay", str(dead["O-2"]), "--set", "schema_version=1", "--by", "ann")
    runtime.drains["commands"]()

    new = one(engine, "select id from commands where body ->> 'issued_by' = 'ann'")
    assert result.stdout == f"replaced: command {dead['O-2']} by {new}\n"
    assert one(engine, "select state from commands where id = %(id)s", id=new) == "applied"
    old = json_of(cli("commands", "show", str(dead["O-2"]), "--json"))
    assert (old["state"], old["outcome"]["replaced_by"]) == ("discarded", str(new))


def test_a_body_from_a_file(cli, dead, engine):
    """`--body -` takes the corrected command from stdin; what only the letter has need not be in
    it.
    """
    result = cli(
        "dead", "replay", str(dead["O-2"]), "--body", "-", stdin='{"tracking_number": "T"}'
    )

    assert result.exit_code == 0
    assert one(
        engine, "select body ->> 'tracking_number' from commands where state = 'pending'"
    ) == ("T")


def test_dry_run_of_a_correction(cli, dead, engine):
    """With --dry-run a correction is only judged: the outcome it would have, and what changes."""
    before = rig.dump(engine)
    words = ("dead", "replay", str(dead["O-2"]), "--set", "schema_version=1", "--dry-run")

    result = cli(*words, "--json")
    person = cli(*words)

    found = json_of(result)
    assert (found["would_be"], found["changes"]) == (
        "applied",
        {"schema_version": {"from": 2, "to": None}},
    )
    assert person.stdout.startswith("changes: schema_version\nwould be applied")
    assert rig.dump(engine) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "colour=red"), "error: schema_version: Input should be 1; colour: unknown"),
        (("--set", "colour"), "error: --set: must be like FIELD=VALUE\n"),
        (("--set", "=1"), "error: --set: must be like FIELD=VALUE\n"),
        (("--set", "kind=cancel", "--set", "schema_version=1"), "error: kind: stays; discard it"),
        (("--body", "-"), "error: body: is no JSON\n"),
    ],
)
def test_a_bad_correction(cli, dead, engine, words, sentence):
    """A correction that makes no valid command names the field; nothing is written; 2."""
    before = rig.dump(engine)

    result = cli("dead", "replay", str(dead["O-1"]), *words, stdin="{")

    assert result.stderr.startswith(sentence)
    assert result.exit_code == 2
    assert rig.dump(engine) == before


def test_one_letter_at_a_time_is_corrected(cli, dead, engine):
    """A correction is for one letter that is named, and dead."""
    before = rig.dump(engine)
    sentence = "error: --set and --body: correct one dead letter, named by its id\n"

    many = cli("dead", "replay", str(dead["O-1"]), str(dead["O-2"]), "--set", "carrier=dhl")
    none = cli("dead", "replay", "--all", "--set", "carrier=dhl")
    unknown = cli("dead", "replay", str(uuid4()), "--set", "carrier=dhl")

    assert (many.stderr, many.exit_code) == (none.stderr, none.exit_code) == (sentence, 2)
    assert unknown.exit_code == 4
    assert rig.dump(engine) == before


def test_a_corrected_email(cli, dead, engine):
    """`replay ID --set to=` gives an e-mail another address; its dry run says what the correction
    would change of its prospects, and writes nothing.
    """
    email = str(dead["email"])
    before = rig.dump(engine)

    foreseen = cli("dead", "replay", email, "--set", "to=a@example.com", "--dry-run", "--json")
    assert [row["prospect"] for row in rows_of(foreseen)] == ["would_succeed"]
    assert rig.dump(engine) == before

    result = cli("dead", "replay", email, "--set", "to=a@example.com")
    assert (result.stdout, result.exit_code) == (f"replayed: emails {email}\n", 0)
    row = one(engine, "select state || edits::text from followups where id = %(id)s", id=email)
    assert row == 'pending{"to": "a@example.com"}'


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "to=nobody"), "error: to: String should match pattern"),
        (("--set", "amount=1"), "error: amount: unknown field; known: locale, to\n"),
        (("--body", "-"), "error: --body: only commands have one; use --set\n"),
    ],
)
def test_a_bad_correction_of_an_email(cli, dead, engine, words, sentence):
    """What an e-mail cannot take is named; nothing is written; 2."""
    before = rig.dump(engine)

    result = cli("dead", "replay", str(dead["email"]), *words, stdin="{}")

    assert result.stderr.startswith(sentence)
    assert result.exit_code == 2
    assert rig.dump(engine) == before


def test_show_has_the_edits(cli, dead, engine):
    """`dead show` shows what was corrected before."""
    write(engine, 'update followups set edits = \'{"locale": "fr"}\'')

    assert ["edits", '{"locale":"fr"}'] in table_of(cli("dead", "show", str(dead["email"])))


def test_a_deeply_nested_body(cli, dead, engine):
    """A body nested deeper than most programs read is listed and shown like any other."""
    nested = "[" * 300 + "]" * 300
    write(
        engine,
        "update commands set body = jsonb_set(body, '{items}', %(nested)s::jsonb)"
        " where id = %(id)s",
        nested=nested,
        id=dead["O-1"],
    )

    assert len(rows_of(cli("dead", "list", "--json", "--order", "O-2"))) == 1
    assert nested in cli("dead", "list", "--json").stdout.replace(" ", "")
    assert nested in cli("dead", "show", str(dead["O-1"])).stdout.replace(" ", "")


def test_audit(cli, dead):
    """`audit` lists each act, the latest first, with who did it: the system's user unless told."""
    cli("pause", "emails", "--reason", "server away", "--by", "ann")
    cli("dead", "replay", str(dead["email"]))
    cli("resume", "emails", "--by", "bob")

    rows = rows_of(cli("audit", "--json"))

    assert [(row["actor"], row["act"], row["route"], row["work_id"]) for row in rows] == [
        ("bob", "resumed", "emails", None),
        (getpass.getuser(), "replayed", "emails", str(dead["email"])),
        ("ann", "paused", "emails", None),
    ]
    assert rows[2]["details"] == {"reason": "server away"}
    assert [row["act"] for row in rows_of(cli("audit", "--order", "O-1", "--json"))] == ["replayed"]
    lines = table_of(cli("audit", "--limit", "1"))
    assert lines[1][2:5] == ["bob", "resumed", "emails"]


def test_an_email_is_not_in_the_logs(cli, dead, logs):
    """What a correction says stays in the database: no log has it."""
    cli("dead", "replay", str(dead["email"]), "--set", "to=a@example.com")

    assert "a@example.com" not in str(logs)


def test_customer_in_a_prospect(cli, decided, engine, dead):
    """Who wants no e-mails gets none, whatever is replayed."""
    decided(
        place(
            order_id="O-4",
            order=placed_order(customer=Customer(email="a@example.com", opted_out=True)),
        )
    )
    decided(ship(order_id="O-4"))
    write(
        engine,
        "update followups set state = 'dead', decided_at = now() where order_id = 'O-4'",
    )

    (row,) = rows_of(cli("dead", "replay", "--order", "O-4", "--dry-run", "--json"))

    assert row["why"] == "skipped: the customer wants no e-mails"
