"""`prune`: what is old goes, now."""

from collections import Counter
from typing import Annotated

import typer

from worker.cli.chosen import stopped_by_ctrl_c
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, note, print_json, progress, say
from worker.cli.session import session
from worker.errors import Transient
from worker.labels.files import files
from worker.retention.pruning import WHAT, Pruning
from worker.store.engine import make_engine

app = typer.Typer()


@app.command()
def prune(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say how many would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Empty and remove what is old; ids, outcomes and amounts stay.

    How old, FULFILLMENT_KEEP_PAYLOADS_DAYS, _KEEP_LABELS_DAYS, _KEEP_STRAYS_DAYS and
    _KEEP_EVENTS_DAYS say. Workers do it by themselves, once an hour. What waits or is dead stays as
    it is. Ctrl-C ends it after the batch at hand; running it again goes on.
    """
    gone: Counter[str] = Counter()
    with session() as opened:
        # Plans are pinned as a worker's are: no statement reads a table from end to end.
        engine = make_engine(
            opened.servers.database_url, opened.settings, pool_size=2, look_ups_only=True
        )
        with stopped_by_ctrl_c() as stop, progress() as bar:
            task = bar.add_task("counting" if dry_run else "pruning", total=None)
            try:
                pruning = Pruning(
                    engine, opened.settings, files(opened.settings), stop=stop, dry_run=dry_run
                )
                for what, count in pruning.run():
                    gone[what] += count
                    bar.update(task, description=WHAT[what], completed=gone.total())
            except Transient as error:
                raise Failure(f"{error}; what was done before: {_text(gone)}") from None
            finally:
                engine.dispose()
    if as_json:
        print_json({"dry_run": dry_run, **{what: gone[what] for what in WHAT}})
    else:
        say(f"{'would go' if dry_run else 'gone'}: {_text(gone)}")
    if stop.is_set():
        note("interrupted: run it again to go on")
        raise typer.Exit(Code.INTERRUPTED)


def _text(gone: Counter[str]) -> str:
    return (
        ", ".join(f"{gone[what]} {words}" for what, words in WHAT.items() if gone[what])
        or "nothing"
    )
