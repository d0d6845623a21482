"""`orders forget`: nothing is left of the person, in any table and any file; the books stay."""

import re
import threading

import pytest

from tests import factories as make
from tests.retention import story
from tests.work import rig
from worker.errors import Transient
from worker.labels.files import files
from worker.retention.forgetting import NotHere, StillOpen, forget, remove_files
from worker.store import laws, lists

EVERY_TABLE = """
select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
"""


BEFORE = "to_jsonb(t) ->> 'act' is distinct from 'forgotten'"


def traces(engine, config):
    """Every row and every file that holds a canary, by table or folder."""
    found = {}
    for (table,) in rig.rows(engine, EVERY_TABLE):
        rows = [row for (row,) in rig.rows(engine, f"select to_jsonb(t)::text from {table} as t")]
        # Bytes are looked into as well.
        rows += [
            bytes.fromhex(one).decode("latin-1")
            for row in rows
            for one in re.findall(r'"\\\\x([0-9a-f]+)"', row)
        ]
        if held := [row for row in rows if any(one in row.lower() for one in story.CANARIES)]:
            found[table] = held
    for path in config.state_dir.rglob("*"):
        if path.is_file() and (path.parent.parent.name == "labels" or path.parent.name == "mail"):
            found.setdefault(path.suffix, []).append(path.name)
    return found


def forgotten(engine, config, order_id="O-1"):
    with engine.begin() as connection:
        left = forget(connection, order_id, actor="desk")
    remove_files(engine, config, files(config), left)


def books(engine):
    """What must stay, whoever it was."""
    kept = {
        "commands": "id, kind, order_id, fingerprint, state, seq,"
        " outcome - 'message' - 'discarded'",
        "orders": "order_id, number, total_minor, version, fulfillment_status, payment_status",
        "order_lines": "*",
        "payments": "*",
        "refunds": "refund_id, amount_minor, shipping_minor, requested_at",
        "refund_parts": "part_id, amount_minor, state, ended_by",
        "shipments": "shipment_id, number, carrier, tracking_number",
        "history": "order_id, history_id, at, event, command_id, amount_minor, details - 'reason'"
        " - 'note' - 'hold' - 'tracking_url' - 'changes'",
        "followups": "id, state, route, name, subject_id",
        "documents": "shipment_id, kind, sha256, size_bytes",
        "audit": "audit_id, at, actor, act, route, work_id",
    }
    return {
        table: sorted(
            map(
                str,
                rig.rows(engine, f"select {columns} from {table} as t where {BEFORE}"),
            )
        )
        for table, columns in kept.items()
    }


def test_nothing_is_left_of_the_person(engine, config):
    """Every table and every file is without each canary, of which every one was somewhere; the
    books are as before, and obey their laws.
    """
    story.tell(engine, config)
    before = traces(engine, config)
    assert {
        *("orders", "order_words", "commands", "followups", "history", "refunds", "refund_parts"),
        *("shipments", "strays", "audit", ".eml", ".pdf", ".zpl"),
    } <= before.keys()
    assert all(one in str(before).lower() for one in story.CANARIES)
    kept = books(engine)

    forgotten(engine, config)

    assert traces(engine, config) == {}
    assert books(engine) == kept
    with engine.connect() as connection:
        assert set(laws.broken(connection).values()) == {0}


def test_others_keep_theirs(engine, config):
    """An order beside it, with a name that begins alike, is as before in every row and file."""
    story.tell(engine, config, "O-10")
    rows = rig.dump(engine)
    with_both = {*config.state_dir.rglob("*")}
    story.tell(engine, config, "O-1")

    forgotten(engine, config)

    for table, was in rows.items():
        assert {*was} <= {*rig.dump(engine, (table,))[table]}, table
    assert [path for path in with_both if not path.exists()] == []


def test_placed_again(engine, config):
    """Upstream cannot bring the person back: a later `place` is refused, and its body is gone at
    once; the one from before still gets its stored outcome.
    """
    told = story.tell(engine, config)
    forgotten(engine, config)
    again = make.place(order=story.placed_order())

    assert rig.decided(engine, again) == ["rejected"]
    (known,) = rig.accepted(engine, told["place"])

    assert rig.reason(engine, again) == "order_forgotten"
    assert (known.answer, known.state) == ("known", "applied")
    assert traces(engine, config) == {}


