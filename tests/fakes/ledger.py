"""What a payment provider knows by itself: captured money, refunds, and answers kept by key."""

import threading
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["pending", "settled", "failed"]


class Refusal(Exception):
    """The ledger does not do it; `why` is no_payment, currency or too_much."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass
class Refund:
    """One refund; `tag` is what the caller wrote on it, `key` its idempotency key."""

    refund_id: str
    payment_id: str
    amount: int
    currency: str
    state: State
    key: str
    tag: str


@dataclass(frozen=True)
class Kept:
    """The answer to the first call under a key, and what was asked."""

    asked: Any
    status: int
    body: Any


class Ledger:
    """All amounts in the provider's units. `lock` is held over whatever must happen as one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.payments: dict[str, tuple[int, str]] = {}
        self.refunds: dict[str, Refund] = {}
        self._keys: dict[str, Kept] = {}
        self._of_payment: dict[str, list[Refund]] = {}

    def capture(self, payment_id: str, amount: int, currency: str = "EUR") -> str:
        """Take a payment in."""
        with self.lock:
            self.payments[payment_id] = (amount, currency)
            self._of_payment[payment_id] = []
        return payment_id

    def refund(
        self, payment_id: str, amount: int, currency: str, *, key: str, tag: str, state: State
    ) -> Refund:
        """Give money back, at once unless the state is another; never more than was captured."""
        with self.lock:
            captured, of_payment = self.payments.get(payment_id, (0, ""))
            if not of_payment:
                raise Refusal("no_payment")
            if currency != of_payment:
                raise Refusal("currency")
            if state != "failed" and self.out(payment_id) + amount > captured:
                raise Refusal("too_much")
            one = Refund(
                f"re_{len(self.refunds) + 1}", payment_id, amount, currency, state, key, tag
            )
            self.refunds[one.refund_id] = one
            self._of_payment[payment_id].append(one)
            return one

    def end(self, refund_id: str, state: State) -> Refund:
        """A pending refund ends, or one that had settled comes back."""
        with self.lock:
            self.refunds[refund_id].state = state
            return self.refunds[refund_id]

    def of(self, payment_id: str) -> list[Refund]:
        """A payment's refunds, the oldest first."""
        with self.lock:
            return list(self._of_payment[payment_id])

    def out(self, payment_id: str) -> int:
        """What has left the payment, or is about to."""
        return sum(one.amount for one in self.of(payment_id) if one.state != "failed")

    def by_key(self, key: str) -> list[Refund]:
        """All refunds that were made under a key: more than one is what keys are to prevent."""
        with self.lock:
            return [one for one in self.refunds.values() if one.key == key]

    def keep(self, key: str, asked: Any, status: int, body: Any) -> None:
        """Remember the answer to the first call under this key."""
        with self.lock:
            self._keys[key] = Kept(asked, status, body)

    def kept(self, key: str) -> Kept | None:
        """The answer under this key, unless keys were forgotten."""
        with self.lock:
            return self._keys.get(key)

    def forget_keys(self) -> None:
        """As if the time for which keys are kept had passed."""
        with self.lock:
            self._keys.clear()
