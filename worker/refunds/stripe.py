"""Refunds at Stripe, through its SDK: https://docs.stripe.com/api/refunds.

A part's id is the idempotency key, and stands in the refund's metadata, which is how Stripe can be
asked for it afterwards.
"""

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import orjson

from worker.errors import Terminal, Transient, Uncertain
from worker.orders.money import decimals
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
    REFUSED,
    SILENT,
    STUMBLES,
    UNCLEAR,
    UNREACHABLE,
    Refused,
    foremost,
    header,
    made_earlier,
    named,
    word,
)
from worker.settings import Settings

T = TypeVar("T")

_STATES: Final[Mapping[object, Literal["settled", "underway", "failed"]]] = {
    "succeeded": "settled",
    "pending": "underway",
    "requires_action": "underway",
    "failed": "failed",
    "canceled": "failed",
}
_PAID_WITH: Final = {"pi": "payment_intent", "ch": "charge", "py": "charge"}
"""What a payment's id names, by its prefix."""
_AMOUNT: Final = "invalid_request_error_amount"
"""Above what is left of the payment: an error that has no code of its own, but names `amount`."""
_OF_BALANCE: Final = {"charge_already_refunded", "amount_too_large", _AMOUNT}
"""It may be our own refund, of a call whose answer was lost, that has left no balance."""
_FINAL: Final = _OF_BALANCE | {
    "charge_disputed",
    "charge_not_refundable",
    "refund_disputed_payment",
}
"""Stripe's last word: the money may be given back otherwise. Any other refusal goes to a person,
with the money reserved.
"""
_SEARCH_LIMIT_S: Final = 10.0
_TELLING: Final = {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}
"""The last one is how API versions before 2024-10-28 tell."""

_THREE_DECIMAL: Final = {"BHD", "JOD", "KWD", "OMR", "TND"}
"""In thousandths, and whole tens of them (https://docs.stripe.com/currencies#special-cases)."""
_STRIPE_DECIMALS: Final = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe's unit is not that of ISO 4217: two had decimals once, one has fifths."""


def stripe(settings: Settings) -> Provider:
    """Stripe, as the settings say.

    Raises:
      ValueError: The API key or the SDK is missing.
    """
    if settings.stripe_api_key is None:
        raise ValueError("STRIPE_API_KEY must be set for refunds at Stripe")
    secret = settings.stripe_webhook_secret
    try:
        return Stripe(
            settings.stripe_api_key.get_secret_value(),
            url=str(settings.stripe_url),
            webhook_secret=secret.get_secret_value() if secret else "",
        )
    except ImportError:
        raise ValueError(
            "refunds at Stripe need its SDK: pip install 'fulfillment-worker[stripe]'"
        ) from None


class Stripe:
    """Its client keeps connections by thread, made when a thread first asks."""

    keeps_keys_s = 23 * 3600.0
    """Keys may be removed once they are 24 hours old (https://docs.stripe.com/api/idempotent_requests);
    an hour is for the clocks.
    """
    settles_within_s = 900.0
    """Not documented; chosen: many times as long as the slowest call that we wait for."""

    def __init__(
        self, api_key: str, *, url: str, webhook_secret: str = "", timeout_s: float = 10
    ) -> None:
        """A client.

        Args:
          api_key: A secret or restricted key of the account.
          url: `https://api.stripe.com`.
          webhook_secret: Of the webhook's endpoint.
          timeout_s: To connect, and again for each piece of the reply. Four times that, and a
            search's 10 s, must stay below `batch_limit_s`: a refusal, and a look-up why.
        """
        from stripe import RequestsClient, StripeClient  # noqa: PLC0415  # an extra, and 0.5 s

        self._http = RequestsClient(timeout=(timeout_s, timeout_s))
        self._client = StripeClient(
            api_key,
            base_addresses={"api": url.rstrip("/")},
            max_network_retries=0,  # the retries are ours
            http_client=self._http,
        )
        logging.getLogger("stripe").setLevel(logging.WARNING)  # it tells what errors say
        self._webhook_secret = webhook_secret

    def step_minor(self, currency: str) -> int:
        """Ten for currencies of three decimals, a hundred for MGA, which has none at Stripe."""
        if currency in _THREE_DECIMAL:
            return 10
        return _power(-_shift(currency))

    def refund(self, part: Part) -> Answer:
        """Give the part's amount back; see `Provider`."""
        if part.amount_minor % self.step_minor(part.currency):
            raise Terminal(REFUSED, f"Stripe has no such small amounts of {part.currency}")
        params: Any = {
            **_payment(part),
            "amount": _amount(part),
            "metadata": {"part_id": str(part.part_id), "order_id": part.order_id},
        }
        try:
            refund, answer = self._ask(
                lambda: _read(
                    self._client.v1.refunds.create(params, {"idempotency_key": str(part.part_id)})
                ),
                Uncertain,
            )
        except Refused as refused:
            return self._refused(part, refused)
        if not _agrees(refund, part):
            raise Uncertain(MISMATCH, "Stripe has refunded another amount than was asked for")
        return answer

    def _refused(self, part: Part, refused: Refused) -> Answer:
        # The first answer under a key is repeated, also if it was a server error: then only a
        # look-up can tell more.
        repeated = header(refused.headers, "Idempotent-Replayed") == "true"
        if (repeated or refused.code in _OF_BALANCE) and (found := made_earlier(self.find, part)):
            return found
        if refused.code in _FINAL:
            return Failed(refused.code)
        raise refused.meaning(Uncertain)

    def find(self, part: Part) -> Answer | None:
        """The refund by its own id, or by the part's among the payment's; see `Provider`."""
        try:
            found = self._ask(lambda: self._found(part), Transient)
        except Refused as refused:
            raise refused.meaning(Transient) from refused
        if not all(_agrees(refund, part) for refund, _ in found):
            raise Terminal(MISMATCH, "Stripe has a refund of another amount under the part's id")
        return foremost(answer for _, answer in found)

    def _found(self, part: Part) -> list[tuple[Mapping[str, Any], Answer]]:
        if part.provider_id:
            return [_read(self._client.v1.refunds.retrieve(part.provider_id))]
        until = time.monotonic() + _SEARCH_LIMIT_S
        params: Any = {**_payment(part), "limit": 100}
        found = []
        for one in self._client.v1.refunds.list(params).auto_paging_iter():
            if time.monotonic() > until:
                raise Transient(SILENT, "Stripe takes too long to tell a payment's refunds")
            if _part_id(one.to_dict()) == part.part_id:
                found.append(_read(one))
        return found

    def _ask(self, call: Callable[[], T], unheard: type[Transient]) -> T:
        """The SDK's call; `unheard` is raised when it may have been done.

        Raises:
          Refused: Stripe answered, and not with success.
          Transient: It cannot have been done.
        """
        from stripe import APIConnectionError, RateLimitError, StripeError  # noqa: PLC0415  # extra

        try:
            return call()
        except APIConnectionError as error:
            kind = type(error.__cause__).__name__
            if _never_sent(error.__cause__):
                raise Transient(UNREACHABLE, f"Stripe cannot be reached: {kind}") from None
            raise unheard(SILENT, f"Stripe was not heard: {kind}") from None
        except StripeError as error:
            # It calls some errors of status 400 so as well.
            status = 429 if isinstance(error, RateLimitError) else error.http_status or 0
            raise Refused("Stripe", status, _code(error.json_body), error.headers or {}) from None
        except STUMBLES as error:
            message = f"Stripe's reply makes no sense: {type(error).__name__}"
            raise unheard(UNCLEAR, message) from None

    def news(self, headers: Mapping[str, str], body: bytes) -> Iterable[News]:
        """What events about refunds tell; see `Provider`."""
        from stripe import SignatureVerificationError, WebhookSignature  # noqa: PLC0415  # an extra

        if not self._webhook_secret:
            raise NotGenuine("STRIPE_WEBHOOK_SECRET must be set to believe it")
        try:
            signature = header(headers, "Stripe-Signature")
            WebhookSignature.verify_header(body.decode(), signature, self._webhook_secret, 300)
            return tuple(_told(orjson.loads(body)))
        except SignatureVerificationError:
            raise NotGenuine("its signature is missing, wrong or too old") from None
        except STUMBLES as error:
            raise NotGenuine(f"it cannot be read: {type(error).__name__}") from None

    def close(self) -> None:
        """Close this thread's connections."""
        self._http.close()  # type: ignore[no-untyped-call]  # the SDK's


