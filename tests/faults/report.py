"""What a run under faults came to: a table by kind of fault."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from psycopg.rows import dict_row

from tests.faults.checker import Doubled, Lost, check
from tests.faults.copies import Interruption, unexplained

UUIDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

DECIDED = """
select id::text, order_id, kind, state, extract(epoch from decided_at)::float8 as decided_at,
  after_id is null as is_free, outcome ->> 'reason' as reason
from commands
"""

NAMES = """
-- names: what else a law may call a command by
select part_id::text as name, refund_id::text as command_id from refund_parts
union all select purchase_id::text, command_id::text from purchases join shipments using (shipment_id)
union all select id::text, command_id::text from followups
"""

MAILS = """
select id::text, extract(epoch from decided_at)::float8 as ended_at from followups
where route = 'emails'
"""

COUNTS = """
select 'commands ' || state as name, count(*) from commands group by 1
union all select route || ' ' || state, count(*) from followups group by 1
union all select 'refund parts ' || state, count(*) from refund_parts group by 1
union all select 'bought labels ' || state, count(*) from purchases group by 1
union all select 'documents', count(*) from documents
order by 1
"""

BUGS = """
-- bugs: failures that no fault explains, and commands that were given up
select 'command ' || id || ' is ' || state || ': ' || errors as told from commands
where state = 'dead' or jsonb_path_exists(errors, '$[*] ? (@.reason == "bug")')
union all select route || ' ' || id || ' is ' || state || ': ' || errors from followups
where jsonb_path_exists(errors, '$[*] ? (@.reason == "bug")')
"""


@dataclass
class Incident:
    """A fault that was injected. Times are the machine's, which are the database's."""

    kind: Any
    begun_at: float
    ended_at: float
    hit: frozenset[int]
    leased: set[Any] | None
    """Follow-ups that were leased when it began; None if nobody could say."""
    commands: set[str] = field(default_factory=set)
    """Sent and not decided when it began."""
    recovered_s: float | None = None
    """From its end until the last of them was decided."""


@dataclass
class Report:
    """What was injected and found."""

    seed: int
    began: float
    ended: float
    incidents: list[Incident] = field(default_factory=list)
    not_here: dict[str, str] = field(default_factory=dict)
    hindered: Counter[str] = field(default_factory=Counter)
    """Faults that could not be done, since another was in the way."""
    unsettled: list[str] = field(default_factory=list)
    dead: list[dict[str, int]] = field(default_factory=list)
    """Dead follow-ups, before each time that a person had them tried again."""
    settled_s: float = 0
    sent_again: dict[str, int] = field(default_factory=dict)
    published: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    copies: int = 0
    """E-mails that arrived a second time."""
    found: list[str] = field(default_factory=list)
    """All violations."""
    of_kind: dict[str, list[str]] = field(default_factory=dict)
    """Violations of what was in flight when faults of the kind began."""
    log: str = ""

    @property
    def lost(self):
        return [one for one in self.found if isinstance(one, Lost)]

    @property
    def doubled(self):
        return [one for one in self.found if isinstance(one, Doubled)]

    @property
    def broken(self):
        return [one for one in self.found if not isinstance(one, Lost | Doubled)]

    @property
    def is_good(self):
        return not self.found

    @property
    def kinds(self):
        kinds = defaultdict(list)
        for one in self.incidents:
            kinds[one.kind.name].append(one)
        return dict(sorted(kinds.items()))

    def table(self):
        """For people."""
        head = (
            "fault",
            "injected",
            "in flight",
            "lost",
            "doubled",
            "broken",
            "recovery s",
            "worst",
        )
        rows = [row_of(name, some, self.of_kind.get(name, [])) for name, some in self.kinds.items()]
        flying = sum(len(one.commands) + len(one.leased or ()) for one in self.incidents)
        rows.append(
            (
                "all",
                len(self.incidents),
                flying,
                len(self.lost),
                len(self.doubled),
                len(self.broken),
            )
        )
        lines = [line(head), *map(line, rows), ""]
        minutes = (self.ended - self.began) / 60
        lines.append(
            f"seed {self.seed}: {len(self.incidents)} faults of {len(self.kinds)} kinds in"
            f" {minutes:.1f} minutes, {self.published} commands; settled {self.settled_s:.0f} s after"
        )
        lines += [f"  {name:32}{count:>8}" for name, count in self.counts.items()]
        lines.append(f"  {'e-mails that came twice':32}{self.copies:>8}")
        lines += [f"  {name + ', sent again':32}{n:>8}" for name, n in self.sent_again.items()]
        lines += [f"dead, tried again by hand: {dead}" for dead in self.dead if dead]
        lines.append(f"hindered by another fault: {dict(self.hindered)}")
        lines += [f"not injected: {name}: {why}" for name, why in self.not_here.items()]
        lines += self.found[:40]
        return "\n".join(lines) + "\n"


def row_of(name, incidents, found):
    took = [one.recovered_s for one in incidents if one.recovered_s is not None]
    return (
        name.replace("_", " "),
        len(incidents),
        sum(len(one.commands) + len(one.leased or ()) for one in incidents),
        sum(isinstance(one, Lost) for one in found),
        sum(isinstance(one, Doubled) for one in found),
        sum(not isinstance(one, Lost | Doubled) for one in found),
        f"{median(took):.1f}" if took else "-",
        f"{max(took):.1f}" if took else "-",
    )


def line(cells):
    first, *rest = cells
    return f"{first:32}" + "".join(f"{cell:>11}" for cell in rest)


def judge(report, world, published, sent, *, mailbox, unheard, sending, **books):
    """Fill the report in from what every book says."""
    found = check(
        world.database.url,
        published,
        mail=[copy.message_id for copy in mailbox.copies],
        files=world.folder / "state" / "labels",
        **books,
    )
    with world.connection() as connection:
        rows = connection.cursor(row_factory=dict_row)
        commands = rows.execute(DECIDED).fetchall()
        names = {row["name"]: row["command_id"] for row in rows.execute(NAMES)}
        mails = {row["id"]: row["ended_at"] for row in rows.execute(MAILS)}
        report.counts = dict(connection.execute(COUNTS).fetchall())
        found += [told for (told,) in connection.execute(BUGS)]
    found += list(map(Doubled, second_copies(report, mailbox, mails, unheard, sending)))
    found += list(map(Lost, report.unsettled))
    report.published = len(published)
    report.found = found
    report.copies = len(mailbox.copies) - len({one.message_id for one in mailbox.copies})
    in_flight(report.incidents, commands, sent)
    report.of_kind = attributed(report.incidents, found, commands, names)
    report.log = world.told("")


def second_copies(report, mailbox, ended, unheard, sending):
    """Those that nothing explains."""
    interruptions = [
        Interruption(one.hit, one.begun_at, one.ended_at, one.kind.is_stop)
        for one in report.incidents
        if one.hit
    ]
    lost = defaultdict(list)
    for port, at in unheard:
        lost[port].append(at)
    missed = {
        copy
        for copy in mailbox.copies
        if any(copy.begun_at <= at <= copy.given_at + 1 for at in lost[copy.connection[1]])
    }
    ends = {
        copy.message_id: ended.get(copy.message_id[1:37]) or float("inf") for copy in mailbox.copies
    }
    return unexplained(mailbox.copies, ends, interruptions, unheard=missed, sending=sending)


def in_flight(incidents, commands, sent):
    """Which commands were under way when each fault began, and when the last of those that waited
    for nothing but a worker was decided. All from `decided_at`: nobody has to look meanwhile.
    """
    rows = sorted(
        ((sent[row["id"]], row) for row in commands if row["id"] in sent), key=lambda pair: pair[0]
    )
    placed = {}
    for row in commands:
        if row["kind"] == "place" and row["state"] == "applied":
            at = placed.get(row["order_id"], float("inf"))
            placed[row["order_id"]] = min(at, row["decided_at"])
    for one in incidents:
        for sent_at, row in rows:
            if sent_at > one.begun_at:
                break
            decided_at = row["decided_at"] or float("inf")
            if decided_at > one.begun_at:
                one.commands.add(row["id"])
                is_new = row["kind"] == "place"
                is_there = placed.get(row["order_id"], float("inf")) < one.begun_at
                if row["is_free"] and (is_new or is_there):
                    took_s = max(0.0, decided_at - one.ended_at)
                    one.recovered_s = max(one.recovered_s or 0.0, took_s)


def attributed(incidents, found, commands, names):
    """The violations by kinds of faults that had their commands, or their follow-ups, in flight."""
    of_order = defaultdict(set)
    for row in commands:
        of_order[row["order_id"]].add(row["id"])
    of_kind = defaultdict(list)
    for told in found:
        ids = set(UUIDS.findall(told))
        ids |= {names[one] for one in ids if one in names}
        for word in told.replace(":", " ").split():
            ids |= of_order.get(word, set())
        for kind in {
            one.kind.name
            for one in incidents
            if ids & one.commands or ids & {str(row_id) for row_id in one.leased or ()}
        }:
            of_kind[kind].append(told)
    return dict(of_kind)
