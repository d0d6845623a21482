"""A worker process's own part: where it counts, and what listens in it."""

import os
from dataclasses import dataclass

from dramatiq import Middleware

from worker.metrics import folder as files
from worker.settings import Settings
from worker.work.observer import SILENT, Observer


@dataclass(frozen=True, slots=True)
class Instruments:
    """What listens in a worker process; nothing does where metrics are off."""

    observer: Observer = SILENT
    middleware: tuple[Middleware, ...] = ()


def instruments(config: Settings) -> Instruments:
    """The instruments of this worker process. Metrics never keep a worker from its work: what is
    in their way is logged, and they are off.
    """
    if not config.metrics_port:
        return Instruments()
    folder = config.metrics_dir or files.try_join(config.run_dir, os.getppid())
    if not folder or not files.try_allocate(folder, os.getpid()):
        return Instruments()
    # Before the imports below: both libraries look at their variable once.
    os.environ |= {"PROMETHEUS_MULTIPROC_DIR": str(folder), "dramatiq_prom_db": str(folder)}
    from prometheus_client import CollectorRegistry  # noqa: PLC0415  # as said

    from worker.metrics.middleware import Exported  # noqa: PLC0415  # as said
    from worker.metrics.recorder import Recorder  # noqa: PLC0415  # as said

    recorder = Recorder(CollectorRegistry())
    return Instruments(recorder, (Exported(recorder, is_exposed=config.metrics_dir is not None),))