def _told(event: Any) -> Iterable[News]:
    if event["type"] not in _TELLING:
        return
    refund = event["data"]["object"]
    if refund["status"] in _STATES:
        yield News(_answer(refund), _part_id(refund))


def _read(refund: Any) -> tuple[Mapping[str, Any], Answer]:
    """The refund in a reply. The SDK checks nothing of what it has read.

    Raises:
      STUMBLES: There is none, or none in a state that is known.
    """
    fields: Mapping[str, Any] = refund.to_dict()
    return fields, _answer(fields)


def _answer(refund: Mapping[str, Any]) -> Answer:
    known = named(refund["id"])
    match _STATES[refund["status"]]:
        case "settled":
            return Settled(known)
        case "underway":
            return Underway(known)
        case "failed":
            return Failed(word(refund.get("failure_reason")) or str(refund["status"]), known)


def _agrees(refund: Mapping[str, Any], part: Part) -> bool:
    return (refund.get("amount"), refund.get("currency")) == (_amount(part), part.currency.lower())


def _part_id(refund: Mapping[str, Any]) -> UUID | None:
    given = (refund.get("metadata") or {}).get("part_id")
    try:
        return UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None


def _payment(part: Part) -> dict[str, str]:
    name = _PAID_WITH.get(part.payment_id.partition("_")[0])
    if not name:
        raise Terminal(REFUSED, "Stripe's payments have ids that begin with pi_, ch_ or py_")
    return {name: part.payment_id}


def _amount(part: Part) -> int:
    """In Stripe's units; the amount is in steps that Stripe has."""
    shift = _shift(part.currency)
    return part.amount_minor * _power(shift) // _power(-shift)


def _shift(currency: str) -> int:
    """By how many digits Stripe's amounts are longer than ours."""
    ours = decimals(currency)
    usual = 0 if ours == 0 else 3 if currency in _THREE_DECIMAL else 2
    return _STRIPE_DECIMALS.get(currency, usual) - ours


def _power(digits: int) -> int:
    return int("1" + "0" * digits)


def _code(body: object) -> str | None:
    """An error's code; some have only a type, and the parameter that they are about."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    if error.get("code"):
        return str(error["code"])
    return f"{error.get('type')}_amount" if error.get("param") == "amount" else error.get("type")


def _never_sent(error: BaseException | None) -> bool:
    """Whether it is sure that no connection was made, so that nothing can have been asked."""
    from requests.exceptions import ConnectTimeout  # noqa: PLC0415  # comes with the SDK
    from urllib3.exceptions import NewConnectionError, ProxyError  # noqa: PLC0415  # likewise

    cause = getattr(error.args[0], "reason", None) if error and error.args else None
    certificate = cause.args[0] if isinstance(cause, Exception) and cause.args else None
    return isinstance(error, ConnectTimeout) or (
        isinstance(cause, NewConnectionError | ProxyError)
        or isinstance(certificate, ssl.SSLCertVerificationError)
    )
