"""What becomes of work, by the promises alone: commands in the order of acceptance, each decided
once, waits, leases, dead letters; and what follows from them. Shares nothing with the worker.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.model.order_book import OrderBook, Refused

POISON = 3
TRIES = {"odd": 1, "buggy": 3, "transient": 7, "terminal": 1}
"""How often what fails in this way is tried."""


class Broken(Exception):
    """The rules fail at this command."""


@dataclass
class Work:
    """A command, or a follow-up; `body` is what is to be done."""

    order_id: str
    body: dict[str, Any]
    state: str = "pending"
    outcome: Any = None
    waits_for: str | None = None
    is_due: bool = True
    is_leased: bool = False
    is_alone: bool = False
    is_late: bool = False
    crashes: int = 0
    attempts: int = 0

    def free(self) -> None:
        self.is_leased = self.is_alone = False
        self.crashes = 0

    def fail(self, how: str) -> None:
        self.free()
        self.attempts += 1
        self.is_due, self.waits_for = False, "retry"
        if self.attempts >= TRIES[how]:
            self.state, self.waits_for = "dead", None

    def replay(self) -> None:
        self.free()
        self.state, self.waits_for, self.attempts, self.is_due = "pending", None, 0, True


Key = tuple[str, ...]
"""A command's id; of a follow-up its command's, its route, name and subject."""


@dataclass
class Worklist:
    forms: dict[str, Callable[[], OrderBook]]
    """How each order is when it is placed."""
    books: dict[str, OrderBook] = field(default_factory=dict)
    work: dict[Key, Work] = field(default_factory=dict)
    """All of it, in the order of acceptance."""
    strays: int = 0

    def accept(self, body: dict[str, Any]) -> str:
        known = self.work.get((body["command_id"],))
        if known is None:
            self.work[body["command_id"],] = Work(body["order_id"], body)
            return "accepted"
        if content(known.body) == content(body):
            return "known"
        self.strays += 1
        return "id_reused"

    def of(self, route: str) -> dict[Key, Work]:
        return {
            key: one for key, one in self.work.items() if (key[1:] or ("commands",))[0] == route
        }

    def pending(self, route: str) -> dict[Key, Work]:
        return {key: one for key, one in self.of(route).items() if one.state == "pending"}

    def in_state(self, state: str) -> list[Key]:
        return [key for key, one in self.work.items() if one.state == state]

    def time_passes(self) -> None:
        """Whatever waits is due."""
        for one in self.work.values():
            one.is_due = True

    def claim(self, route: str, limit: int = 200) -> list[Key]:
        """The oldest that are due and in nobody's hands."""
        found = [k for k, w in self.pending(route).items() if w.is_due and not w.is_leased][:limit]
        for key in found:
            self.work[key].is_leased, self.work[key].is_alone = True, False
        return found

    def claim_suspect(self, route: str) -> list[Key]:
        """The oldest in the hands of somebody who is late; all are."""
        found = [key for key, one in self.pending(route).items() if one.is_leased][:1]
        for one in map(self.work.__getitem__, found):
            one.crashes += one.is_alone
            one.is_alone = True
        return found

    def drain(self, route: str, carry_out: Callable[[list[Key]], object]) -> None:
        """One suspect alone, then all that is due, again and again."""
        while True:
            suspects = self.claim_suspect(route)
            if suspects and self.work[suspects[0]].crashes >= POISON:
                poisoned = self.work[suspects[0]]
                poisoned.free()
                poisoned.state, poisoned.waits_for = "dead", None
                poisoned.attempts += 1
            elif suspects:
                carry_out(suspects)
            batch = self.claim(route)
            if batch:
                carry_out(batch)
            elif not suspects:
                return

    def decide(self, batch: list[Key], *, is_broken: bool = False) -> None:
        """All in one transaction; one by one where that fails; what fails alone has failed."""
        before = deepcopy((self.books, self.work)) if is_broken else None
        try:
            self._decide(batch, is_broken=is_broken)
        except Broken as broken:
            assert before
            self.books, self.work = before
            if len(batch) == 1:
                self.work[batch[0]].fail(str(broken))
            else:
                for key in batch:
                    self.decide([key], is_broken=is_broken)

    def _decide(self, batch: list[Key], *, is_broken: bool) -> None:
        self.in_hand, self.judged, self.is_broken = batch, set(), is_broken
        self.behind = {key for key in batch if self._is_behind(key)}
        self.cyclic = {key for key in batch if self._is_cyclic(key)}
        for one in (one for key in batch for one in self._chain(key)):
            if one not in self.judged:
                self._judge(one)
                if self.work[one].body["kind"] == "place":
                    self._judge_again(self.work[one].order_id)
        ended = [key for key in batch if self.work[key].state != "pending"]
        self._wake(ended)
        for key in batch:
            self.work[key].free()

    def wake_successors(self, key: Key) -> None:
        """Of a command that was given up."""
        for one in self.pending("commands").values():
            is_waiting = one.waits_for == "predecessor" and not one.is_leased
            if len(key) == 1 and is_waiting and one.body.get("after") == key[0]:
                one.is_due, one.waits_for = True, None

    def _wake(self, ended: Iterable[Key]) -> None:
        orders = {self.work[key].order_id for key in ended}
        for one in self.pending("commands").values():
            follows = one.waits_for == "predecessor" and (one.body.get("after"),) in ended
            if not one.is_leased and (
                follows or (one.waits_for == "order" and one.order_id in orders)
            ):
                one.is_due, one.waits_for = True, None

    def _is_behind(self, key: Key) -> bool:
        """Whether an earlier command of the order is in other hands, or could be."""
        for other, one in self.pending("commands").items():
            if other == key:
                return False
            is_in_the_way = one.order_id == self.work[key].order_id and other not in self.in_hand
            if is_in_the_way and (one.is_due or one.is_leased):
                return True
        return False

    def _is_cyclic(self, key: Key) -> bool:
        seen = [key]
        while True:
            after = (self.work[seen[-1]].body.get("after"),)
            if after == key:
                return True
            if after not in self.work or after in seen or self.work[after].state == "applied":
                return False
            seen.append(after)

    def _chain(self, key: Key) -> list[Key]:
        """A command, behind those of its predecessors that are in hand as well."""
        chain = [key]
        while (ahead := (self.work[chain[-1]].body.get("after"),)) in self.in_hand:
            if ahead in chain:
                break
            chain.append(ahead)
        return chain[::-1]

    def _judge_again(self, order_id: str) -> None:
        """What waited for the order that has come."""
        for one in (one for key in self.in_hand for one in self._chain(key)):
            work = self.work[one]
            if one in self.judged and work.order_id == order_id and work.waits_for:
                self._judge(one)

    def _judge(self, key: Key) -> None:
        one = self.work[key]
        self.judged.add(key)
        verdict = self._verdict(key)
        one.waits_for = verdict if verdict in ("order", "predecessor") else None
        one.is_due = verdict == "behind"
        if not one.waits_for and not one.is_due:
            one.state = "applied" if isinstance(verdict, dict) else "rejected"
            one.outcome = verdict

    def _verdict(self, key: Key) -> Any:
        """What it waits for, the reason why not, or what it comes to."""
        one = self.work[key]
        if key in self.behind:
            return "behind"
        if "wrong" in one.body:
            return "invalid"
        return self._held_up(key, one) or self._effect(key, one)

    def _held_up(self, key: Key, one: Work) -> str | None:
        """By the command that it comes after."""
        if "after" not in one.body:
            return None
        ahead = self.work.get((one.body["after"],))
        if key in self.cyclic:
            return "invalid"
        if ahead is None:
            return "predecessor_not_found" if one.is_late else "predecessor"
        if ahead.order_id != one.order_id:
            return "invalid"
        if ahead.state in {"rejected", "discarded"}:
            return "predecessor_failed"
        return None if ahead.state == "applied" else "predecessor"

    def _effect(self, key: Key, one: Work) -> Any:
        is_place = one.body["kind"] == "place"
        if one.order_id not in self.books and not is_place and not one.is_late:
            return "order"
        if self.is_broken and one.body.get("issued_by") in TRIES:
            raise Broken(one.body["issued_by"])
        if one.order_id not in self.books:
            if not is_place:
                return "order_not_found"
            self.books[one.order_id] = self.forms[one.order_id]()
            return {"version": 1, "changed": True, "items": {}, "refund": None}
        book = self.books[one.order_id]
        try:
            effect = book.apply(one.body)
        except Refused as refused:
            return refused.args[0]
        self._stage(key[0], one, effect, book)
        return {"version": book.version, **effect}

    def _stage(self, command_id: str, one: Work, effect: dict[str, Any], book: OrderBook) -> None:
        """What follows from a command that was applied."""
        body, kind = one.body, one.body["kind"]
        subject = body.get("shipment_id", command_id)
        name = {"ship": "shipped", "complete": "completed", "cancel": "cancelled"}.get(kind)
        is_told = body.get("notify_customer", kind != "update_tracking")
        if effect["changed"]:
            if kind in {"ship", "complete", "void"} or (
                kind == "cancel" and not is_money_only(body)
            ):
                self.stage(command_id, "emails", name or "voided", subject, is_told=is_told)
            if kind == "update_tracking" and is_told:
                self.stage(command_id, "emails", "tracking_updated", subject)
            label = {"ship": "label", "void": "void", "update_tracking": "relabel"}.get(kind)
            if label and book.parcels[subject][3]:
                self.stage(command_id, "labels", label, subject)
        for payment in effect["refund"] or {}:
            self.stage(command_id, "refunds", "settle", payment)

    def stage(
        self, command_id: str, route: str, name: str, subject: str, *, is_told: bool = True
    ) -> None:
        state = "pending" if is_told else "skipped"
        work = Work(self.work[command_id,].order_id, {}, state=state)
        self.work[command_id, route, name, subject] = work

    def call(self, batch: list[Key], answer: str) -> None:
        """The outside answers the same of each follow-up."""
        for key in batch:
            one = self.work[key]
            book, command_id, route, subject = self.books[one.order_id], key[0], key[1], key[3]
            state = book.refunds[command_id].parts[subject][1] if route == "refunds" else ""
            if state == "overpaid":
                if not self.news(command_id, subject, "settled"):
                    one.fail("terminal")
            elif state in {"settled", "failed"}:
                one.free()
                one.state = "done"
            elif answer in TRIES:
                one.fail(answer)
            elif answer == "underway":
                one.free()
                one.is_due, one.waits_for, one.attempts = False, "provider", 0
            elif route == "refunds":
                self.news(command_id, subject, answer)
            else:
                one.free()
                one.state, one.waits_for = "done", None

    def news(self, command_id: str, payment: str, state: str) -> bool:
        """How a part ended; whether that is news."""
        one = self.work[command_id, "refunds", "settle", payment]
        refund = self.books[one.order_id].refunds[command_id]
        if not self.books[one.order_id].end(command_id, payment, state):
            return False
        one.free()
        is_over = refund.parts[payment][1] == "overpaid"
        one.state, one.waits_for = "dead" if is_over else "done", None
        states = {state for _, state in refund.parts.values()}
        mail = (command_id, "emails", "refunded", command_id)
        if "settled" in states and "open" not in states and mail not in self.work:
            is_told = self.work[command_id,].body.get("notify_customer", True)
            self.stage(*mail, is_told=is_told)
        return True


def content(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "issued_by"}


def is_money_only(body: dict[str, Any]) -> bool:
    items = body.get("items", [])
    has_money = isinstance(body.get("refund"), dict) or "include_shipping" in body
    return bool(items) and not any(one["quantity"] for one in items) and has_money
