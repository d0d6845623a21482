"""Commands in over HTTP, and what became of them."""

from uuid import UUID, uuid4

from tests import factories as make
from tests.work import rig


def test_a_command_is_committed_before_it_is_answered(client, engine, hints):
    """202 with the address of the command, whose row is there; workers are hinted once."""
    command = make.ship()

    answer = client.post("/v1/commands", json=command.body())

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/commands/{command.command_id}"
    assert answer.json() == {
        "command_id": str(command.command_id),
        "answer": "accepted",
        "state": "pending",
        "outcome": None,
        "location": f"/v1/commands/{command.command_id}",
        "errors": [],
    }
    assert rig.state(engine, command) == "pending"
    assert hints.sent == 1
