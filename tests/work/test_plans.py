"""How PostgreSQL finds the rows of commands, whatever statistics say of them."""

import pytest

from tests import factories as make
from tests.work import rig

FINISHED = """
insert into commands (id, kind, order_id, body, fingerprint, state, outcome, decided_at)
select gen_random_uuid(), 'ship', 'F-' || n, '{}', '', 'applied', '{"state": "applied"}', now()
from generate_series(1, 5000) n
"""
MEANT = {
    "claim": {"commands_due", "commands_pkey"},
    "lock_claimed": {"commands_pkey"},
    "load": {"commands_open_of_order", "commands_pkey"},
    "write_batch": {"commands_waiting", "commands_pkey"},
}


@pytest.fixture
def sent(engine):
    """The statements of a batch, with their parameters, once statistics know nothing pending."""
    rig.run(engine, FINISHED)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("vacuum analyze")
    place = make.place()
    waiting = [make.ship(order_id="W") for _ in range(50)]
    rig.accepted(engine, place, make.ship(after=place.command_id), *waiting)
    with rig.statements(engine) as sent:
        rig.drainer(engine)()
    return {rig.name(statement): (statement, parameters) for statement, parameters in sent}


@pytest.mark.parametrize("name", MEANT)
def test_each_statement_takes_the_index_that_is_meant_for_it(engine, sent, name):
    """No statement looks through all that is pending for a few rows, though an index of what is
    pending is as good as empty by the statistics.
    """
    statement, parameters = sent[name]

    with engine.connect() as connection:
        explain = f"explain (format json) {statement}"
        (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()

    assert indexes(plan["Plan"]) == MEANT[name]


def indexes(node):
    """Names of the indexes of `commands` in a plan."""
    found = set().union(*map(indexes, node.get("Plans", ())))
    name = node.get("Index Name", "")
    is_scan = node["Node Type"].endswith("Scan")
    assert not is_scan or node.get("Relation Name") != "commands" or name, "no index"
    return found | ({name} if name.startswith("commands") else set())
