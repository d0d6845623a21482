"""Stripe's refunds interface, as far as refunds need it: https://docs.stripe.com/api/refunds.

Unlike Square's, it repeats the first answer under a key even when that was an error.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.ledger import Refund, Refusal, State
from tests.fakes.provider import PRIVATE, FakeProvider
from tests.fakes.server import Reply, Request, Wrong

STATUS = {"pending": "pending", "settled": "succeeded", "failed": "failed"}
TOO_MUCH = (400, {"type": "invalid_request_error", "param": "amount"})
WHY: dict[str, tuple[int, dict[str, str]]] = {
    "no_payment": (404, {"type": "invalid_request_error", "code": "resource_missing"}),
    "currency": (400, {"type": "invalid_request_error", "param": "currency"}),
    "too_much": TOO_MUCH,
}
DECLINED = (400, {"type": "invalid_request_error", "code": "refund_disputed_payment"})
REUSED = (400, {"type": "idempotency_error"})
UNAUTHORIZED = (401, {"type": "invalid_request_error"})
NOT_FOUND = WHY["no_payment"]


class FakeStripe(FakeProvider):
    """An account. The ledger's amounts and currencies are Stripe's."""

    token = "sk_test_fake"
    webhook_key = "whsec_fake"
    decline: tuple[int, dict[str, str]] = DECLINED
    """What a refund that is declined hears: HTTP status and error."""

    def serve(self, request: Request, wrong: Wrong | None) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return refusal(UNAUTHORIZED)
        match request.method, request.path:
            case "POST", ["v1", "refunds"]:
                key = request.headers["idempotency-key"]
                return self._refund(key, dict(parse_qsl(request.body.decode())), wrong)
            case "GET", ["v1", "refunds", refund_id] if refund_id in self.ledger.refunds:
                return Reply(200, shown(self.ledger.refunds[refund_id]))
            case "GET", ["v1", "refunds"] if payment(request.query) in self.ledger.payments:
                return self._list(request.query)
        return refusal(NOT_FOUND)

    def _list(self, query: Mapping[str, str]) -> Reply:
        newest_first = self.ledger.of(payment(query))[::-1]
        if after := query.get("starting_after"):
            ids = [one.refund_id for one in newest_first]
            newest_first = newest_first[ids.index(after) + 1 :]
        limit = int(query.get("limit", 10))
        return Reply(
            200,
            {
                "object": "list",
                "url": "/v1/refunds",
                "has_more": len(newest_first) > limit,
                "data": [shown(one) for one in newest_first[:limit]],
            },
        )

    def _refund(self, key: str, asked: dict[str, str], wrong: Wrong | None) -> Reply:
        with self.ledger.lock:
            if kept := self.ledger.kept(key):
                if kept.asked != asked:
                    return refusal(REUSED)
                return Reply(kept.status, kept.body, {"Idempotent-Replayed": "true"})
            reply = self._carry_out(key, asked, wrong)
            kept_reply = Reply(500, self.error(500)) if wrong is Wrong.ERROR_AFTER else reply
            self.ledger.keep(key, asked, kept_reply.status, kept_reply.body)
            return reply

    def _carry_out(self, key: str, asked: dict[str, str], wrong: Wrong | None) -> Reply:
        if wrong is Wrong.DECLINED:
            return refusal(self.decline)
        states: dict[Wrong | None, State] = {Wrong.PENDING: "pending", Wrong.FAILED: "failed"}
        currency = self.ledger.payments.get(payment(asked), (0, ""))[1]
        try:
            refund = self.ledger.refund(
                payment(asked),
                int(asked["amount"]),
                currency,
                key=key,
                tag=asked["metadata[part_id]"],
                state=states.get(wrong, "settled"),
            )
        except Refusal as error:
            return refusal(WHY[error.why])
        return Reply(200, shown(refund))

    def error(self, status: int) -> Any:
        return refusal((status, {"type": "api_error"})).body

    def event(self, refund: Refund, kind: str | None = None) -> tuple[Mapping[str, str], bytes]:
        body = json.dumps(
            {
                "id": f"evt_{refund.refund_id}_{refund.state}",
                "object": "event",
                "type": kind or "refund.updated",
                "data": {"object": shown(refund)},
            }
        ).encode()
        return self.sign(body), body

    def sign(self, body: bytes) -> Mapping[str, str]:
        now = int(time.time())
        signed = hmac.new(self.webhook_key.encode(), b"%d.%b" % (now, body), hashlib.sha256)
        return {
            "Stripe-Signature": f"t={now},v1={signed.hexdigest()}",
            "Content-Type": "application/json",
        }


def payment(given: Mapping[str, str]) -> str:
    """The payment that is asked about."""
    return given.get("payment_intent") or given.get("charge") or ""


def refusal(why: tuple[int, dict[str, str]]) -> Reply:
    status, error = why
    return Reply(status, {"error": error | {"message": PRIVATE}})


def shown(refund: Refund) -> dict[str, Any]:
    name = "payment_intent" if refund.payment_id.startswith("pi_") else "charge"
    failed = {"failure_reason": "lost_or_stolen_card"} if refund.state == "failed" else {}
    return {
        "id": refund.refund_id,
        "object": "refund",
        "status": STATUS.get(refund.state, refund.state),
        "amount": refund.amount,
        "currency": refund.currency,
        name: refund.payment_id,
        "metadata": {"part_id": refund.tag, "order_id": "O-1"},
        **failed,
    }
