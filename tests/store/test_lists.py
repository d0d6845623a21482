"""Lists of orders and commands: what is found, page by page, and how the server finds it."""

from datetime import UTC, datetime, timedelta

import orjson
import psycopg
import pytest

from messages import Customer, DoneShipment, NewCarrier
from tests import factories as make
from tests.cli.cli_tools import paid_order
from tests.work import rig
from worker.settings import Settings
from worker.store import words
from worker.store.engine import make_engine
from worker.store.lists import FEW, WALK, UnknownCursor, Wanted, commands, orders
from worker.store.orders import WRITE_BATCH

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def found(engine, wanted=None, *, after=None, limit=100, **conditions):
    """Ids of a page."""
    with engine.connect() as connection:
        page = orders(connection, wanted or Wanted(**conditions), after=after, limit=limit)
    return [row["order_id"] for row in page]


def pages(engine, wanted, limit):
    """Ids of all pages, one after the other."""
    ids, after = [], None
    while page := found(engine, wanted, after=after, limit=limit):
        ids += page
        after = page[-1]
    return ids


@pytest.fixture
def shop(engine):
    """O-1, which has everything, and O-2 and O-3, which have little."""
    lines = (make.order_line("A", 3, sku="AB-12/Größe 7"), make.order_line("B", sku="ÉTUI"))
    customer = Customer(name="Zoë O'Brien-Łuk", email="Bob.Norman@mail.example")
    order = paid_order(*lines, number="#1001", customer=customer, placed_at=MARCH)
    other = make.placed_order(
        customer=Customer(name="Zoe Maier"), placed_at=MARCH + timedelta(hours=1)
    )
    states = rig.decided(
        engine,
        make.place(order=order),
        make.ship(
            items=make.items(A=1),
            new_carrier=NewCarrier(code="acme", name="Acme"),
            tracking_number="1Z 999-AA1 01",
        ),
        make.refund(amount=make.money(10)),
        make.place(order_id="O-2", order=other),
        make.place(order_id="O-3", order=make.placed_order(placed_at=MARCH - timedelta(days=9))),
    )
    assert set(states) == {"applied"}


def test_search_finds_by_beginnings(engine, shop):
    """Id, number, name, e-mail, SKU and tracking number find the order by beginnings of their
    parts; accents, case and separators do not matter, and every word has to fit.
    """
    searches = (
        *("O-1", "o1", "#1001", "100", "zoé o'b", "OBRIEN", "luk", "Bob.Norman@mail.example"),
        *("norman", "mail.ex", "normanmail", "ab12", "AB-12/grosse", "grosse", "GRÖSSE 7", "etui"),
        *("1z999aa1", "1Z 999-AA1", "1z-9", "norman etui ab"),
    )

    assert [one for one in searches if found(engine, search=one) != ["O-1"]] == []


def test_search_does_not_find(engine, shop):
    """Not by the middle of a part, nor by one word of two, nor across tracking number and words;
    and a search of nothing finds nothing.
    """
    searches = ("orman", "rien", "999aa1", "zoe nobody", "norman 1z", "", "-")

    assert [one for one in searches if found(engine, search=one)] == []


def test_search_finds_all_that_fit(engine, shop):
    """Orders come newest first, whether words or tracking number found them."""
    assert found(engine, search="zo") == ["O-2", "O-1"]
    assert found(engine, search="1") == ["O-1"]
    assert found(engine, search="o") == ["O-2", "O-1", "O-3"]


def test_search_of_a_word_or_a_tracking_number(engine, shop):
    """A text that begins a word of one order and a tracking number of another finds both."""
    rig.decided(engine, make.ship(order_id="O-3", tracking_number="Zo-7"))

    assert found(engine, search="zo") == ["O-2", "O-1", "O-3"]
    assert found(engine, search="zo", limit=2) == ["O-2", "O-1"]
    assert found(engine, search="zo", after="O-1") == ["O-3"]


def test_conditions(engine, shop):
    """Each condition, and some together: those that meet all of them, newest first."""
    cases = [
        ({}, ["O-2", "O-1", "O-3"]),
        ({"statuses": ["partially_fulfilled"]}, ["O-1"]),
        ({"statuses": ["unfulfilled", "cancelled"]}, ["O-2", "O-3"]),
        ({"payment_statuses": ["unpaid"]}, ["O-2", "O-3"]),
        ({"payment_statuses": ["paid", "refunded"], "statuses": ["partially_fulfilled"]}, ["O-1"]),
        ({"statuses": ["no such status"]}, []),
        ({"carriers": ["acme"]}, ["O-1"]),
        ({"carriers": ["acme"], "statuses": ["unfulfilled"]}, []),
        ({"carriers": ["dhl"]}, []),
        ({"placed_from": MARCH}, ["O-2", "O-1"]),
        ({"placed_until": MARCH}, ["O-3"]),
        ({"placed_from": MARCH - timedelta(days=9), "placed_until": MARCH}, ["O-3"]),
        ({"refund_pending": True}, ["O-1"]),
        ({"refund_pending": True, "statuses": ["fulfilled"]}, []),
        ({"has_dead": True}, []),
        ({"search": "zo", "statuses": ["unfulfilled"]}, ["O-2"]),
        ({"search": "zo", "carriers": ["acme"], "refund_pending": True}, ["O-1"]),
    ]

    assert [found(engine, **conditions) for conditions, _ in cases] == [ids for _, ids in cases]


