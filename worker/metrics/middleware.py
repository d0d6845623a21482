"""dramatiq's own metrics, under the names that everybody's dashboards know. Import it only after
`dramatiq_prom_db` is set: dramatiq looks at it once, when this is imported.
"""

from collections.abc import Callable

from dramatiq import Broker, Worker
from dramatiq.middleware.prometheus import Prometheus

from worker.metrics.exposition import expose_actors
from worker.metrics.recorder import Recorder


class Exported(Prometheus):
    """dramatiq's middleware, with our exposition in place of its own, which listens on all
    addresses and outlives a killed worker.
    """

    def __init__(self, recorder: Recorder, *, is_exposed: bool) -> None:
        super().__init__()
        self._recorder = recorder
        self._is_exposed = is_exposed

    @property
    def forks(self) -> list[Callable[[], int]]:
        """What dramatiq runs beside its workers: the exposition, where no supervisor has one."""
        return [] if self._is_exposed else [expose_actors]

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        del broker, worker
        self._recorder.started()
