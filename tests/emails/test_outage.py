"""A mail server that refuses everything for a while: what operators see, and how they clear it."""

import json

import pytest
from typer.testing import CliRunner

from messages import Customer
from tests import factories as make
from tests.work import rig
from worker.cli.root import app
from worker.emails.route import emails_route
from worker.settings import Settings

ORDERS = 25
REFUSALS = ["554 5.7.1 <customer0@shop.example> is not welcome"] * ORDERS


@pytest.fixture
def operator(database_url, redis_url):
    """Runs a command; its words."""

    def run(*words):
        servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        result = CliRunner().invoke(app, list(words), env=servers)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def shipped(engine):
    """So many orders, each shipped, each with a customer to be told."""
    for n in range(ORDERS):
        customer = Customer(email=f"customer{n}@shop.example")
        rig.placed(engine, f"E-{n}", customer=customer)
    commands = [make.ship(order_id=f"E-{n}") for n in range(ORDERS)]
    assert rig.decided(engine, *commands) == ["applied"] * ORDERS


def test_one_replay_clears_an_outage(engine, server, operator):
    """Orders stay shipped while every e-mail is refused; the dead letters are one group under one
    reason, which names nobody; one replay sends each e-mail once.
    """
    shipped(engine)
    config = Settings(SMTP_URL=server.url, email_from="orders@shop.example")
    route = emails_route(engine, config)
    drain = rig.drain_of(route, engine)
    server.answers["RCPT"] = list(REFUSALS)

    drain()

    assert server.got == []
    assert rig.count(engine, "orders", "fulfillment_status = 'fulfilled'") == ORDERS
    (group,) = map(json.loads, operator("dead", "list", "--groups", "--json").splitlines())
    assert (group["route"], group["reason"], group["letters"]) == (
        "emails",
        "smtp_rejected",
        ORDERS,
    )
    assert group["last_error"] == "the mail server refused RCPT TO: 554 5.7.1"

    operator("dead", "replay", "--reason", "smtp_rejected")
    drain()

    assert sorted(one.rcpt_tos[0] for one in server.got) == sorted(
        f"customer{n}@shop.example" for n in range(ORDERS)
    )
    assert rig.count(engine, "followups", "state = 'done'") == ORDERS
    assert operator("dead", "list", "--groups", "--json") == ""
    route.close()
