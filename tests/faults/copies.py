"""Which second copies of an e-mail an interruption explains, each by one of its own.

A second copy is due when the worker that got the first one's `250` was interrupted before its
commit, or when a worker that stood still beyond its lease sends what another has sent meanwhile.
All times are seconds on the machine's clock, which is the database's too.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

SENDING = 2
"""How many e-mails a worker of four threads has under way at once."""


@dataclass(frozen=True)
class Copy:
    """A message that a server took: from which worker, on which of its connections. A thread has
    one connection and one e-mail at a time.
    """

    message_id: str
    worker: int
    connection: object
    begun_at: float
    """When its recipient was named: the worker was alive, and went on to send the content."""
    given_at: float
    """When the server answered `250`."""


@dataclass(frozen=True)
class Interruption:
    """A fault that can come between a `250` and our commit."""

    workers: frozenset[int]
    begun_at: float
    ended_at: float
    is_stop: bool = False
    """It stood still beyond its lease, then went on with what it held."""


@dataclass(frozen=True)
class _Sent:
    """A copy, and when the thread that sent it was surely busy with something else."""

    copy: Copy
    not_before: float
    not_after: float


def unexplained(
    copies: Iterable[Copy],
    ended: Mapping[str, float],
    interruptions: Iterable[Interruption],
    *,
    unheard: Container[Copy] = (),
    sending: int = SENDING,
) -> list[str]:
    """What no interruption explains; empty if all is well. `ended` says when the end of each
    message was committed (the begin of the transaction that did).

    An interruption explains one second copy for each of the `sending` e-mails that a worker can have
    had under way. What the worker did not hear of a copy that is `unheard` explains the next.
    """
    found = []
    causes: dict[Copy, list[tuple[Interruption, int, int]]] = {}
    interruptions = list(interruptions)
    for message_id, sent in _by_message(copies).items():
        first = sent[0].copy
        if first.begun_at > ended[message_id]:
            found.append(f"{message_id} was sent after its end was committed")
        for before, after in pairwise(sent):
            if before.copy in unheard:
                continue
            causes[after.copy] = [
                (one, worker, n)
                for one in interruptions
                for worker in _hit(one, before, after, ended[message_id])
                for n in range(sending)
            ]
    taken = _matched(causes)
    found += [
        f"{copy.message_id}: a copy of worker {copy.worker} has no cause of its own"
        for copy in causes.keys() - taken.values()
    ]
    return found


def _hit(one: Interruption, before: _Sent, after: _Sent, ended_at: float) -> set[int]:
    """The workers in which the interruption can be why `after` was sent although `before` was."""
    hit = set()
    if after.copy.begun_at <= ended_at:
        # The first had no commit. Its thread had one, or had given up, before it sent the next.
        since = before.not_before if one.is_stop else before.copy.begun_at
        until = min(before.not_after, after.copy.begun_at)
        if one.begun_at <= until and one.ended_at >= since:
            hit.add(before.copy.worker)
    if one.is_stop and one.begun_at <= after.copy.given_at and one.ended_at >= after.not_before:
        hit.add(after.copy.worker)
    return hit & one.workers


def _by_message(copies: Iterable[Copy]) -> dict[str, list[_Sent]]:
    """The copies of each message in the order in which they were taken."""
    copies = sorted(copies, key=lambda copy: copy.given_at)
    of_connection: defaultdict[object, list[Copy]] = defaultdict(list)
    for copy in copies:
        of_connection[copy.worker, copy.connection].append(copy)
    messages: defaultdict[str, list[_Sent]] = defaultdict(list)
    for mine in of_connection.values():
        starts = [float("-inf"), *(copy.given_at for copy in mine)]
        ends = [*(copy.begun_at for copy in mine[1:]), float("inf")]
        for copy, not_before, not_after in zip(mine, starts, ends, strict=False):
            messages[copy.message_id].append(_Sent(copy, not_before, not_after))
    for sent in messages.values():
        sent.sort(key=lambda one: one.copy.given_at)
    return messages


def _matched(causes: Mapping[Copy, list[tuple[Interruption, int, int]]]) -> dict[object, Copy]:
    """A cause of its own for as many copies as can have one (augmenting paths)."""
    taken: dict[object, Copy] = {}

    def place(copy: Copy, tried: set[object]) -> bool:
        for cause in causes[copy]:
            if cause not in tried:
                tried.add(cause)
                if cause not in taken or place(taken[cause], tried):
                    taken[cause] = copy
                    return True
        return False

    for copy in causes:
        place(copy, set())
    return taken
