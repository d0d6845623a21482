"""A payment provider for workers that are killed: it answers wrongly now and then, ends refunds
later than it was asked to, and changes its mind about a few.
"""

import http.client
import threading
from contextlib import contextmanager
from dataclasses import asdict

from tests.fakes.server import Wrong
from tests.fakes.square import NOT_FOUND, FakeSquare, refusal
from worker.refunds.square import Square
from worker.refunds.webhooks import Receiver
from worker.settings import Settings
from worker.store.engine import make_engine

NAME = "tests.faults.square:impatient"
WEBHOOK_URL = "https://shop.example/webhooks"
SETTINGS = {
    "FULFILLMENT_REFUND_PROVIDERS": f'{{"*": "{NAME}"}}',
    "SQUARE_ACCESS_TOKEN": FakeSquare.token,
}
"""Of workers, beside `SQUARE_URL`."""


def impatient(config: Settings) -> Square:
    """Square's adapter, which waits half a second for an answer instead of ten."""
    return Square(
        config.square_access_token.get_secret_value(),
        url=str(config.square_url),
        webhook_key=FakeSquare.webhook_key,
        webhook_url=WEBHOOK_URL,
        timeout_s=0.5,
    )


class Account(FakeSquare):
    """A merchant's account, so many of whose answers are wrong, in every way there is; each way is
    met at least once. Payments that are `gone` are not found any more; those that are `late` are
    shown without their refunds, as by a copy that is behind.
    """

    def __init__(self, seed, wrong_rate=0.2):
        super().__init__(wrong_rate=wrong_rate, seed=seed, webhook_url=WEBHOOK_URL)
        self.gone = set()
        self.late = set()
        self.shown_late = 0
        """How often such a payment was shown."""
        self.repeated = 0
        """How often a key was used again after the first refund under it."""
        self.refunds_go(*Wrong)

    @property
    def asked(self):
        """How many requests for refunds there were."""
        return sum(count for name, count in self.counts.items() if name.startswith("POST"))

    def serve(self, request, wrong):
        match request.method, request.path:
            case "GET", ["v2", "payments", payment_id] if payment_id in self.gone:
                return refusal(NOT_FOUND)
            case "GET", ["v2", "payments", payment_id] if payment_id in self.late:
                reply = super().serve(request, wrong)
                reply.body.get("payment", {}).pop("refund_ids", None)
                self.shown_late += 1
                return reply
            case "POST", ["v2", "refunds"]:
                with self.ledger.lock:
                    before = len(self.ledger.refunds)
                    reply = super().serve(request, wrong)
                    self.repeated += reply.status == 200 and len(self.ledger.refunds) == before
                    return reply
        return super().serve(request, wrong)

    def rows(self):
        """Every refund, as the checker reads them."""
        with self.ledger.lock:
            return [asdict(one) for one in self.ledger.refunds.values()]


class Clerk(threading.Thread):
    """The provider's back office. What is pending it settles or fails, and tells every second time,
    by a signed webhook, until that is heard. A few that had ended it ends the other way, and tells.
    """

    def __init__(self, account, port, chance, *, late):
        super().__init__(name="clerk", daemon=True)
        self.account, self.port, self.chance, self.late = account, port, chance, late
        self.flipped = set()
        self.unheard = 0
        self.over = threading.Event()
        self.problem = None

    def run(self):
        try:
            while not self.over.wait(0.05):
                self.end_pending()
                if len(self.flipped) < self.late and self.chance.random() < 0.2:
                    self.flip(self.of("settled", "failed"))
        except Exception as error:  # noqa: BLE001  # raised again by the test
            self.problem = error

    def end_pending(self):
        for refund in self.of("pending"):
            state = "settled" if self.chance.random() < 0.7 else "failed"
            self.account.ledger.end(refund.refund_id, state)
            if self.chance.random() < 0.5:
                self.tell(refund)

    def flip(self, candidates):
        """One of them ends the other way."""
        candidates = [one for one in candidates if one.refund_id not in self.flipped]
        if candidates:
            refund = self.chance.choice(candidates)
            self.flipped.add(refund.refund_id)
            state = "failed" if refund.state == "settled" else "settled"
            self.account.ledger.end(refund.refund_id, state)
            self.tell(refund)

    def of(self, *states):
        with self.account.ledger.lock:
            return [one for one in self.account.ledger.refunds.values() if one.state in states]

    def tell(self, refund):
        """Until it is heard."""
        while not self.heard(refund) and not self.over.wait(0.1):
            self.unheard += 1

    def heard(self, refund):
        headers, body = self.account.event(refund)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", f"/webhooks/{NAME}", body, dict(headers))
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self):
        self.over.set()
        self.join(20)
        assert not self.is_alive()
        if self.problem:
            raise self.problem


@contextmanager
def receiving(database_url, account):
    """The port of our receiver of its webhooks."""
    engine = make_engine(database_url, Settings(), pool_size=4)
    provider = impatient(Settings(SQUARE_ACCESS_TOKEN=FakeSquare.token, SQUARE_URL=account.url))
    server = Receiver("127.0.0.1", 0, engine, {NAME: provider})
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        provider.close()
        engine.dispose()
