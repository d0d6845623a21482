"""Making labels: the follow-up's call, from the facts to files that rows point to."""

from functools import partial

from sqlalchemy import Engine

from messages import wire
from worker.errors import Terminal
from worker.labels import documents
from worker.labels.documents import Made
from worker.labels.facts import parcel
from worker.labels.files import KINDS, digest_of, files, name_of
from worker.labels.printer import Printer
from worker.settings import Settings
from worker.work.drain import Route
from worker.work.followups import Ended, Task, followups_route
from worker.work.observer import SILENT, Observer


def labels_route(engine: Engine, config: Settings, *, observer: Observer = SILENT) -> Route:
    """The route of labels. A retry after a crash draws the same bytes and puts the same files."""
    return followups_route(
        engine,
        wire.LABELS,
        partial(make, engine, config),
        # Drawing computes, and one thread at a time: more of them would only hold up the commands.
        drainers=max(1, config.threads // 4),
        observer=observer,
    )


def make(engine: Engine, config: Settings, task: Task) -> Ended:
    """Draw and store the files of the task's shipment; its rows follow with the follow-up's end.

    An operator can set the address of a dead one right: the key `ship_to` of its `edits`, an
    address as in `place`, goes before the order's. It is read with the facts, so that whoever draws
    the label again finds it too.

    Raises:
      Terminal: `bad_address`, `sscc_exhausted`, or there is no such shipment.
      Transient: `label_store` or `label_font` cannot be used.
    """
    if task.name not in {"label", "relabel"}:  # what we draw costs nothing to take back
        return Ended({"skipped": "nothing_to_void"}, state="skipped")
    with engine.connect() as connection:
        facts = parcel(connection, task.subject_id)
    if facts is None:
        raise Terminal("no_shipment", "the shipment is not here")
    printer = Printer(config)
    store = files(config)
    made = []
    for kind in KINDS:
        content = printer.draw(facts, kind)
        sha256 = digest_of(content)
        store.put(name_of(sha256, kind), content)
        made.append(Made(kind, sha256, len(content)))
    told = {one.kind: {"sha256": one.sha256.hex(), "size_bytes": one.size_bytes} for one in made}
    return Ended(
        {"label_made": told},
        write=lambda connection: documents.write(connection, task.subject_id, made),
    )
