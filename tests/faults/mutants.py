"""`make mutants`: the checker can fail. Bugs that a careless programmer might write are planted
into the worker's code, one by one; a short run provokes each, and the checker has to name it.

    python -m tests.faults.mutants
    python -m tests.faults.mutants no_ticker settled_too_soon --seed 7
    python -m tests.faults.mutants --list

This is the one place where our own code is patched: a bug is text in place of text that the source
has exactly once, put there while the workers of the run import it.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).parents[2]
VARIABLE = "MUTANT"
"""Names the bug to workers that run `tests.faults.mutated`."""


@dataclass(frozen=True)
class Edit:
    """`old` is replaced by `new` in a module's source; or, where the name has parentheses, in the
    definition of the database's function.
    """

    where: str
    old: str
    new: str

    def of(self, text):
        """The text with the bug in it."""
        if (found := text.count(self.old)) != 1:
            raise LookupError(f"{self.where} has this {found} times, not once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """A bug: what the programmer did, which run shows it, and which checks may name it."""

    name: str
    told: str
    run: str
    """A function of `provocations`."""
    checks: tuple[str, ...]
    edits: tuple[Edit, ...]


class Planter:
    """Finds the modules that a bug is in, and has them read with it."""

    def __init__(self, mutant):
        self.mutant = mutant

    def find_spec(self, name, path, target=None):
        edits = [one for one in self.mutant.edits if one.where == name]
        spec = PathFinder.find_spec(name, path, target) if edits else None
        if spec:
            spec.loader = Edited(name, spec.origin, edits)
        return spec


class Edited(SourceFileLoader):
    """Reads a module's source with a bug in it; what was compiled before is not looked at."""

    def __init__(self, name, path, edits):
        super().__init__(name, path)
        self.edits = edits

    def get_code(self, fullname):
        text = Path(self.path).read_text()
        for edit in self.edits:
            text = edit.of(text)
        return self.source_to_code(text, self.path)


def plant(name):
    """Plant the bug into this process, before it imports any of what the bug is in."""
    mutant = MUTANTS[name]
    for edit in mutant.edits:
        assert edit.where not in sys.modules, f"{edit.where} is imported already"
    sys.meta_path.insert(0, Planter(mutant))


def plant_in_database(name, connection):
    """Plant what the bug is of the database's functions."""
    for edit in MUTANTS[name].edits:
        if is_in_database(edit):
            connection.execute(edit.of(definition(edit, connection)))


def is_in_database(edit):
    return edit.where.endswith(")")


def definition(edit, connection):
    """The text of the function that it is in."""
    statement = "select pg_get_functiondef(%s::regprocedure)"
    return connection.execute(statement, [edit.where]).fetchone()[0]


def source(edit):
    """The text of the module that it is in."""
    return ROOT.joinpath(*edit.where.split(".")).with_suffix(".py").read_text()


CLAIM, COMMANDS, DRAIN, FOLLOWUPS, JUDGING, TICKER = (
    f"worker.work.{name}"
    for name in ("claim", "commands", "drain", "followups", "judging", "ticker")
)
ORDERS = "worker.store.orders"
BUYING, PURCHASES = "worker.postage.buying", "worker.postage.purchases"
FENCE = (
    "where id = any(%(ids)s) and claim = %(claim)s and state = 'pending'\norder by id for no key"
)

