"""Refunds at Square, through its SDK: https://developer.squareup.com/reference/square/refunds-api.

A part's id is the idempotency key, and stands in the refund's reason, which is how Square can be
asked for it afterwards.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import quote
from uuid import UUID

import orjson

from worker.errors import Terminal, Transient, Uncertain
from worker.orders.value import value
from worker.refunds.provider import (
    Answer,
    Failed,
    News,
    NotGenuine,
    Part,
    Provider,
    Settled,
    Underway,
)
from worker.refunds.replies import (
    MISMATCH,
    SILENT,
    STUMBLES,
    UNCLEAR,
    UNREACHABLE,
    Refused,
    foremost,
    header,
    made_earlier,
    named,
)
from worker.settings import Settings

if TYPE_CHECKING:
    from square.core.request_options import RequestOptions

T = TypeVar("T")

_STATES: Final[Mapping[str | None, Literal["settled", "underway", "failed"]]] = {
    "COMPLETED": "settled",
    "PENDING": "underway",
    "REJECTED": "failed",
    "FAILED": "failed",
}
_FINAL: Final = {
    "REFUND_DECLINED",  # by the card's issuer
    "REFUND_AMOUNT_INVALID",  # above what is left of the payment
    "PAYMENT_NOT_REFUNDABLE",  # too old, of a kind that cannot be, or refunded in full
    "PAYMENT_NOT_REFUNDABLE_DUE_TO_DISPUTE",
}
"""Square's last word: the money may be given back otherwise. What is neither here nor below goes to
a person, with the money reserved: wrong credentials, an unknown payment, a key used for another
amount, a merchant who may not refund.
"""
_PENDING: Final = "REFUND_ALREADY_PENDING"
_OF_BALANCE: Final = {"REFUND_AMOUNT_INVALID", "PAYMENT_NOT_REFUNDABLE", _PENDING}
"""It may be our own refund, of a call whose answer was lost, that has left no balance."""
_SEARCH_LIMIT_S: Final = 10.0
_ONCE: Final["RequestOptions"] = {"max_retries": 0}
"""The retries are ours."""
_OURS: Final = re.compile(r"refund ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")


def square(settings: Settings) -> Provider:
    """Square, as the settings say.

    Raises:
      ValueError: The access token or the SDK is missing.
    """
    if settings.square_access_token is None:
        raise ValueError("SQUARE_ACCESS_TOKEN must be set for refunds at Square")
    key = settings.square_webhook_key
    try:
        return Square(
            settings.square_access_token.get_secret_value(),
            url=str(settings.square_url),
            webhook_key=key.get_secret_value() if key else "",
            webhook_url=settings.square_webhook_url or "",
        )
    except ImportError:
        raise ValueError(
            "refunds at Square need its SDK: pip install 'fulfillment-worker[square]'"
        ) from None


class Square:
    """Amounts are in ISO minor units there as here. Its client may be used by several threads."""

    keeps_keys_s = 3600.0
    """Square does not publish for how long it keeps keys (staff on developer.squareup.com/forums,
    28303, October 2026); chosen to be surely below it. After that its answer is looked up.
    """
    settles_within_s = 900.0
    """Not documented; chosen: many times as long as the slowest call that we wait for."""

    def __init__(
        self,
        token: str,
        *,
        url: str,
        webhook_key: str = "",
        webhook_url: str = "",
        timeout_s: float = 10,
    ) -> None:
        """A client.

        Args:
          token: Access token of the merchant.
          url: `https://connect.squareup.com`, or the sandbox.
          webhook_key: Signature key of the webhook's subscription.
          webhook_url: The notification URL as Square has it; it is part of what is signed.
          timeout_s: To connect, and again for each piece of the reply. Four times that, and a
            search's 10 s, must stay below `batch_limit_s`: a refusal, and a look-up why.
        """
        import httpx  # noqa: PLC0415  # an extra
        from square import Square as Client  # noqa: PLC0415  # an extra, and 0.5 s

        self._http = httpx.Client(
            timeout=timeout_s,
            follow_redirects=False,  # it would turn the POST into a GET
            # A connection for each call: on one that is kept, a reply that comes twice would be
            # taken for the next refund's, and a refusal does not say what it refuses.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._client = Client(token=token, base_url=url, httpx_client=self._http)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request
        self._webhook_key = webhook_key
        self._webhook_url = webhook_url

    def step_minor(self, currency: str) -> int:
        """One: amounts are in the smallest denomination of the currency."""
        del currency
        return 1

    def refund(self, part: Part) -> Answer:
        """Give the part's amount back; see `Provider`."""
        try:
            told = self._ask(
                lambda: _read(
                    self._client.refunds.refund_payment(
                        idempotency_key=str(part.part_id),
                        payment_id=part.payment_id,
                        amount_money={"amount": part.amount_minor, "currency": part.currency},
                        reason=f"Order {part.order_id}, refund {part.part_id}",
                        request_options=_ONCE,
                    ).refund
                ),
                Uncertain,
            )
        except Refused as refused:
            return self._refused(part, refused)
        if not told.agrees(part):
            raise Uncertain(MISMATCH, "Square has refunded another amount than was asked for")
        return told.answer

    def _refused(self, part: Part, refused: Refused) -> Answer:
        if refused.code in _OF_BALANCE and (found := made_earlier(self.find, part)):
            return found
        if refused.code == _PENDING:
            raise Transient(_PENDING.lower(), str(refused))
        if refused.code in _FINAL:
            return Failed(refused.code)
        raise refused.meaning(Uncertain)

    def find(self, part: Part) -> Answer | None:
        """The refund by its own id, or by the part's among the payment's; see `Provider`."""
        try:
            found = self._ask(lambda: self._found(part), Transient)
        except Refused as refused:
            raise refused.meaning(Transient) from refused
        if not all(one.agrees(part) for one in found):
            raise Terminal(MISMATCH, "Square has a refund of another amount under the part's id")
        return foremost(one.answer for one in found)

    def _found(self, part: Part) -> list["_Told"]:
        if part.provider_id:
            return [_read(self._get(part.provider_id))]
        until = time.monotonic() + _SEARCH_LIMIT_S
        reply = self._client.payments.get(_quoted(part.payment_id), request_options=_ONCE)
        payment: Any = reply.payment
        found = []
        for refund_id in map(named, payment.refund_ids or ()):
            if time.monotonic() > until:
                raise Transient(SILENT, "Square takes too long to tell a payment's refunds")
            refund = self._get(refund_id)
            if _part_id(refund.reason) == part.part_id:
                found.append(_read(refund))
        return found

    def _get(self, refund_id: str) -> Any:
        return self._client.refunds.get(_quoted(refund_id), request_options=_ONCE).refund

    def _ask(self, call: Callable[[], T], unheard: type[Transient]) -> T:
        """The SDK's call; `unheard` is raised when it may have been done.

        Raises:
          Refused: Square answered, and not with success.
          Transient: It cannot have been done.
        """
        import httpx  # noqa: PLC0415  # an extra
        from square.core.api_error import ApiError  # noqa: PLC0415  # an extra

        try:
            return call()
        except ApiError as error:
            code = error.errors[0].code if error.errors else None
            known = isinstance(error.body, dict) and "errors" in error.body
            raise Refused(
                "Square", error.status_code or 0, code if known else None, error.headers or {}
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as e:
            message = f"Square cannot be reached: {type(e).__name__}"
            raise Transient(UNREACHABLE, message) from None
        except httpx.RequestError as error:
            raise unheard(SILENT, f"Square was not heard: {type(error).__name__}") from None
        except STUMBLES as error:
            message = f"Square's reply makes no sense: {type(error).__name__}"
            raise unheard(UNCLEAR, message) from None

    def news(self, headers: Mapping[str, str], body: bytes) -> Iterable[News]:
        """What `refund.created` and `refund.updated` tell; see `Provider`."""
        if not (self._webhook_key and self._webhook_url):
            raise NotGenuine("SQUARE_WEBHOOK_KEY and SQUARE_WEBHOOK_URL must be set to believe it")
        try:
            signed = self._signed(headers, body.decode())
            news = tuple(_told(orjson.loads(body))) if signed else ()
        except STUMBLES as error:
            raise NotGenuine(f"it cannot be read: {type(error).__name__}") from None
        if not signed:
            raise NotGenuine("its signature is missing or wrong")
        return news

    def close(self) -> None:
        """Close its connections; nothing can be asked any more."""
        self._http.close()

    def _signed(self, headers: Mapping[str, str], body: str) -> bool:
        from square.utils.webhooks_helper import verify_signature  # noqa: PLC0415  # an extra

        return verify_signature(
            request_body=body,
            signature_header=header(headers, "x-square-hmacsha256-signature"),
            signature_key=self._webhook_key,
            notification_url=self._webhook_url,
        )


def _told(event: Any) -> Iterable[News]:
    if event["type"] not in {"refund.created", "refund.updated"}:
        return
    refund = event["data"]["object"]["refund"]
    if refund["status"] in _STATES:
        if not isinstance(refund["id"], str):
            raise TypeError
        answer = _answer(refund["id"], refund["status"])
        yield News(answer, _part_id(refund.get("reason")))


@value
class _Told:
    """A refund as Square tells of it."""

    answer: Answer
    amount_minor: object
    currency: object

    def agrees(self, part: Part) -> bool:
        return (self.amount_minor, self.currency) == (part.amount_minor, part.currency)


def _read(refund: Any) -> _Told:
    """The refund in a reply. The SDK checks nothing of what it has read.

    Raises:
      STUMBLES: There is none, or none in a state that is known.
    """
    money = refund.amount_money
    answer = _answer(refund.id, refund.status)
    return _Told(answer, money and money.amount, money and money.currency)


def _answer(refund_id: object, status: str | None) -> Answer:
    known = named(refund_id)
    match _STATES[status]:
        case "settled":
            return Settled(known)
        case "underway":
            return Underway(known)
        case "failed":
            return Failed(str(status), known)


def _part_id(reason: object) -> UUID | None:
    found = _OURS.search(reason) if isinstance(reason, str) else None
    return UUID(found[1]) if found else None


def _quoted(segment: str) -> str:
    """The SDK puts it into the path as it is."""
    return quote(segment, safe="")
