"""Square's refunds interface, as far as refunds need it.

https://developer.squareup.com/reference/square/refunds-api
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.ledger import Refund, Refusal, State
from tests.fakes.provider import PRIVATE, FakeProvider
from tests.fakes.server import Reply, Request, Wrong

STATUS = {"pending": "PENDING", "settled": "COMPLETED", "failed": "FAILED"}
WHY = {
    "no_payment": (404, "INVALID_REQUEST_ERROR", "NOT_FOUND"),
    "currency": (400, "INVALID_REQUEST_ERROR", "CURRENCY_MISMATCH"),
    "too_much": (400, "REFUND_ERROR", "REFUND_AMOUNT_INVALID"),
}
DECLINED = (400, "REFUND_ERROR", "REFUND_DECLINED")
REUSED = (400, "INVALID_REQUEST_ERROR", "IDEMPOTENCY_KEY_REUSED")
UNAUTHORIZED = (401, "AUTHENTICATION_ERROR", "UNAUTHORIZED")
NOT_FOUND = (404, "INVALID_REQUEST_ERROR", "NOT_FOUND")
BAD_REQUEST = (400, "INVALID_REQUEST_ERROR", "BAD_REQUEST")


class FakeSquare(FakeProvider):
    """A merchant's account."""

    token = "square-token"
    webhook_key = "square-webhook-key"
    decline = DECLINED
    """What a refund that is declined hears: HTTP status, category, code."""

    def serve(self, request: Request, wrong: Wrong | None) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return refusal(UNAUTHORIZED)
        match request.method, request.path:
            case "POST", ["v2", "refunds"]:
                return self._refund(json.loads(request.body), wrong)
            case "GET", ["v2", "refunds", refund_id] if refund_id in self.ledger.refunds:
                return Reply(200, {"refund": shown(self.ledger.refunds[refund_id])})
            case "GET", ["v2", "payments", payment_id] if payment_id in self.ledger.payments:
                amount, currency = self.ledger.payments[payment_id]
                ids = [one.refund_id for one in self.ledger.of(payment_id)]
                payment: dict[str, Any] = {
                    "id": payment_id,
                    "status": "COMPLETED",
                    "amount_money": {"amount": amount, "currency": currency},
                }
                return Reply(200, {"payment": payment | ({"refund_ids": ids} if ids else {})})
        return refusal(NOT_FOUND)

    def _refund(self, asked: dict[str, Any], wrong: Wrong | None) -> Reply:
        key, reason, money = asked["idempotency_key"], asked["reason"], asked["amount_money"]
        if not (0 < len(key) <= 45 and len(reason) <= 192 and money["amount"] > 0):
            return refusal(BAD_REQUEST)
        with self.ledger.lock:
            if kept := self.ledger.kept(key):
                return Reply(kept.status, kept.body) if kept.asked == asked else refusal(REUSED)
            if wrong is Wrong.DECLINED:
                return refusal(self.decline)
            states: dict[Wrong | None, State] = {Wrong.PENDING: "pending", Wrong.FAILED: "failed"}
            try:
                refund = self.ledger.refund(
                    asked["payment_id"],
                    money["amount"],
                    money["currency"],
                    key=key,
                    tag=reason,
                    state=states.get(wrong, "settled"),
                )
            except Refusal as error:
                return refusal(WHY[error.why])
            reply = Reply(200, {"refund": shown(refund)})
            self.ledger.keep(key, asked, reply.status, reply.body)
            return reply

    def error(self, status: int) -> Any:
        code = "RATE_LIMITED" if status == 429 else "INTERNAL_SERVER_ERROR"
        return refusal((status, "API_ERROR", code)).body

    def event(self, refund: Refund, kind: str | None = None) -> tuple[Mapping[str, str], bytes]:
        body = json.dumps(
            {
                "merchant_id": "M1",
                "type": kind or "refund.updated",
                "event_id": f"event-{refund.refund_id}-{refund.state}",
                "data": {
                    "type": "refund",
                    "id": refund.refund_id,
                    "object": {"refund": shown(refund)},
                },
            }
        ).encode()
        return self.sign(body), body

    def sign(self, body: bytes) -> Mapping[str, str]:
        signed = hmac.new(
            self.webhook_key.encode(), self.webhook_url.encode() + body, hashlib.sha256
        )
        signature = base64.b64encode(signed.digest()).decode()
        return {
            "x-square-hmacsha256-signature": signature,
            "Content-Type": "application/json",
        }


def refusal(why: tuple[int, str, str]) -> Reply:
    status, category, code = why
    return Reply(status, {"errors": [{"category": category, "code": code, "detail": PRIVATE}]})


def shown(refund: Refund) -> dict[str, Any]:
    return {
        "id": refund.refund_id,
        "status": STATUS.get(refund.state, refund.state.upper()),
        "amount_money": {"amount": refund.amount, "currency": refund.currency},
        "payment_id": refund.payment_id,
        "reason": refund.tag,
        "location_id": "L1",
    }
