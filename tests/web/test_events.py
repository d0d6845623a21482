"""The feed over HTTP."""

import pytest

from tests import factories as make
from tests.work import rig


def test_pages_follow_each_other(client, engine):
    """`next` goes on where a page ends; behind the last event it brings what comes later."""
    rig.placed(engine)
    rig.decided(engine, make.ship(items=make.items(A=1)), make.ship(items=make.items(A=9)))

    first = client.get("/v1/events?limit=2").json()
    second = client.get(first["next"]).json()
    rig.decided(engine, make.cancel())
    third = client.get(second["next"]).json()

    types = [[one["type"] for one in page["events"]] for page in (first, second, third)]
    assert types == [
        ["fulfillment.command.applied", "fulfillment.command.applied"],
        ["fulfillment.command.rejected"],
        ["fulfillment.command.applied"],
    ]
    ids = [one["id"] for page in (first, second, third) for one in page["events"]]
    assert ids == ["1", "2", "3", "4"]


def test_an_orders_own(client, engine):
    """With `order` only its events come, and the cursor passes the others."""
    rig.placed(engine, "O-1")
    rig.placed(engine, "O-2")

    page = client.get("/v1/events?order=O-2").json()

    assert [(one["subject"], one["id"]) for one in page["events"]] == [("O-2", "2")]
    assert page["next"] == "/v1/events?after=2&order=O-2&limit=100"


def test_a_cursor_of_nowhere(client):
    """A number that no event has is gone, with where to begin."""
    answer = client.get("/v1/events?after=7")

    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/gone")
    assert answer.json()["oldest"] == 0


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001"])
def test_bad_queries(client, query):
    """A parameter beyond its bounds is named."""
    answer = client.get(f"/v1/events?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_only_readers(make_client, add_key):
    """A key that may not read sees no event."""
    assert make_client(add_key("ship")).get("/v1/events").status_code == 403
