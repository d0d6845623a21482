"""What may be asked of a provider about a part next, so that it is never paid twice. Pure."""

from enum import Enum
from typing import Final

from worker.orders.value import value
from worker.refunds.provider import Provider

CALL_S: Final = 60.0
"""How long after its mark a call may still be going on: as long as a batch may take."""
SOONEST_S: Final = 10.0
LATEST_S: Final = 3600.0


class Step(Enum):
    """`REFUND`: it cannot pay twice. `FIND`: only look."""

    REFUND = "refund"
    FIND = "find"


@value
class Asked:
    """What has been asked for a part so far; ages on the database's clock, None for never."""

    provider: str | None = None
    provider_id: str | None = None
    ago_s: float | None = None
    """Since the first call under its key."""
    last_ago_s: float | None = None

    def settles_in_s(self, provider: Provider) -> float:
        """How long until a look-up that finds nothing is believed; 0 or less: it is now."""
        return provider.settles_within_s + CALL_S - (self.last_ago_s or 0)


def next_step(asked: Asked, provider: Provider) -> Step:
    """What has a name at the provider is looked up by it. The same key is used again as long as
    the provider surely keeps it, with a margin for calls that are slow and clocks that differ.
    """
    if asked.provider_id is not None:
        return Step.FIND
    if asked.ago_s is None:
        return Step.REFUND
    keeps_s = provider.keeps_keys_s
    return Step.REFUND if asked.ago_s < keeps_s - min(3600, keeps_s / 10) else Step.FIND


def pause_s(asked: Asked) -> float:
    """Until the next look at a refund that is under way: longer the older it is."""
    return min(max(SOONEST_S, (asked.ago_s or 0) / 4), LATEST_S)
