"""What fake payment providers have in common: a ledger, news by webhook, and how requests go.

    with FakeSquare() as fake:
        fake.ledger.capture("P1", 5_000)
        fake.refunds_go(Wrong.SILENT_AFTER)

What it did is in `counts`, what it knows in `ledger`.
"""

import urllib.request
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.fakes.ledger import Ledger, Refund, State
from tests.fakes.server import Broken, FakeServer, Reply, Request, Wrong

PRIVATE = "private words of a customer"
"""In every text that is meant for people: it must be found nowhere on our side."""

ONLY_REFUNDS = {Wrong.DECLINED, Wrong.FAILED, Wrong.PENDING}


class FakeProvider(FakeServer):
    """A subclass knows the interface of one."""

    def __init__(
        self,
        *,
        keeps_keys_s: float = float("inf"),
        webhook_url: str = "http://127.0.0.1/news",
        **server: Any,
    ) -> None:
        """A provider that is not yet listening.

        Args:
          keeps_keys_s: For how long a key gives its first answer.
          webhook_url: Where `settle` and `fail` can send news, and part of what Square signs.
          server: See `FakeServer`.
        """
        super().__init__(**server)
        self.ledger = Ledger(keeps_keys_s=keeps_keys_s)
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

    def settle(self, refund_id: str, *, tell: bool = False) -> None:
        """A pending refund succeeds; `tell` sends the news to the webhook."""
        self._end(refund_id, "settled", tell)

    def fail(self, refund_id: str, *, tell: bool = False) -> None:
        """A refund fails; `tell` sends the news to the webhook."""
        self._end(refund_id, "failed", tell)

    def _end(self, refund_id: str, state: State, tell: bool) -> None:  # noqa: FBT001
        refund = self.ledger.end(refund_id, state)
        if tell:
            headers, body = self.event(refund)
            with urllib.request.urlopen(
                urllib.request.Request(self.webhook_url, body, dict(headers)), timeout=10
            ):
                pass

    @abstractmethod
    def event(self, refund: Refund, kind: str | None = None) -> tuple[Mapping[str, str], bytes]:
        """Signed news of how the refund stands by now, as headers and body."""

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
            if method == "GET" and wrong in ONLY_REFUNDS:
                wrong = None
            kind = "told" if isinstance(wrong, Reply) else wrong or "right"
            self.counts[f"{method} {kind}"] += 1
            return wrong
