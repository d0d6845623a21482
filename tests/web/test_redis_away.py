"""Redis is never waited for."""

import pytest
from starlette.testclient import TestClient

from tests import factories as make
from tests.faults.proxy import Proxy, Way
from tests.web.application import application
from tests.work import rig
from worker.broker.hints import Hints
from worker.web.door import Door
from worker.web.hinting import Hinting


@pytest.mark.timeout(60)
def test_commands_are_accepted_while_redis_hangs(
    make_door, everything, engine, valkey_server, redis_url
):
    """Redis takes connections and says nothing: each command is committed and answered."""
    del redis_url  # emptied
    with Proxy(valkey_server.port).served() as proxy:
        url = valkey_server.url.replace(f":{valkey_server.port}", f":{proxy.port}")
        hints = Hints(url, limit=4)
        hinting = Hinting(hints)
        door: Door = make_door()
        door.hints = hinting
        headers = {"Authorization": f"Bearer {everything}"}
        with proxy.going(Way.HANG), TestClient(application(door), headers=headers) as client:
            answers = [client.post("/v1/commands", json=make.ship().body()) for _ in range(20)]
        hinting.close()
        hints.close()

    assert {one.status_code for one in answers} == {202}
    assert rig.count(engine, "commands") == 20
