"""Making labels: the follow-up's call, from the facts to files that rows point to."""

from functools import partial

from sqlalchemy import Engine

from messages import wire
from worker.errors import Terminal
from worker.labels import documents
from worker.labels.bought import landed, order_of
from worker.labels.facts import parcel
from worker.labels.files import KINDS, Kind, files
from worker.postage import purchases
from worker.postage.adapters import NONE, Carriers
from worker.postage.buying import Buying
from worker.postage.purchases import Purchase
from worker.postage.voiding import Voiding
from worker.settings import Settings
from worker.work.drain import Route
from worker.work.followups import Answer, Ended, Task, followups_route
from worker.work.observer import SILENT, Observer


def labels_route(
    engine: Engine, config: Settings, carriers: Carriers = NONE, *, observer: Observer = SILENT
) -> Route:
    """The route of labels. A retry after a crash draws the same bytes and puts the same files; what
    is bought from one of the carriers is not bought again.
    """
    return followups_route(
        engine,
        wire.LABELS,
        partial(make, engine, config, carriers=carriers),
        # A slow carrier would hold the second label of a batch beyond its limit.
        batch_size=1 if carriers else 4,
        # Drawing computes, and one thread at a time: more of them would only hold up the commands.
        # Buying waits; half of the threads at most, or it would hold them up as well.
        drainers=max(1, config.threads // (2 if carriers else 4)),
        observer=observer,
    )


def make(engine: Engine, config: Settings, task: Task, carriers: Carriers = NONE) -> Answer:
    """Buy, or draw, and store the files of the task's shipment; its rows follow with the
    follow-up's end. Or give its label back.

    An operator can set the address of a dead one right: the key `ship_to` of its `edits`, an
    address as in `place`, goes before the order's. It is read with the facts, so that whoever draws
    the label again finds it too.

    Raises:
      Terminal: `bad_address`, `sscc_exhausted`, there is no such shipment, or as `Buying`.
      Transient: `label_store` or `label_font` cannot be used, or as `Buying`.
    """
    buying = Buying(engine, carriers, config.lease_s)
    if task.name in {"void", "void_surplus"}:
        return Voiding(buying)(task)
    from worker.labels.printer import Printer  # noqa: PLC0415  # slow, and many workers draw nothing

    printer = Printer(config)
    store = files(config)
    with engine.connect() as connection:
        facts = parcel(connection, task.subject_id)
        shipment = purchases.look(connection, task.subject_id)
    if facts is None or shipment is None:
        raise Terminal("no_shipment", "the shipment is not here")
    if shipment.wants(carriers):
        label = buying(task, shipment, partial(order_of, config, facts))
        if not isinstance(label, Purchase):
            return label
        contents: dict[Kind, bytes] = {"slip_pdf": printer.draw(facts, "slip_pdf")}
        if label.label and label.label_kind:
            contents[label.label_kind] = label.label
        return landed(task, label, documents.put(store, contents))
    made = documents.put(store, {kind: printer.draw(facts, kind) for kind in KINDS})
    return Ended(
        {"label_made": documents.told(made)},
        write=lambda connection: documents.write(connection, task.subject_id, made),
    )
