"""Waiting for an outcome: one look for all, and never longer than asked."""

import asyncio
import threading
from uuid import uuid4

import pytest

from tests import factories as make
from tests.work import rig
from worker.web.hinting import Hinting
from worker.web.waiting import Waiting


@pytest.mark.timeout(60)
def test_an_outcome_comes_while_its_sender_waits(client, engine):
    """Asked with `wait` before it is decided, answered with the outcome as soon as it is."""
    command = make.place()
    rig.accepted(engine, command)
    told = []

    with rig.running(lambda: told.append(client.get(f"/v1/commands/{command.command_id}?wait=50"))):
        rig.until(lambda: client.app.state.door.waiting._waiting)
        rig.drainer(engine)()

    assert told[0].json()["state"] == "applied"


@pytest.mark.timeout(60)
def test_when_the_time_is_up_it_is_pending(client, engine):
    """200 with the state as it is; nobody waits any more."""
    command = make.ship()
    rig.accepted(engine, command)

    answer = client.get(f"/v1/commands/{command.command_id}?wait=0.05")

    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert client.app.state.door.waiting._waiting == {}


@pytest.mark.parametrize("wait", ["61", "-1", "soon", "nan"])
def test_a_wait_is_0_to_60_seconds(client, wait):
    """Anything else is 422."""
    answer = client.get(f"/v1/commands/{uuid4()}?wait={wait}")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


def test_one_look_is_for_all_who_wait():
    """Two hundred wait for a hundred commands: each look asks for all that are still awaited, at
    once, and each who waits is told when its own has ended.
    """
    ids = [uuid4() for _ in range(100)]
    looks = []

    async def ended(asked):
        looks.append(len(asked))
        return ids if len(looks) > 1 else ids[:60]

    async def run():
        waiting = Waiting(ended, every_s=0)
        await asyncio.gather(*(waiting.until_ended(one, 50) for one in ids * 2))

    asyncio.run(run())

    assert looks == [100, 40]


def test_a_look_that_fails_is_followed_by_another():
    """The database was away for a moment: who waits is told by a later look."""
    wanted, looks = uuid4(), []

    async def ended(asked):
        looks.append(asked)
        if len(looks) == 1:
            raise OSError("away")
        return asked

    async def run():
        await Waiting(ended, every_s=0).until_ended(wanted, 50)

    asyncio.run(run())

    assert len(looks) == 2


def test_a_process_that_stops_sends_all_away():
    """Who waits is told at once, and nobody waits any more."""

    async def ended(_):
        return []

    async def run():
        waiting = Waiting(ended, every_s=0)
        waits = asyncio.ensure_future(waiting.until_ended(uuid4(), 50))
        await asyncio.sleep(0)
        waiting.close()
        await waits
        await waiting.until_ended(uuid4(), 50)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_hint_never_holds_up_who_wants_it():
    """While one is being sent, and does not end, others are wanted and become one."""
    free, begun, sent = threading.Event(), threading.Event(), []

    class Stuck:
        def send(self, route):
            begun.set()
            assert free.wait(20)
            sent.append(route)

    hinting = Hinting(Stuck())
    hinting.send()
    assert begun.wait(20)
    for _ in range(100):
        hinting.send()
    free.set()
    rig.until(lambda: len(sent) == 2)
    hinting.close()

    assert sent == ["commands", "commands"]
