"""`fulfillment emails preview`: an e-mail as the customer gets it, and nobody is told."""

from uuid import uuid4

import pytest
from typer.testing import CliRunner

from messages import Customer, DoneShipment, Payment
from tests import factories as make
from tests.emails.mail_rig import parts, read, row
from tests.work import rig
from worker.cli.root import app

ZOE = Customer(name="Zoë", email="zoe@shop.example", locale="fr")


@pytest.fixture
def preview(database_url, tmp_path):
    """Runs the command on the test's database."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1",
        "FULFILLMENT_STATE_DIR": str(tmp_path / "state"),
    }

    def run(*words, **more):
        result = CliRunner().invoke(app, ["emails", "preview", *words], env=environment | more)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def ordered(engine, customer=ZOE, **fields):
    payments = (Payment(payment_id="P1", captured_minor=400, method="card"),)
    lines = (make.order_line("A", 3), make.order_line("B", 1, item_type="digital"))
    rig.with_lines(engine, *lines, customer=customer, payments=payments, **fields)


def test_shipped(engine, preview):
    """The latest parcel's e-mail, with the id and date it has when it is sent; nothing is changed
    and nothing is written anywhere.
    """
    ordered(engine)
    first, second = make.ship(items=make.items(A=1)), make.ship(items=make.items(A=2))
    for command in (first, second):
        assert rig.decided(engine, command) == ["applied"]
    before = rig.dump(engine)

    result = preview("O-1", "shipped")

    followup = rig.one(
        engine,
        "select id, staged_at from followups where subject_id = %(id)s",
        id=second.command_id,
    )
    message = read(result.stdout_bytes)
    assert (result.exit_code, result.stderr) == (0, "")
    assert message["Message-ID"] == f"<{followup.id}@shop.invalid>"
    assert message["Date"].datetime == followup.staged_at.replace(microsecond=0)
    assert message["To"] == "zoe@shop.example"
    assert row(2, "Product A") in parts(result.stdout_bytes)[0]
    assert rig.dump(engine) == before


def test_of(engine, preview):
    """An earlier parcel is shown by its id."""
    ordered(engine)
    first = make.ship(items=make.items(A=1))
    rig.decided(engine, first)
    rig.decided(engine, make.ship())

    result = preview("O-1", "shipped", "--of", str(first.command_id), "--format", "text")

    assert row(1, "Product A") in result.stdout
    assert "Il ne reste rien" in result.stdout


@pytest.mark.parametrize(
    ("kind", "command", "said"),
    [
        ("completed", make.complete(), "1 item of your order is completed"),
        ("cancelled", make.cancel(refund="full"), "€4.00 will be refunded."),
    ],
)
def test_other_kinds(engine, preview, kind, command, said):
    """What was completed and what was cancelled, in the language that is asked for."""
    ordered(engine)
    assert rig.decided(engine, command) == ["applied"]

    result = preview("O-1", kind, "--locale", "en", "--format", "text")

    assert result.exit_code == 0
    assert said in result.stdout


def test_refunded(engine, preview):
    """A refund is shown once it has settled; before, there is nothing to show."""
    ordered(engine)
    rig.decided(engine, make.refund(amount=make.money(150)))
    early = preview("O-1", "refunded")
    rig.run(engine, "update refund_parts set state = 'settled'")

    result = preview("O-1", "refunded", "--format", "text", "--locale", "en")

    assert (early.exit_code, early.stdout) == (4, "")
    assert early.stderr == "error: no refund of order O-1 has been settled\n"
    assert "€1.50 has been refunded to:\n- €1.50 (Card)\n" in result.stdout


def test_what_was_done_upstream(engine, preview):
    """A parcel that had left before the order came here can be shown, though nobody is told."""
    done = DoneShipment(items=make.items(A=1), carrier="DHL", tracking_number="123")
    ordered(engine, shipments=(done,))

    result = preview("O-1", "shipped", "--format", "text", "--locale", "en")

    assert "Carrier: DHL\nTracking number: 123\n" in result.stdout


def test_out(engine, preview, tmp_path):
    """A file instead of stdout, in the form that is asked for."""
    ordered(engine)
    rig.decided(engine, make.ship())
    out = tmp_path / "shipped.html"

    result = preview("O-1", "shipped", "--out", str(out), "--format", "html")

    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text("utf-8").startswith('<!DOCTYPE html><html lang="fr"')


def test_own_templates(engine, preview, tmp_path):
    """The merchant's templates and settings are those of the worker."""
    (tmp_path / "shipped.txt").write_text("Off it goes\n\n{{ shop_name }}, {{ date }}")
    ordered(engine)
    rig.decided(engine, make.ship())
    rig.run(engine, "update followups set staged_at = '2026-02-28 23:30:00+00'")

    result = preview(
        "O-1",
        "shipped",
        FULFILLMENT_EMAIL_TEMPLATES_DIR=str(tmp_path),
        FULFILLMENT_EMAIL_FROM="o@shop.example",
        FULFILLMENT_SHOP_NAME="Shop",
        FULFILLMENT_EMAIL_TIME_ZONE="Europe/Paris",
    )

    assert read(result.stdout_bytes)["Subject"] == "Off it goes"
    assert read(result.stdout_bytes)["From"] == "Shop <o@shop.example>"
    assert parts(result.stdout_bytes)[0] == "Shop, 1 mars 2026\n"


