"""An operator's day by mouse: a broken mail server, strays, a file, a queue held up."""

import pytest

from messages import Customer
from messages.wire import ROUTES
from tests import factories as make
from tests.console.browser import look
from tests.emails import mail_rig
from tests.work import rig
from tests.work.test_dead import dead_followup, too_new, with_refund
from tests.work.test_strays import stray
from worker.emails.route import emails_route
from worker.settings import Settings

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

ORDERS = 12
WORKERS = """
insert into worker_processes values
  (gen_random_uuid(), 'shop-workers-commands-6f7c9d8b5-x2k4q', 7, '{commands,jobs}',
    now() - interval '3 days', now() + interval '1 hour',
    '[{"queue": "commands", "batch": 1, "rows": 200, "for_s": 0.2}]'),
  (gen_random_uuid(), 'shop-workers-6f7c9d8b5-x2k4r', 12345, %(queues)s,
    now() - interval '5 min', now() + interval '1 hour',
    '[{"queue": "emails", "batch": 2, "rows": 4, "for_s": 65},
      {"queue": "labels", "batch": 3, "rows": 1, "for_s": 2}]')
"""
CSV = b"order,line,quantity,carrier,tracking\nE-0,A,1,dhl,7\nE-1,A,99,dhl,8\nE-2,A,x,dhl,9\n"


@pytest.fixture
def mail():
    """A mail server that refuses everybody for a while."""
    with mail_rig.event_loop() as loop:
        server = mail_rig.MailServer(loop)
        server.answers["RCPT"] = ["554 5.7.1 you are not welcome"] * ORDERS
        yield server
        server.stop()


@pytest.fixture
def send_emails(engine, mail):
    """Sends what is due, as a worker does."""
    route = emails_route(engine, Settings(SMTP_URL=mail.url, email_from="orders@shop.example"))
    yield rig.drain_of(route, engine)
    route.close()


@pytest.fixture
def shop(engine, send_emails):
    """Orders of which a unit was shipped, and no e-mail about it could be sent; other failures."""
    for n in range(ORDERS):
        rig.placed(engine, f"E-{n}", customer=Customer(email=f"customer{n}@shop.example"))
    rig.decided(
        engine, *(make.ship(order_id=f"E-{n}", items=make.items(A=1)) for n in range(ORDERS))
    )
    send_emails()
    with_refund(engine)
    rig.run(engine, "update followups set state = 'done', decided_at = now()"
            " where order_id = 'O-1' and route = 'emails'")  # fmt: skip
    dead_followup(engine, "refunds", reason="provider_400")
    too_new(engine, items=[{"line_id": "A", "quantity": 1}])
    stray(engine, make.hold(order_id="E-3").body() | {"schema_version": 2}, problem="unknown")
    stray(engine, make.hold(order_id="E-4").body(), reason="unsigned")


def test_a_broken_mail_servers_dead_letters(browser, engine, shop, mail, send_emails):
    """Seen among the queues, counted and judged before they are tried again, sent once each."""
    rig.run(engine, WORKERS, queues=list(ROUTES))
    seen = browser()
    page = seen.goto("/queues")
    page.get_by_text("2 worker processes are alive").wait_for()
    look(seen, "queues")

    page.get_by_role("link", name=f"Dead: E-mails, {ORDERS}").click()
    page.wait_for_url("**/dead?queue=emails")
    page.select_option("#queue", "")
    page.wait_for_url("**/dead")
    look(seen, "dead")

    page.get_by_role("link", name="Replay… E-mails smtp_rejected").click()
    page.get_by_text(f"Would succeed: {ORDERS}").wait_for()
    look(seen, "dead-replay")
    page.get_by_role("button", name=f"Replay {ORDERS} letters").click()
    page.get_by_text(f"{ORDERS} letters replayed.").wait_for()
    send_emails()

    assert sorted(one.rcpt_tos[0] for one in mail.got) == sorted(
        f"customer{n}@shop.example" for n in range(ORDERS)
    )
    assert rig.rows(engine, "select actor, count(*)::integer from audit where act = 'replayed'"
                    " group by actor") == [("operator", ORDERS)]  # fmt: skip

    page.goto("/dead/discard")
    look(seen, "dead-discard")
    page.goto("/dead?queue=commands")
    page.locator("table.letters a.row").click()
    body = page.locator("#body")
    body.fill(body.input_value().replace('"schema_version": 2', '"schema_version": 1'))
    page.get_by_role("button", name="Check").click()
    page.locator("#foreseen").get_by_text("Would succeed").wait_for()
    look(seen, "dead-letter")
    page.get_by_role("button", name="Replace and replay").click()
    page.get_by_text("It is due again: Commands, order O-1.").wait_for()


def test_strays_files_and_a_queue_held_up(browser, engine, shop):
    """A stray is checked; a file is checked, sent and stopped; a queue is held up, of which the
    page, looking again, tells others; all of it is in the audit.
    """
    seen = browser()
    page = seen.goto("/strays")
    look(seen, "strays")
    page.locator("table.letters a.row").first.click()
    page.get_by_label("I have looked at it, and vouch for it").check()
    page.get_by_role("button", name="Check").click()
    page.locator("#foreseen").get_by_text("Would succeed").wait_for()
    look(seen, "stray")

    page.goto("/jobs")
    page.set_input_files("#file", {"name": "parcels.csv", "mimeType": "text/csv", "buffer": CSV})
    page.get_by_role("button", name="Check").click()
    page.get_by_text("Nothing was sent.").wait_for()
    assert rig.count(engine, "jobs") == 0
    look(seen, "jobs")
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/jobs/*")
    look(seen, "job")
    page.get_by_role("button", name="Stop it").click()
    page.get_by_role("button", name="Let it go on").wait_for()

    page.goto("/queues")
    page.select_option("#queue", "emails")
    page.fill("#reason", "the mail server is down")
    page.get_by_role("button", name="Pause").click()
    go_on = page.get_by_role("button", name="Let E-mails go on")
    go_on.wait_for()
    rig.run(engine, "update paused_routes set reason = 'it is being mended'")
    page.get_by_text("it is being mended").wait_for()  # the page has looked again
    look(seen, "queues-paused")
    go_on.click()
    page.locator("#queue-emails").get_by_text("Paused").wait_for(state="detached")

    page.goto("/audit?actor=operator")
    page.get_by_text("Details").nth(2).click()
    look(seen, "audit")
    assert rig.rows(engine, "select act from audit where actor = 'operator' order by audit_id") == [
        ("signed_in",),
        ("job_cancelled",),
        ("paused",),
        ("resumed",),
    ]  # fmt: skip
