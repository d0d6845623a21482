"""A rolling restart under load: the short form of `rolling`."""

import pytest

from tests.acceptance.rolling import Plan, roll
from tests.faults.world import World

pytestmark = pytest.mark.heavy


@pytest.mark.timeout(240)
def test_nothing_is_lost_and_no_request_fails(database_url, redis_url, tmp_path):
    """Two workers and the only web are replaced one after the other under load: each ends with 0,
    every HTTP request is answered though its client tries nothing twice, every command ends once.
    """
    plan = Plan(seed=7, seconds=4, commands=200, workers=2, webs=1, clients=4, is_supervised=False)

    result = roll(plan, World.lent(tmp_path, plan.seed, database_url, redis_url))

    assert result.is_right, str(result)
    assert result.replaced == ["worker 0", "worker 1", "web 0"]
    assert result.asked.count > 100
