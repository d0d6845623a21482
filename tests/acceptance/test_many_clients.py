"""Many clients at once over HTTP, a worker and Valkey killed: the short form of `many_clients`."""

import pytest

from tests.acceptance.many_clients import Valkey, report, run

pytestmark = pytest.mark.heavy


@pytest.mark.timeout(600)
def test_each_202_has_exactly_one_outcome(database_url, server_dir, tmp_path):
    """Twenty clients send for two seconds, one request in ten again: whatever was answered with 202
    is decided once, and each order has as many units shipped as commands were applied.
    """
    cache = Valkey(server_dir / "many-clients")
    try:
        result = run(database_url, cache, tmp_path, clients=20, seconds=2)
    finally:
        cache.stop()

    assert result.is_right, report(result)
    assert result.tally.kills == ["Group", "Valkey"]
    assert result.tally.again > 0