def test_money_can_still_go_back(engine, config):
    """What needs no person goes on: a refund of a forgotten order is booked, and nobody is told."""
    story.tell(engine, config)
    forgotten(engine, config)

    assert rig.decided(engine, make.refund(amount=make.money(50))) == ["applied"]


def test_open_work_is_in_the_way(engine, config):
    """While a command or a follow-up waits or is dead nothing is changed, and all are named."""
    rig.placed(engine, customer=story.placed_order().customer)
    ship = make.ship()
    assert rig.decided(engine, ship) == ["applied"]
    waiting = make.ship(after=make.ship().command_id)
    rig.decided(engine, waiting)
    before = rig.dump(engine)

    with pytest.raises(StillOpen) as refused, engine.begin() as connection:
        forget(connection, "O-1", actor="desk")

    found = {(one.route, one.name, one.state) for one in refused.value.work}
    assert found == {("commands", "ship", "pending"), ("emails", "shipped", "pending")}
    assert rig.dump(engine) == before


def test_an_order_that_never_got_in(engine, config):
    """A refused order has no row, but a command with the person; that goes too."""
    place = make.place(order=story.placed_order(total_minor=1))
    assert rig.decided(engine, place) == ["rejected"]

    forgotten(engine, config)

    assert traces(engine, config) == {}


def test_not_here(engine):
    """What is not known cannot be forgotten, and the audit does not name it."""
    with pytest.raises(NotHere), engine.begin() as connection:
        forget(connection, "O-1", actor="desk")

    assert rig.count(engine, "audit") == 0


def test_found_by_what_is_left(engine, config):
    """The order is found by its id, its number and its SKUs, and no more by its customer."""
    story.tell(engine, config)
    forgotten(engine, config)

    def found(text):
        with engine.connect() as connection:
            return [
                row["order_id"]
                for row in lists.orders(connection, lists.Wanted(search=text), limit=9)
            ]

    assert [found(text) for text in ("O-1", "1001", "sku1")] == [["O-1"]] * 3
    assert [found(text) for text in ("canaryname", "canarymail")] == [[], []]


def test_files_that_cannot_be_removed_are_removed_by_doing_it_again(engine, config):
    """The rows are forgotten though the store refuses; once it works again, so are the files."""
    story.tell(engine, config)
    broken = config.model_copy(update={"label_store": "nowhere://labels"})

    with engine.begin() as connection:
        left = forget(connection, "O-1", actor="desk")
    with pytest.raises(Transient):
        remove_files(engine, broken, files(broken), left)
    assert ".pdf" in traces(engine, config)

    forgotten(engine, config)
    assert traces(engine, config) == {}


def waits_for_a_lock(engine):
    return rig.count(engine, "pg_stat_activity", "wait_event_type = 'Lock'") > 0


def test_placed_again_while_it_is_forgotten(engine, config):
    """A `place` that is decided at that moment waits for the order, and is refused."""
    story.tell(engine, config)
    late = make.place(order=story.placed_order(hold="canarynote"))
    drain = threading.Thread(target=rig.drainer(engine))

    with engine.begin() as connection:
        left = forget(connection, "O-1", actor="desk")
        rig.accepted(engine, late)
        drain.start()
        rig.until(lambda: waits_for_a_lock(engine))
    drain.join()
    remove_files(engine, config, files(config), left)

    assert rig.reason(engine, late) == "order_forgotten"
    assert traces(engine, config) == {}


def test_forgotten_while_it_is_placed_again(engine, config):
    """Forgetting waits for a `place` that is being decided, and takes what that brought."""
    story.tell(engine, config)
    rules = rig.Rules()
    again = make.place(order=story.placed_order(number="1001", hold="canarynote"))
    rig.accepted(engine, again)
    drain = threading.Thread(target=rig.drainer(engine, rules=rules))
    drain.start()
    assert rules.reached.wait(20)
    forgetting = threading.Thread(target=forgotten, args=(engine, config))
    forgetting.start()
    rig.until(lambda: waits_for_a_lock(engine))
    rules.go.set()
    drain.join()
    forgetting.join()

    assert rig.state(engine, again) == "applied"
    assert rig.one(engine, "select hold from orders") == ("forgotten",)
    assert traces(engine, config) == {}
