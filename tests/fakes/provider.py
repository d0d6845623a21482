"""What fake payment providers have in common: a ledger, signed news, and how requests go.

    with FakeSquare() as fake:
        fake.ledger.capture("P1", 5_000)
        fake.refunds_go(Wrong.SILENT_AFTER)

What it did is in `counts`, what it knows in `ledger`.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.fakes.ledger import Ledger, Refund
from tests.fakes.server import Broken, FakeServer, Reply, Request, Wrong

PRIVATE = "private words of a customer"
"""In every text that is meant for people: it must be found nowhere on our side."""

ONLY_REFUNDS = {Wrong.DECLINED, Wrong.FAILED, Wrong.PENDING}


class FakeProvider(FakeServer):
    """A subclass knows the interface of one."""

    def __init__(self, *, webhook_url: str = "http://127.0.0.1/news", **server: Any) -> None:
        """A provider that is not yet listening; Square signs its `webhook_url`, the rest are the
        options of `FakeServer`.
        """
        super().__init__(**server)
        self.ledger = Ledger()
        self.counts: Counter[str] = Counter()
        self.webhook_url = webhook_url
        self._told: dict[str, list[Wrong | Reply | None]] = {"POST": [], "GET": []}

    def refunds_go(self, *wrong: Wrong | Reply | None) -> None:
        """How the next requests for refunds go, one by one; None is right, a reply is given instead
        of doing anything.
        """
        self._told["POST"].extend(wrong)

    def lookups_go(self, *wrong: Wrong | Reply | None) -> None:
        """How the next look-ups go."""
        self._told["GET"].extend(wrong)

    @abstractmethod
    def event(self, refund: Refund, kind: str | None = None) -> tuple[Mapping[str, str], bytes]:
        """Signed news of how the refund stands by now, as headers and body."""

    @abstractmethod
    def sign(self, body: bytes) -> Mapping[str, str]:
        """The headers of signed news, whatever they are."""

    @abstractmethod
    def serve(self, request: Request, wrong: Wrong | None) -> Reply:
        """The reply to a request that got through. What the caller will hear instead, if anything,
        is not its business, unless it keeps that under the key.
        """

    def answer(self, request: Request) -> Reply | Broken:
        wrong = self.draw(request.method)
        return self.go(wrong, partial(self.serve, request, wrong))

    def draw(self, method: str) -> Wrong | Reply | None:
        """What goes wrong with this request."""
        with self.lock:
            wrong = self.next_wrong(self._told[method])
            if isinstance(wrong, Reply):
                self.counts[f"{method} told"] += 1
                return wrong
            if method == "GET" and wrong in ONLY_REFUNDS:
                wrong = None
            kind = wrong or "right"
            self.counts[f"{method} {kind}"] += 1
            return wrong
