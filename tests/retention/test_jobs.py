"""Rows of jobs: cells as they came are emptied by age, and for an order that is forgotten."""

from tests import factories as make
from tests.jobs import job_rig
from tests.jobs.job_rig import HEADER
from tests.retention.conftest import later
from tests.work import rig

NOTED = HEADER.replace("\n", ",note\n")


def cells(engine):
    return [one for (one,) in rig.rows(engine, "select cells from job_rows order by row")]


def test_old_rows_are_emptied(engine, prune):
    """Ninety days after a job has ended its cells go, more than a batch of them; what became of
    each row stays. A job that waits is whole, and a dry run counts.
    """
    text = NOTED + "".join(f"O-{n},A,,1,,T{n},Zoë\n" for n in range(1_203))
    found = job_rig.loaded(engine, text)
    later(engine, 91)
    assert prune() == {}
    job_rig.drain(engine)()
    later(engine, 91, "true")
    assert prune(dry_run=True)["job_rows"] == 1_203

    assert prune()["job_rows"] == 1_203

    assert set(cells(engine)) == {None}
    assert len(job_rig.fates(engine, found)) == 1_203
    assert prune() == {}


def test_a_young_row_is_whole(engine, prune):
    """What has not ended so long ago stays as it came."""
    job_rig.carried_out(engine, NOTED + "O-1,A,,1,,T,Zoë\n")

    assert prune() == {}
    assert cells(engine) == ['["O-1","A","","1","","T","Zoë"]']


def test_an_order_that_is_forgotten(engine, cli):
    """Rows of the order lose their cells, also where they name it by its number; others keep
    them.
    """
    rig.with_lines(engine, make.order_line("A", 3), number="1001")
    job_rig.carried_out(
        engine,
        NOTED + "O-1,A,,1,,T1,Zoë\n1001,A,,1,,T2,Zoë\n#1001,A,,x,,T3,Zoë\nO-2,A,,x,,T4,Ann\n",
    )
    rig.run(engine, "update followups set state = 'done' where state = 'pending'")

    forgotten = cli("orders", "forget", "O-1", "--yes")

    assert forgotten.exit_code == 0, forgotten.stderr
    assert cells(engine) == [None, None, None, '["O-2","A","","x","","T4","Ann"]']
