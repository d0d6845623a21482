"""Plans: no statement of retention reads a table of work from end to end, however little is old."""

import pytest

from tests import factories as make
from tests.retention.conftest import later
from tests.work import rig
from worker.work.accept import record_stray

LARGE = {"commands", "followups", "orders", "documents", "strays", "audit", "purchases", "events"}
YOUNG = """
insert into commands (id, kind, order_id, body, fingerprint, state, outcome, decided_at)
select gen_random_uuid(), 'ship', 'F-' || n, '{}', '', 'applied', '{"state": "applied"}', now()
from generate_series(1, 5000) n
"""


@pytest.fixture
def sent(engine, prune):
    """The statements of a run, with their parameters, among many rows of which few are old."""
    rig.placed(engine)
    rig.decided(engine, make.ship())
    with engine.begin() as connection:
        record_stray(connection, "invalid", "{}")
    later(engine, 400)
    rig.run(engine, YOUNG)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("vacuum analyze")
    with rig.statements(engine) as sent:
        assert prune() == {"bodies": 1, "strays": 1}
    return [one for one in sent if rig.name(one[0]) not in {"ensure", "begun", ""}]


def test_no_table_is_read_from_end_to_end(engine, sent):
    """Every one of its statements finds its rows by an index."""
    wholly = {
        (rig.name(statement), table)
        for statement, parameters in sent
        for table in read_wholly(plan(engine, statement, parameters))
    }

    assert len({rig.name(statement) for statement, _ in sent}) >= 8
    assert wholly == set()


def test_a_walk_takes_the_index_of_how_commands_ended(engine, sent):
    """It goes on from where it is, instead of sorting all that ended so."""
    walks = [one for one in sent if rig.name(one[0]) == "empty_bodies" and "'applied'" in one[0]]

    used = [indexes(plan(engine, *one)) for one in walks]

    assert all("commands_ended_by_state" in names for names in used)


def plan(engine, statement, parameters):
    with engine.connect() as connection:
        explain = f"explain (format json) {statement}"
        (found,) = connection.exec_driver_sql(explain, parameters).scalar_one()
    return found["Plan"]


def read_wholly(node):
    """Names of the large tables that a plan reads from end to end."""
    found = set().union(*map(read_wholly, node.get("Plans", ())))
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE:
        found.add(node["Relation Name"])
    return found


def indexes(node):
    """Names of the indexes in a plan."""
    return set().union(*map(indexes, node.get("Plans", ()))) | {node.get("Index Name", "")}