def test_dead_work_of_either_kind(engine, shop):
    """An order has dead work when a command or a follow-up of it is dead."""
    rig.run(engine, "update followups set state = 'dead' where order_id = 'O-1'")
    bad = make.ship(order_id="O-3")
    rig.accepted(engine, bad)
    rig.run(engine, "update commands set state = 'dead' where order_id = 'O-3' and kind = 'ship'")

    assert found(engine, has_dead=True) == ["O-1", "O-3"]
    assert found(engine, has_dead=True, search="norman") == ["O-1"]
    assert found(engine, has_dead=True, carriers=["acme"]) == ["O-1"]  # by its one parcel
    assert found(engine, has_dead=True, statuses=["cancelled"]) == []

    rig.run(engine, "update followups set state = 'done'")
    rig.run(engine, "update commands set state = 'dead' where kind = 'refund'")
    assert found(engine, has_dead=True, carriers=["acme"]) == ["O-1"]


def test_a_page_after_what_is_not_here(engine, shop):
    """A page after an unknown order or command is refused with a sentence."""
    command_id = make.ship().command_id

    with pytest.raises(UnknownCursor, match=r"^order O-9 is not here: no page begins after it$"):
        found(engine, after="O-9")
    with engine.connect() as connection, pytest.raises(UnknownCursor, match=str(command_id)):
        commands(connection, after=command_id, limit=1)


def test_lists_wait_for_nobody_and_see_only_what_is_committed(engine, shop):
    """Beside a session that holds an order and has changed it, a list comes at once, as it was."""
    with rig.holding(engine, "O-1") as other:
        other.exec_driver_sql("update orders set fulfillment_status = 'cancelled'")
        other.exec_driver_sql("update order_words set words = ''")

        assert found(engine, search="norman", statuses=["partially_fulfilled"]) == ["O-1"]
        with engine.connect() as connection:
            orders(connection, Wanted(search="norman", carriers=["acme"]), limit=9)
            locks = connection.exec_driver_sql(
                "select distinct mode from pg_locks where pid = pg_backend_pid()"
                " and locktype in ('relation', 'tuple', 'advisory')"
            ).all()
    assert locks == [("AccessShareLock",)]


def test_an_order_of_the_largest_kind(engine):
    """An order as large as a command can be is placed, and found by the SKU of each line."""
    skus = [f"{n:04}" + "-𠮷" * 30 for n in range(3_000)]
    order = make.placed_order(
        *(make.order_line(f"L{n}", 1, name="x", sku=sku) for n, sku in enumerate(skus)),
        customer=Customer(name="𠮷 " * 127 + "𠮷", email="𠮷." * 127 + "𠮷"),
    )
    assert rig.decided(engine, make.place(order=order)) == ["applied"]

    assert found(engine, search=skus[0]) == found(engine, search=skus[-1]) == ["O-1"]


def test_lines_that_come_later_are_found(engine, shop):
    """Words that are written for an order that has some are added to them, up to the bound."""
    added = {"order_id": "O-1", "placed_at": None, "words": words.of_texts("NEW-77")}
    longest = [f"{n:04}{'𠮷' * (words.MAX_LENGTH - 4)}" for n in range(words.MAX_WORDS)]
    many = {"order_id": "O-2", "placed_at": None, "words": longest}
    document = orjson.dumps({"new_words": [added, many]}).decode()
    rig.run(engine, WRITE_BATCH, document=document)

    assert found(engine, search="new-77") == found(engine, search="etui") == ["O-1"]
    assert rig.one(
        engine, "select placed_at, length(words) from order_words where order_id = 'O-2'"
    ) == (MARCH + timedelta(hours=1), words.MAX_WORDS)
    assert found(engine, search=longest[0]) == ["O-2"]


def test_upstream_parcels_are_found(engine):
    """A parcel that had left before the order came is found by its number."""
    shipment = DoneShipment(items=make.items(A=1), tracking_number="PC 1")
    rig.decided(engine, make.place(order=make.placed_order(shipments=(shipment,))))

    assert found(engine, search="pc1") == ["O-1"]


