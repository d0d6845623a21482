"""A small store against bigger ones: commands per second with a hundred thousand and a million
orders and their finished commands beside them, as a share of the rate with ten thousand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench import shop
from tests.bench.lab import Lab
from tests.bench.measurements import CHUNK, one_by_one, through_broker, through_store
from tests.bench.result import Result

SMALL: Final = "small store"
MIDDLE: Final = "middle store"
BIG: Final = "big store"
MIDDLE_SHARE: Final = "middle / small"
BIG_SHARE: Final = "big / small"
SHARE: Final = 0.9
TEMPLATE: Final = "bench_shop"
_DOORS: Final = ("store door, chunks", "broker door")


@dataclass(frozen=True, slots=True)
class Stores:
    """Each with servers of its own: a checkpoint for one is none for the other."""

    small: Lab
    middle: Lab
    big: Lab

    def build(self, *, small: int, middle: int, big: int) -> None:
        for lab, orders in ((self.small, small), (self.middle, middle), (self.big, big)):
            shop.build(lab.keep(TEMPLATE), orders)

    @contextmanager
    def use(self, name: str) -> Iterator[tuple[Lab, str]]:
        """A store itself, or a fresh copy of the small one: it would grow with each round."""
        if name == SMALL:
            with self.small.database(TEMPLATE) as url:
                yield self.small, url
        else:
            lab = self.big if name == BIG else self.middle
            lab.redis.flushall()
            yield lab, lab.url(TEMPLATE)


def rates(
    stores: Stores, *, rounds: int, commands: int, say: Callable[[str], None]
) -> Iterator[Result]:
    """Both doors on all stores, in rounds; the first of each round takes turns.

    A round before them is not counted: after a checkpoint the first change of each page writes it
    whole, and a big store has many pages.
    """
    found: dict[str, dict[str, list[float]]] = {
        door: {SMALL: [], MIDDLE: [], BIG: []} for door in _DOORS
    }
    for number in range(rounds + 1):
        for name in (SMALL, MIDDLE, BIG) if number % 2 else (BIG, MIDDLE, SMALL):
            for door in _DOORS:
                with stores.use(name) as (lab, url):
                    rate = _rate(lab, url, door, commands)
                if number:
                    found[door][name].append(rate)
                say(f"round {number}  {door:<20}{name:<12}{rate:>8,.0f}/s")
    for door, by_store in found.items():
        for name, values in by_store.items():
            yield Result(f"{door}, {name}", median(values), "/s")
        for name, said, goal in ((MIDDLE, MIDDLE_SHARE, None), (BIG, BIG_SHARE, SHARE)):
            pairs = zip(by_store[SMALL], by_store[name], strict=True)
            shares = [more / small for small, more in pairs]
            note = " ".join(f"{share:.2f}" for share in shares)
            yield Result(f"{door}, {said}", median(shares), "ratio", at_least=goal, note=note)


def _rate(lab: Lab, url: str, door: str, commands: int) -> float:
    if door == "broker door":
        # A third: it takes three times as long.
        return through_broker(lab, url, lab.place(url, commands // 3), "actors", one_by_one)
    return through_store(lab, url, lab.place(url, commands), chunk=CHUNK)