_ALL = (
    # What comes in.
    Mutant(
        "no_fingerprint",
        "the door knows a command by its id, and does not compare what it says",
        "unhinted",
        ("accepted",),
        (
            Edit(
                "accept_commands(jsonb,integer)",
                "when c.fingerprint = command_fingerprint(i.body) then 'known'",
                "when c.id is not null then 'known'",
            ),
        ),
    ),
    Mutant(
        "no_ticker",
        "nobody looks for due work: a hint will come",
        "unhinted",
        ("ended",),
        (Edit(TICKER, "for due in found:", "for due in found[:0]:"),),
    ),
    Mutant(
        "clock_of_the_worker",
        "what is due is told by the worker's clock, not by the database's",
        "unhinted",
        ("ended",),
        (
            Edit(CLAIM, "from uuid import UUID\n", "from uuid import UUID\nimport time\n"),
            Edit(CLAIM, 'and next_at <= now()"', 'and next_at <= to_timestamp(%(clock)s)"'),
            Edit(CLAIM, '"limit": limit,', '"limit": limit, "clock": time.time(),'),
            Edit(CLAIM, '= {"lease_s": lease_s,', '= {"clock": time.time(), "lease_s": lease_s,'),
            Edit(CLAIM, '{"lease_s": lease_s})', '{"lease_s": lease_s, "clock": time.time()})'),
        ),
    ),
    # Deciding.
    Mutant(
        "lost_batch_mate",
        "of several commands of one order in a batch only the last one's rows are written",
        "unhinted",
        ("effects",),
        (
            Edit(
                ORDERS,
                "    for command, decision in decided:\n",
                "    decided = {one[0].order_id: one for one in decided}.values()\n"
                "    for command, decision in decided:\n",
            ),
        ),
    ),
    Mutant(
        "no_fence",
        "a worker that stood still writes what it had claimed, whoever has done it meanwhile",
        "stood_still",
        ("effects", "versions", "replay"),
        (Edit(CLAIM, FENCE, "where id = any(%(ids)s)\norder by id for no key"),),
    ),
    Mutant(
        "fence_in_the_write_only",
        "whether the work is still ours is asked by the writing statement, of the command alone",
        "stood_still",
        ("effects", "versions"),
        (
            Edit(
                COMMANDS,
                "claimed, batch = batch, lock_claimed(connection, batch)",
                "claimed = batch",
            ),
            Edit(
                ORDERS,
                '"write_batch.sql").read_text()',
                '"write_batch.sql").read_text().replace(\n'
                '    "where c.id = new.id\\n", "where c.id = new.id and c.state = \'pending\'\\n")',
            ),
        ),
    ),
    Mutant(
        "out_of_order",
        "commands of one order are decided as they are claimed, whatever was accepted before them",
        "stood_still",
        ("in_order",),
        (Edit(JUDGING, "if row.id in self.around.behind:", "if False:"),),
    ),
    Mutant(
        "no_locks_of_orders",
        "orders are read without a lock, for the writing statement locks what it changes",
        "endings",
        ("parts", "versions", "statuses", "endings", "money", "refunded", "replay"),
        (
            Edit(
                ORDERS,
                'order by order_id for no key update\n"""\n\nWRITE',
                'order by order_id\n"""\n\nWRITE',
            ),
            Edit(ORDERS, 'f"""{LOCK_ORDERS} skip locked"""', "LOCK_ORDERS"),
        ),
    ),
    Mutant(
        "lock_and_load_in_one",
        "one statement locks the orders and reads them with their lines and payments",
        "endings",
        ("parts", "versions", "statuses", "endings", "money", "refunded", "replay"),
        (
            Edit(
                COMMANDS,
                "store.lock(connection, order_ids, wait=wait_for_locks)",
                "{*order_ids}",
            ),
            Edit(
                COMMANDS,
                "select {store.ORDERS},\n",
                "select {store.ORDERS.replace('from orders where order_id = any(%(order_ids)s)',"
                "'from (select * from orders where order_id = any(%(order_ids)s)'"
                "' order by order_id for no key update) as o')},\n",
            ),
        ),
    ),
    Mutant(
        "crash_of_any",
        "a crash is counted for every row whose lease ran out, not only for one that ran alone",
        "crashed",
        ("bugs", "dead"),
        (Edit(CLAIM, "crashes = crashes + alone::integer", "crashes = crashes + 1"),),
    ),
    Mutant(
        "acknowledged_at_once",
        "a message is acknowledged when it is fetched, not when its commands are committed",
        "broker",
        ("accepted",),
        (
            Edit(
                "worker.broker.redis",
                "            self.holding.add(redis_id, message)\n",
                "            self.holding.add(redis_id, message)\n"
                '            self.broker.settle(self.queue_name, "ack", [redis_id])\n',
            ),
        ),
    ),
    # Outside calls.
    Mutant(
        "done_before_the_effect",
        "a follow-up is marked as done, then carried out",
        "mail",
        ("mailed",),
        (
            Edit(
                FOLLOWUPS,
                "            with fenced(engine, one):\n                pass\n"
                "            answer = call(_task(row, partial(fenced, engine, one)))\n",
                "            with fenced(engine, one) as connection:\n"
                "                connection.exec_driver_sql(\n"
                '                    FINISH, {"id": row.id, "state": "done", "outcome": "{}"})\n'
                "            answer = call(_task(row, partial(fenced, engine, one)))\n",
            ),
        ),
    ),
    Mutant(
        "no_renewal",
        "leases are not renewed: nothing takes that long",
        "mail",
        ("copies",),
        (Edit(TICKER, "if held_s < self._batch_limit_s:", "if False:"),),
    ),
    Mutant(
        "new_message_id",
        "an e-mail gets its Message-ID when it is sent, and another when it is sent again",
        "mail",
        ("mailed",),
        (
            Edit(
                "worker.emails.message",
                "f\"<{mail_id}@{sender.address.rpartition('@')[2]}>\"",
                "__import__('email.utils').utils.make_msgid()",
            ),
        ),
    ),
    Mutant(
        "new_key_on_retry",
        "each request to the provider has an idempotency key of its own",
        "refunds",
        ("paid_once",),
        (
            Edit(
                "worker.refunds.square",
                "idempotency_key=str(part.part_id)",
                'idempotency_key=str(__import__("uuid").uuid4())',
            ),
        ),
    ),
    Mutant(
        "no_mark",
        "nothing is written down before a provider is asked",
        "refunds",
        ("paid_once",),
        (
            Edit(
                "worker.refunds.route",
                "        connection.exec_driver_sql(MARK_ASKED, "
                '{"part_id": part.part_id, "provider": name})\n',
                "",
            ),
        ),
    ),
    Mutant(
        "settled_too_soon",
        "a look-up that finds nothing is believed at once",
        "refunds",
        ("paid_once", "money"),
        (
            Edit(
                "worker.refunds.asking",
                "return provider.settles_within_s + CALL_S - (self.last_ago_s or 0)",
                "return 0.0",
            ),
        ),
    ),
    Mutant(
        "lock_over_a_call",
        "the order is locked while the carrier is asked for a label",
        "carrier",
        ("ended",),
        (
            Edit(
                BUYING,
                "            with carrier.calling() as adapter:\n"
                "                answer = usable(adapter.buy(wanted))\n",
                "            with self.engine.begin() as held, carrier.calling() as adapter:\n"
                "                store.lock(held, [task.order_id])\n"
                "                answer = usable(adapter.buy(wanted))\n",
            ),
        ),
    ),
    Mutant(
        "uncertain_is_no",
        "a purchase whose answer was lost counts as not made",
        "carrier",
        ("bought_once",),
        (
            Edit(
                BUYING,
                "        except Uncertain as error:\n"
                "            if carrier.adapter.can_find:\n"
                "                raise\n"
                "            raise unknown_outcome(shipment, purchase) from error\n",
                "",
            ),
        ),
    ),
    Mutant(
        "unknown_forgotten",
        "nobody finds out what became of a purchase before the next one is made",
        "carrier",
        ("labels",),
        (
            Edit(BUYING, "for purchase in shipment.unknown:", "for purchase in ():"),
            Edit(BUYING, "if shipment.kept or shipment.unknown:", "if shipment.kept:"),
        ),
    ),
    Mutant(
        "surplus_kept",
        "a second label that turns up late is not given back",
        "carrier",
        ("labels",),
        (Edit(PURCHASES, "in shipment.surplus if shipment else ():", "in ():"),),
    ),
    # Labels.
    Mutant(
        "label_overwritten",
        "label files are told apart by how they begin",
        "unhinted",
        ("stored",),
        (
            Edit(
                "worker.labels.files",
                "return hashlib.sha256(content).digest()",
                "return hashlib.sha256(content[:64]).digest()",
            ),
        ),
    ),
)
MUTANTS = {one.name: one for one in _ALL}


