"""What a dry run of a replay prints: what would come of each dead letter, and of how many."""

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict
from typing import NoReturn
from uuid import UUID

import typer

from worker.cli.exits import Code
from worker.cli.output import note, print_rows
from worker.cli.show import plain
from worker.work.prospects import Prospect


def print_prospects(found: list[Prospect], ids: Collection[UUID], *, as_json: bool) -> NoReturn:
    """Print them; exit code 4 if one of the ids is not here or there is nothing, 5 if one would
    fail or wait.
    """
    print_rows(
        [asdict(one) for one in found],
        as_json=as_json,
        headings=("id", "queue", "what", "order", "prospect", "why"),
        table=(
            (str(one.id), one.route, one.name, one.order_id, _words(one.prospect), plain(one.why))
            for one in found
        ),
    )
    missing = set(ids) - {one.id for one in found}
    for one_id in sorted(missing):
        note(f"{one_id} is not here")
    counts = Counter(_words(one.prospect) for one in found)
    note("; ".join(["nothing was replayed", *(f"{n} {word}" for word, n in counts.most_common())]))
    if missing or not found:
        raise typer.Exit(Code.NOT_FOUND)
    is_good = {one.prospect for one in found} <= {"would_succeed", "already_done"}
    raise typer.Exit(Code.OK if is_good else Code.REJECTED)


def _words(prospect: str) -> str:
    return {"would_fail": "would still fail"}.get(prospect, prospect.replace("_", " "))
