"""A worker of some queues: what it drains, hints for and is told."""

import pytest
import redis
from pydantic import ValidationError

from messages import wire
from tests import factories as make
from tests.work import rig
from worker.refunds.providers import providers
from worker.runtime import Runtime, followup_routes
from worker.servers import Servers
from worker.settings import Settings


def test_a_worker_of_some_queues(engine, database_url, redis_url, monkeypatch, tmp_path):
    """It carries out and hints for its own queues, whatever is due of others."""
    monkeypatch.setenv("FULFILLMENT_QUEUES", "emails, labels")
    config = Settings(email_folder=tmp_path)
    routes = followup_routes(engine, config, providers(config))
    made = Runtime(config, Servers(database_url, redis_url), engine=engine, routes=routes)
    rig.placed(engine, customer={"email": "customer@example.com"})
    rig.decided(engine, make.ship(items=make.items(A=1)))
    rig.accepted(engine, make.ship(items=make.items(A=1)))

    made.ticker.tick()
    made.hints.close()

    assert made.drains.keys() == {"emails", "labels"}
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("fulfillment:commands*") == []
        assert client.llen("fulfillment:emails") == 1


def test_all_queues_unless_told():
    """Without a word it is every queue that there is."""
    assert Settings().queues == wire.ROUTES


@pytest.mark.parametrize("named", ["", "inbox", "emails,faxes"])
def test_queues_that_are_not(monkeypatch, named):
    """No queue, the inbox, which goes with commands, or one that is not known: refused by name."""
    monkeypatch.setenv("FULFILLMENT_QUEUES", named)

    with pytest.raises(ValidationError, match="queues"):
        Settings()