@pytest.mark.parametrize(
    ("customer", "reason"),
    [(Customer(), "no_address"), (Customer(email="zoe@shop"), "bad_address")],
)
def test_nobody_to_tell(engine, preview, customer, reason):
    """An e-mail that nobody would get is shown all the same, and says so beside."""
    ordered(engine, customer=customer)
    rig.decided(engine, make.ship())

    result = preview("O-1", "shipped")

    assert result.exit_code == 0
    assert result.stderr == f"nobody would be told: {reason}\n"
    assert read(result.stdout_bytes)["To"] == "nobody@shop.invalid"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("O-1", "shipped"), 4, "nothing of order O-1 has been shipped"),
        (("O-1", "completed"), 4, "nothing of order O-1 has been completed"),
        (("O-1", "cancelled"), 4, "nothing of order O-1 has been cancelled"),
        (("O-1", "refunded"), 4, "no refund of order O-1 has been settled"),
        (("O-2", "shipped"), 4, "order O-2 is not here"),
        (("O-1", "shipped", "--of", str(uuid4())), 4, "nothing of order O-1 has been shipped by "),
        (("O-1", "returned"), 2, "Invalid value for 'KIND'"),
        (("O-1", "shipped", "--format", "pdf"), 2, "Invalid value for '--format'"),
    ],
)
def test_nothing_to_show(engine, preview, words, code, sentence):
    """What is not there is a sentence and an exit code, and no file."""
    ordered(engine)

    result = preview(*words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr.replace("\n", " ")


def test_language_without_a_catalogue(engine, preview):
    """A language that nobody is written to in is refused, where an order's would fall back."""
    ordered(engine)
    rig.decided(engine, make.ship())

    result = preview("O-1", "shipped", "--locale", "tlh")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: --locale: there is no catalogue for this language\n"


def test_broken_template(engine, preview, tmp_path):
    """A template that cannot be filled is named."""
    (tmp_path / "shipped.html").write_text("{{ custmer }}")
    ordered(engine)
    rig.decided(engine, make.ship())

    result = preview("O-1", "shipped", FULFILLMENT_EMAIL_TEMPLATES_DIR=str(tmp_path))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: template shipped.html: UndefinedError\n"


def test_out_that_cannot_be_written(engine, preview, tmp_path):
    """A file that cannot be written is a sentence."""
    ordered(engine)
    rig.decided(engine, make.ship())

    result = preview("O-1", "shipped", "--out", str(tmp_path / "none" / "a.eml"))

    assert result.exit_code == 1
    assert result.stderr.endswith("a.eml: No such file or directory\n")


def test_after_the_fact(engine, preview):
    """The e-mails about a parcel that was called back and about another number."""
    ordered(engine)
    early = [preview("O-1", kind) for kind in ("voided", "tracking_updated")]
    parcel = make.ship()
    tracking = make.update_tracking(parcel, tracking_number="T2")
    rig.decided(engine, parcel, tracking)
    words = ("--format", "text", "--locale", "en")

    updated = preview("O-1", "tracking_updated", *words)
    rig.decided(engine, make.void(parcel))
    voided = preview("O-1", "voided", *words)
    late = preview("O-1", "shipped", *words)

    assert [(one.exit_code, one.stderr) for one in early] == [
        (4, "error: no shipment of order O-1 has been voided\n"),
        (4, "error: no shipment of order O-1 got another tracking number\n"),
    ]
    assert (
        "Your parcel is tracked differently from now on:\nTracking number: T2\n" in updated.stdout
    )
    assert "3 items that were in it will be sent again" in voided.stdout
    assert voided.stderr == "nobody would be told: not_told\n"
    assert late.stderr == "nobody would be told: voided\n"