@dataclass(frozen=True)
class Result:
    """What a run came to: the check that named the bug, with its sentence; None if none did."""

    mutant: Mutant
    caught: str | None
    found: list[str]
    took_s: float


def tried(mutant, seed):
    """The bug in a run of its own."""
    began = time.monotonic()
    found = provoked(mutant.run, seed, mutant.name)
    caught = next((one for one in found if one.partition(":")[0] in mutant.checks), None)
    return Result(mutant, caught, found, time.monotonic() - began)


def provoked(run, seed, name=None):
    """What is found in the run, with this bug or without any."""
    provocation = getattr(import_module("tests.faults.provocations"), run)
    try:
        return list(map(str, provocation(seed, name)))
    except AssertionError as error:
        return [f"run: it did not come to its end: {error}"]


def main():
    arguments = read_arguments()
    wanted = [MUTANTS[name] for name in arguments.names or MUTANTS]
    if arguments.list:
        for one in wanted:
            sys.stdout.write(f"{one.name:28}{one.told} (run {one.run})\n")
        return
    wrong = [run for run in dict.fromkeys(one.run for one in wanted) if not passes(run, arguments)]
    alive = [one.name for one in wanted if not is_caught(one, arguments)]
    sys.stdout.write(
        f"seed {arguments.seed}: {len(wanted)} bugs, not caught: {', '.join(alive) or 'none'};"
        f" found without a bug in: {', '.join(wrong) or 'none'}\n"
    )
    sys.exit(1 if alive or wrong else 0)


def passes(run, arguments):
    """Whether the run finds nothing where there is nothing: else a catch would say nothing."""
    began = time.monotonic()
    found = provoked(run, arguments.seed)
    tell(f"({run}, no bug)", time.monotonic() - began, f"FOUND {found[:3]}" if found else "passes")
    return not found


def is_caught(mutant, arguments):
    result = tried(mutant, arguments.seed)
    told = result.caught or f"SURVIVED; found: {result.found[:3]}"
    tell(mutant.name, result.took_s, told[:160])
    return result.caught is not None


def tell(name, took_s, told):
    sys.stdout.write(f"{name:26}{took_s:5.1f} s  {told}\n")
    sys.stdout.flush()


def read_arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or 1)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--list", action="store_true", help="say what they are, and stop")
    arguments = parser.parse_args()
    if unknown := {*arguments.names} - MUTANTS.keys():
        parser.error(f"no such bug: {', '.join(sorted(unknown))}; --list names them")
    return arguments


if __name__ == "__main__":
    main()