def test_commands_page_by_page(engine, shop):
    """The latest accepted come first; by state and by order; a page begins after a command."""
    rig.decided(engine, make.ship(order_id="O-3", items=make.items(Z=1)))

    def listed(**conditions):
        with engine.connect() as connection:
            rows = commands(connection, **{"limit": 100} | conditions)
        return [(row["kind"], row["order_id"]) for row in rows], [row["command_id"] for row in rows]

    every, ids = listed()
    assert every == [
        ("ship", "O-3"),
        ("place", "O-3"),
        ("place", "O-2"),
        ("refund", "O-1"),
        ("ship", "O-1"),
        ("place", "O-1"),
    ]
    assert listed(after=ids[1], limit=2)[1] == ids[2:4]
    assert listed(states=["rejected", "dead"])[1] == ids[:1]
    assert listed(order_id="O-1")[1] == ids[3:]
    assert listed(order_id="O-1", after=ids[3], states=["applied"], limit=1)[1] == [ids[4]]
    assert listed(order_id="O-1", states=["rejected"])[1] == []


# So many that a table is worth an index, and that the walk ends before what the oldest have.
COUNT = 24_000
NEWEST = "from generate_series(0, 23999) as n"
SHOP = f"""
insert into carriers (code, name) values ('old', 'Old'), ('acme', 'Acme');
insert into orders (order_id, currency, total_minor, shipping_minor, fulfillment_status,
  payment_status, refund_pending, version, placed_at)
select 'O-' || n, 'EUR', 100, 0,
  case when n >= 16500 then 'unfulfilled' when n % 50 = 1 then 'partially_fulfilled'
       when n % 3001 = 2 then 'cancelled' else 'fulfilled' end,
  case when n % 9001 = 5 then 'unpaid' when n % 50 = 9 then 'refunded' else 'paid' end,
  n % 400 = 3, 1, timestamptz '2026-01-01' + n / 2 * interval '1 minute' {NEWEST};
insert into order_words (order_id, placed_at, words)
select order_id, placed_at, array_to_tsvector(array['o' || n, 'common', 'sku' || n % 500] ||
  case when n < 10500 then array['early'] else '{{}}' end ||
  case when n % 777 = 5 then array['rare'] else '{{}}' end)
{NEWEST} join orders on order_id = 'O-' || n;
insert into shipments (shipment_id, order_id, command_id, carrier, tracking_number, label,
  shipped_at)
select gen_random_uuid(), 'O-' || n, gen_random_uuid(),
  case when n % 5000 = 7 then 'acme' when n < 10500 then 'old' else 'dhl' end,
  case when n < 10500 then 'OLD ' else '1Z-' end || n, 'none', now()
{NEWEST} cross join generate_series(0, (n % 9 = 0)::int) where n < 16500 and n % 3001 <> 2;
insert into commands (id, kind, order_id, body, fingerprint, state, decided_at)
select gen_random_uuid(), 'ship', 'O-' || n, '{{}}', '',
  case when n % 1000 = 7 then 'dead' when n % 100 = 9 then 'rejected' else 'applied' end, now()
{NEWEST};
insert into followups (id, route, name, order_id, command_id, subject_id, state)
select gen_random_uuid(), 'emails', 'shipped', 'O-' || n, gen_random_uuid(), gen_random_uuid(),
  case when n % 1000 = 8 then 'dead' else 'done' end {NEWEST};
analyze
"""


