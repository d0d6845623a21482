"""Hostile texts and documents in what operators set right: `dead replay --set`, `strays replay`."""

import json
from uuid import uuid4

import pytest

from messages import InvalidCommand, new_command_id
from tests import factories as make
from tests.cli.cli_tools import rows_of, write
from tests.cli.conftest import dead, decided  # noqa: F401  # fixtures
from tests.hostile import corpus
from tests.hostile.door import message
from tests.work import rig
from worker.work.accept import record_stray
from worker.work.mending import CannotEdit, corrected, edit_followup

REFUSED = corpus.REFUSED | corpus.NO_TEXT


def test_texts_in_commands():
    """Set to a text, a field holds exactly that or is refused by its name; only `null` takes the
    field away.
    """
    body = make.ship(tracking_number="T").body()

    for name, one in corpus.STORED.items():
        found = corrected(body, {"tracking_number": one.text}).tracking_number
        assert found == (None if name == "null" else one.stored), name
    for name, one in REFUSED.items():
        with pytest.raises(InvalidCommand) as refused:
            corrected(body, {"tracking_number": one.text})
        field = "body" if name in corpus.NO_TEXT else "tracking_number"
        assert {problem.field for problem in refused.value.problems} == {field}, name
        assert one.text not in str(refused.value)


DEEP = "[" * 900 + "]" * 900


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "fields",
    [
        {"tracking_number": DEEP},
        {"tracking_number": "[" * 100_000},
        {"tracking_number": "x" * 10_000_000},
        {"items.0.quantity": "9" * 100_000},
        {"items.0.quantity": "1e131000"},
        {f"items.{'9' * 5_000}.quantity": "1"},
        {"a." * 100_000 + "a": "1"},
        {"items.0." + "b." * 100_000 + "b": "1"},
        {"": "1"},
        {"command_id.0": "1"},
    ],
    ids=lambda fields: next(iter(fields))[:20],
)
def test_what_is_too_deep_or_too_long(fields):
    """It is refused with a sentence, also in a body that is deeper than Python copies."""
    body = make.ship(items=make.items(A=1)).body()

    for original in (body, body | {"x": json.loads(DEEP)}):
        with pytest.raises(InvalidCommand):
            corrected(original, fields)


def test_texts_in_followups(engine, dead):  # noqa: F811
    """No text of them is an e-mail address or a locale, and nothing is changed; on a label a text
    stands exactly, or is refused and nothing is changed.
    """
    before = rig.dump(engine)
    with engine.begin() as connection:
        for one in (corpus.STORED | REFUSED).values():
            for field in ("to", "locale"):
                with pytest.raises((InvalidCommand, CannotEdit)):
                    edit_followup(connection, dead["email"], {field: one.text}, actor="ann")
    assert rig.dump(engine) == before

    write(engine, "update followups set route = 'labels'")
    address = {"lines": '["1 Main St"]', "city": "Berlin", "postal_code": "1", "country": "DE"}
    rest = {f"ship_to.{name}": value for name, value in address.items()}
    with engine.begin() as connection:
        for name, one in corpus.STORED.items():
            fields = rest | {"ship_to.name": one.text}
            if name == "null":
                continue
            edit_followup(connection, dead["email"], fields, actor="ann")
            (edits,) = connection.exec_driver_sql(
                "select edits -> 'ship_to' ->> 'name' from followups where route = 'labels'"
            ).one()
            assert edits == one.stored, name
        held = connection.exec_driver_sql("select edits from followups").all()
        for one in REFUSED.values():
            with pytest.raises(InvalidCommand):
                edit_followup(
                    connection, dead["email"], rest | {"ship_to.name": one.text}, actor="ann"
                )
        assert connection.exec_driver_sql("select edits from followups").all() == held


def test_strays_that_nest(cli, engine):
    """One that nests deeper than Python copies stays on the list, and its neighbours are taken in:
    as a command, and as the message that carried it.
    """
    good = make.place()
    deep = make.ship().body() | {"tracking_number": json.loads(DEEP)}
    bodies = [json.dumps(deep), message("ship", deep).decode(), json.dumps(good.body())]
    with engine.begin() as connection:
        for body in bodies:
            record_stray(connection, "invalid", body)

    result = cli("strays", "replay", "--all", "--rate", "1000", "--json")

    assert [row["answer"] for row in rows_of(result)] == ["refused", "refused", "accepted"]
    assert result.exit_code == 5
    assert rig.count(engine, "strays") == 2
    assert rig.rows(engine, "select id from commands") == [(good.command_id,)]


def test_a_dead_command_that_nests(cli, engine, decided):  # noqa: F811
    """A dead letter whose body nests is refused with a sentence, and stays as it is."""
    decided(make.place())
    command_id = new_command_id()
    body = make.ship().body() | {
        "command_id": str(command_id),
        "schema_version": 2,
        "x": json.loads(DEEP),
    }
    raw = json.dumps([body])
    rig.rows(engine, "select * from accept_commands(%(raw)s::jsonb)", raw=raw)
    write(
        engine,
        "update commands set state = 'dead', dead_reason = 'bug', decided_at = now()"
        " where id = %(id)s",
        id=command_id,
    )
    before = rig.dump(engine)

    result = cli("dead", "replay", str(command_id), "--set", f"order_note={uuid4()}")

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert rig.dump(engine) == before
