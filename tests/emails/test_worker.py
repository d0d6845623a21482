"""E-mails from a worker process as an operator starts it."""

import pytest

from messages import Customer
from tests import factories as make
from tests.acceptance import processes
from tests.work import rig

pytestmark = pytest.mark.heavy


def test_a_worker_sends_and_says_goodbye(engine, redis_url, server, tmp_path, monkeypatch):
    """Thirty parcels of thirty orders: each customer is told once, over few connections; at SIGTERM
    the worker ends with 0 and closes every one of them with QUIT.
    """
    monkeypatch.setenv("SMTP_URL", server.url)
    monkeypatch.setenv("FULFILLMENT_EMAIL_FROM", "orders@shop.example")
    database_url = engine.url.render_as_string(hide_password=False)
    customers = [f"customer{n}@shop.example" for n in range(30)]
    with processes.groups(1, database_url, redis_url, tmp_path) as (group,):
        for n, email in enumerate(customers):
            order = make.placed_order(customer=Customer(email=email))
            rig.accepted(
                engine,
                make.place(order_id=f"E-{n}", order=order),
                make.ship(order_id=f"E-{n}"),
            )
        processes.until(lambda: rig.count(engine, "followups", "state = 'done'") == 30, 30, "mail")

        group.terminate()

        assert group.wait(30) == 0
    assert sorted(one.rcpt_tos[0] for one in server.got) == sorted(customers)
    assert 1 <= len(server.sessions) <= 4
    assert server.quits == len(server.sessions)
    assert "shop.example" not in group.words()