@pytest.fixture(scope="module")
def big(postgres_server, template):
    """A database of `COUNT` orders, as the command line connects to it."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"create database lists template {template}")
        url = f"{postgres_server.url.rsplit('/', 1)[0]}/lists"
        with psycopg.connect(url) as made:
            made.execute(SHOP)
        engine = make_engine(url, Settings())
        yield engine
        engine.dispose()
        connection.execute("drop database lists with (force)")


def parcel(condition):
    return f"exists (select from shipments s where s.order_id = o.order_id and {condition})"


def word(start):
    return (
        f"exists (select from order_words w where w.order_id = o.order_id and words @@ '{start}:*')"
    )


DEAD = """(exists (select from commands w where w.order_id = o.order_id and w.state = 'dead')
  or exists (select from followups w where w.order_id = o.order_id and w.state = 'dead'))"""
CASES = {
    "true": Wanted(),
    "fulfillment_status = 'cancelled'": Wanted(statuses=["cancelled"]),
    "payment_status in ('unpaid', 'paid')": Wanted(payment_statuses=["unpaid", "paid"]),
    "fulfillment_status = 'unfulfilled' and payment_status = 'unpaid'": Wanted(
        statuses=["unfulfilled"], payment_statuses=["unpaid"]
    ),
    "placed_at >= '2026-01-02Z' and placed_at < '2026-01-03Z'": Wanted(
        placed_from=datetime(2026, 1, 2, tzinfo=UTC), placed_until=datetime(2026, 1, 3, tzinfo=UTC)
    ),
    "refund_pending": Wanted(refund_pending=True),
    "refund_pending and fulfillment_status = 'unfulfilled'": Wanted(
        refund_pending=True, statuses=["unfulfilled"]
    ),
    DEAD: Wanted(has_dead=True),
    parcel("carrier = 'acme'"): Wanted(carriers=["acme"]),
    parcel("carrier in ('acme', 'dhl')"): Wanted(carriers=["acme", "dhl"]),
    word("o"): Wanted(search="o"),
    word("common"): Wanted(search="Cömmon"),
    word("rare"): Wanted(search="rare"),
    word("early"): Wanted(search="early"),
    word("sku499"): Wanted(search="SKU-499"),
    word("none"): Wanted(search="none"),
    parcel("tracking_number ~ '^1Z-16'"): Wanted(search="1z16"),
    parcel("tracking_number ~ '^1Z-1'"): Wanted(search="1 z 1"),
    word("rare") + " and fulfillment_status = 'fulfilled'": Wanted(
        search="rare", statuses=["fulfilled"]
    ),
    word("common") + " and " + parcel("carrier = 'acme'"): Wanted(
        search="common", carriers=["acme"]
    ),
    word("rare") + " and " + parcel("carrier = 'old'"): Wanted(search="rare", carriers=["old"]),
    word("early") + f" and {DEAD} and placed_at < '2026-01-05Z'": Wanted(
        search="early", has_dead=True, placed_until=datetime(2026, 1, 5, tzinfo=UTC)
    ),
    # Neither few nor among the newest, and most of their table.
    parcel("carrier = 'old'"): Wanted(carriers=["old"]),
    parcel("tracking_number ~ '^OLD'"): Wanted(search="old"),
}


@pytest.mark.parametrize("condition", CASES)
def test_pages_are_what_a_plain_query_finds(big, condition):
    """Whichever way they are found: all pages together are every order that meets the conditions,
    once, newest first and by id where times are equal.
    """
    wanted = CASES[condition]
    statement = (
        f"select order_id from orders o where {condition} order by placed_at desc, order_id desc"
    )
    with big.connect() as connection:
        expected = list(connection.exec_driver_sql(statement).scalars())

    assert found(big, wanted, limit=COUNT) == expected
    assert pages(big, wanted, limit=len(expected) // 3 + 1) == expected
    assert found(big, wanted, limit=51) == expected[:51]


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def plans(engine, sent):
    """The nodes of the plans of what was sent."""
    with engine.connect() as connection:
        for statement, parameters in sent:
            explained = connection.exec_driver_sql(
                f"explain (format json) {statement}", parameters
            ).scalar()
            yield from nodes(explained[0]["Plan"])


@pytest.mark.parametrize("condition", CASES)
def test_no_table_is_read_from_end_to_end(big, condition):
    """Among `COUNT` orders no statement reads a whole table, from the start or from deep inside."""
    wanted = CASES[condition]

    with rig.statements(big) as sent:
        found(big, wanted, limit=51)
        found(big, wanted, limit=51, after=f"O-{COUNT // 2}")

    assert [node for node in plans(big, list(sent)) if node["Node Type"] == "Seq Scan"] == []


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({"carriers": ["acme"]}, ["count_matches", "matching_orders"]),
        ({"carriers": ["dhl", "old"]}, ["count_matches", "walk_orders"]),
        (
            {"carriers": ["old"]},
            ["count_matches", "walk_orders", "walk_end", "walk_orders"],
        ),
        ({"search": "common"}, ["walk_orders", "count_matches", "matching_orders"]),
        (
            {"search": "early"},
            ["walk_orders", "walk_end", "matching_orders", "count_matches", "matching_orders"],
        ),
        ({"statuses": ["fulfilled"]}, ["walk_orders"]),
    ],
)
def test_which_way_a_page_is_found(big, conditions, names):
    """Few parcels are gone through, many are walked to however far they are; a word is walked to
    for one stretch, then its orders are gone through.
    """
    with rig.statements(big) as sent:
        assert len(found(big, limit=3, **conditions)) == 3

    assert WALK < FEW < 10_500
    assert [rig.name(statement) for statement, _ in sent] == names


@pytest.mark.parametrize(
    "conditions",
    [{}, {"states": ["applied"]}, {"states": ["dead", "rejected"]}, {"order_id": "O-77"}],
)
def test_lists_of_commands_read_no_table_from_end_to_end(big, conditions):
    """Commands of all states, of some, and of an order, are listed along an index."""
    with big.connect() as connection, rig.statements(big) as sent:
        rows = commands(connection, **conditions, limit=51)

    assert rows
    assert [node for node in plans(big, list(sent)) if node["Node Type"] == "Seq Scan"] == []
