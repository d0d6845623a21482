"""Judging a batch: what is decided now, what waits and for what, what only a person can judge.

Pure, like the rules it asks: it adds what is about commands among each other, their order, their
predecessors, orders that are not there yet or in other hands.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol
from uuid import UUID

from messages import Command, InvalidCommand, Place, Reason, parse
from messages.commands import SCHEMA_VERSION
from worker.orders.model import Decision, Order, Rejection
from worker.orders.world import World
from worker.work.claim import Batch, Row

LOCKED_ORDER_DELAY_S: Final = 1.0
PREDECESSOR_POLL_S: Final = 30.0
"""Whoever decides a predecessor wakes its successors; polling is for a wake that was missed."""


class Decide(Protocol):
    """The rules, as `worker.orders.rules.decide`; tests hand in others."""

    def __call__(
        self, order: Order | None, command: Command, world: World
    ) -> Decision | Rejection: ...


@dataclass(frozen=True, slots=True)
class Wait:
    """Not decided now: due again later, or at once with `delay_s` up to 0. Never counted."""

    waits_for: Literal["order", "predecessor", "lock"] | None
    delay_s: float
    after: UUID | None = None
    """The predecessor, where it is here: it wakes what is stored as coming after it."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Only a person, or a newer worker, can judge this one."""

    reason: str
    message: str


Verdict = Decision | Rejection | Wait | Dead


@dataclass(frozen=True, slots=True)
class Predecessor:
    """What a command comes after: the one that it names, or what an operator replaced that by."""

    id: UUID
    order_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the batch's commands need to know beside their orders."""

    world: World
    predecessors: dict[UUID, Predecessor]
    """By the id that a command names."""
    cyclic: set[UUID]
    behind: dict[UUID, float]
    """Commands with an earlier one of their order still open, and when that one is due."""


class Judging:
    """One pass over a batch: every verdict, each on the order as the ones before left it."""

    def __init__(
        self,
        batch: Batch,
        commands: dict[UUID, Command | Rejection | Dead],
        *,
        orders: dict[str, Order],
        around: Surroundings,
        rules: Decide,
        grace_s: float,
        locked: set[str],
        waited: bool,
    ) -> None:
        self.rows = {row.id: row for row in batch.rows}
        self.commands = commands
        self.orders = dict(orders)
        self.unlocked = orders.keys() - locked
        self.waited = waited
        self.around = around
        self.world = around.world
        self.rules = rules
        self.grace_s = grace_s
        self.verdicts: dict[UUID, Verdict] = {}

    def all(self) -> dict[UUID, Verdict]:
        for row in self.rows.values():
            for one in self._chain(row):
                if one.id not in self.verdicts:
                    self.verdicts[one.id] = self._judge(one)
                    if isinstance(self.commands[one.id], Place):
                        self._judge_again(one.order_id)
        return self.verdicts

    def _judge_again(self, order_id: str) -> None:
        """Judge what waited for the order, earlier in this batch."""
        for row in self.rows.values():
            if row.order_id == order_id and isinstance(self.verdicts.get(row.id), Wait):
                for one in self._chain(row):
                    if isinstance(self.verdicts.get(one.id), Wait):
                        # Taken out first: what is written last for an order is what was decided
                        # last, so verdicts stand in the order of deciding.
                        del self.verdicts[one.id]
                        self.verdicts[one.id] = self._judge(one)

    def _chain(self, row: Row) -> list[Row]:
        """The row behind those of its predecessors that are in the batch: they come first. What
        replaced one was accepted before whoever still names the original, and comes first anyway.
        """
        chain = [row]
        while (ahead := self.rows.get(after_of(chain[-1]) or row.id)) and ahead not in chain:
            chain.append(ahead)
        return chain[::-1]

    def _judge(self, row: Row) -> Verdict:
        command = self.commands[row.id]
        if isinstance(command, Dead):
            return command
        if row.id in self.around.behind:
            delay_s = self.around.behind[row.id]
            return Wait("lock" if delay_s > 0 else None, delay_s)
        if row.order_id in self.unlocked:
            # Waiting for locks, we missed only what was not there yet: at once again.
            delay_s = 0.0 if self.waited else LOCKED_ORDER_DELAY_S
            return Wait("lock" if delay_s else None, delay_s)
        if isinstance(command, Rejection):
            return command
        held_up = self._predecessor(row)
        if held_up is not None:
            return held_up
        order = self.orders.get(row.order_id)
        if order is None and not isinstance(command, Place) and self._in_grace(row):
            return Wait("order", self._patience(row))
        decision = self.rules(order, command, self.world)
        if isinstance(decision, Decision):
            self.orders[row.order_id] = decision.order
            self.world = self.world.after(decision)
        return decision

    def _predecessor(self, row: Row) -> Rejection | Wait | None:
        """Why the command cannot be decided yet, or at all, because of the one it comes after."""
        named = after_of(row)
        if named is None:
            return None
        known = self.around.predecessors.get(named)
        after = known.id if known else named
        if after == row.id or row.id in self.around.cyclic:
            return Rejection(Reason.INVALID, "after: the command comes after itself")
        if known is None:
            if self._in_grace(row):
                return Wait("predecessor", self._patience(row))
            return Rejection(Reason.PREDECESSOR_NOT_FOUND, f"command {named} is not here")
        if known.order_id != row.order_id:
            return Rejection(Reason.INVALID, "after: a command of another order")
        verdict = self.verdicts.get(after)
        if isinstance(verdict, Decision) or known.state == "applied":
            return None
        if isinstance(verdict, Rejection) or known.state in {"rejected", "discarded"}:
            return Rejection(Reason.PREDECESSOR_FAILED, f"command {after} was not applied")
        return Wait("predecessor", PREDECESSOR_POLL_S, after)

    def _age_s(self, row: Row) -> float:
        """For how long it could have been decided."""
        since: datetime = row.values[3]
        command = self.commands[row.id]
        not_before = None if isinstance(command, Rejection | Dead) else command.not_before
        # Else somebody let it go before its time, and will not wait for that.
        if not_before and not_before <= self.world.now:
            since = max(since, not_before)
        return (self.world.now - since) / timedelta(seconds=1)

    def _in_grace(self, row: Row) -> bool:
        return self._age_s(row) < self.grace_s

    def _patience(self, row: Row) -> float:
        """Longer the older it is, and never far beyond the end of the grace."""
        age_s = self._age_s(row)
        return min(max(1.0, age_s / 2), 60.0, max(0.1, self.grace_s - age_s))


def read(row: Row) -> Command | Rejection | Dead:
    """The command in the row; a refusal where it holds no valid one."""
    try:
        return parse(row.values[2])
    except InvalidCommand as error:
        if any(problem.field == "schema_version" for problem in error.problems) and _is_newer(row):
            return Dead("unsupported_version", f"this worker knows version {SCHEMA_VERSION}")
        return Rejection(Reason.INVALID, str(error)[:2000])


def _is_newer(row: Row) -> bool:
    try:
        version = json.loads(row.values[2])["schema_version"]
    except (ValueError, RecursionError):  # what PostgreSQL holds and Python does not
        return False
    return isinstance(version, int) and version > SCHEMA_VERSION


def after_of(row: Row) -> UUID | None:
    """The id of the command's predecessor."""
    after: UUID | None = row.values[1]
    return after
