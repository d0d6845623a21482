"""Commands that wait must not slow down those that are due: both doors beside 200,000 of them."""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Final

import psycopg

from tests.bench.lab import Lab
from tests.bench.measurements import CHUNK, one_by_one, through_broker, through_store
from tests.bench.result import Result

SHARE: Final = 0.9
NOBODY: Final = "nobody waits"
SCHEDULED: Final = "waiting for a time"
ORDERLESS: Final = "waiting for their orders"
_DOORS: Final = ("store door, chunks", "broker door")

# As if accepted five minutes ago. One that waits for its order looks for it once in a minute by
# then, so what is due is spread over the next minute; a schedule is not due during the run.
WAITING: Final = """
insert into commands (id, kind, order_id, body, fingerprint, accepted_at, next_at, waits_for)
select id, 'ship', 'W-' || n, body, command_fingerprint(body),
  now() - interval '5 minutes',
  now() + case when %(is_orderless)s then interval '1 minute' * n / %(count)s
          else interval '1 day' + interval '1 second' * n end,
  case when %(is_orderless)s then 'order' else 'schedule' end
from (select n, uuidv7(interval '-5 minutes') as id from generate_series(1, %(count)s) n) as made,
  lateral (select jsonb_build_object('kind', 'ship', 'command_id', id, 'order_id', 'W-' || n,
    'items', '[{"line_id": "A", "quantity": 1}]'::jsonb) as body) as written
"""


def waiting(
    lab: Lab, *, count: int, rounds: int, commands: int, say: Callable[[str], None]
) -> Iterator[Result]:
    """Rates beside so many that wait, as a share of the rate where nobody does."""
    found: dict[str, dict[str, list[float]]] = {
        door: {NOBODY: [], SCHEDULED: [], ORDERLESS: []} for door in _DOORS
    }
    for number in range(1, rounds + 1):
        for who in (NOBODY, SCHEDULED, ORDERLESS):
            for door in _DOORS:
                with lab.database() as url:
                    if who != NOBODY:
                        _wait(url, count, is_orderless=who == ORDERLESS)
                    rate = _rate(lab, url, door, commands)
                found[door][who].append(rate)
                say(f"round {number}  {door:<20}{who:<26}{rate:>8,.0f}/s")
    for door, by_who in found.items():
        yield Result(f"{door}, {NOBODY}", median(by_who[NOBODY]), "/s")
        for who in (SCHEDULED, ORDERLESS):
            shares = [mine / free for mine, free in zip(by_who[who], by_who[NOBODY], strict=True)]
            yield Result(
                f"{door}, {count:,} {who} / none",
                median(shares),
                "ratio",
                # Those that look for their orders are work themselves, so many in a second.
                at_least=SHARE if who == SCHEDULED else None,
                note=" ".join(f"{share:.2f}" for share in shares)
                + (f"; {count // 60:,} of them are due each second" if who == ORDERLESS else ""),
            )


def _wait(url: str, count: int, *, is_orderless: bool) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(WAITING, {"count": count, "is_orderless": is_orderless})
        connection.execute("vacuum (analyze) commands")
        connection.execute("checkpoint")


def _rate(lab: Lab, url: str, door: str, commands: int) -> float:
    if door == "broker door":
        # A third: it takes three times as long.
        return through_broker(lab, url, lab.place(url, commands // 3), "actors", one_by_one)
    return through_store(lab, url, lab.place(url, commands), chunk=CHUNK)
