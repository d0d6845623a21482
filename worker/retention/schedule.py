"""Retention by itself: once an hour, by one process of the cluster, in a thread of its own.

No leader: whoever finds that an hour has passed writes down that it begins, and only one can. It
has connections of its own, for as long as it runs, and its failure is logged and harms nobody.
"""

import random
import threading
import time
from collections import Counter
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import Transient, explain
from worker.labels.files import files
from worker.retention.pruning import ENSURE, Pruning
from worker.settings import Settings
from worker.store.engine import make_engine

EVERY_S: Final = 3600
ORPHANS_EVERY_S: Final = 86_400
"""Looking for them is going through all files of the label store."""
LOOK_EVERY_S: Final = 300.0

BEGIN: Final = """
-- begin: true for one of those who ask
update retention set ran_at = now()
where what = %(what)s and (ran_at is null or ran_at <= now() - make_interval(secs => %(every_s)s))
returning what
"""

log = structlog.get_logger()


class Schedule:
    """Started by `start`; ended, after the batch at hand, once `stopping` is set."""

    def __init__(self, database_url: str, config: Settings, stopping: threading.Event) -> None:
        self._database_url = database_url
        self._config = config
        self._stop = stopping
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        if is_wanted(self._config):
            self._thread.start()

    def close(self) -> None:
        """Wait for its end."""
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        # Not all processes of a cluster at once, and none while it is starting.
        while not self._stop.wait(LOOK_EVERY_S * random.uniform(0.2, 1)):  # noqa: S311  # no secret
            try:
                self.look()
            except (SQLAlchemyError, Transient) as error:
                log.warning("retention_waits", reason=explain(error)[0])
            except Exception:
                log.exception("retention_failed")

    def look(self) -> Counter[str] | None:
        """Run it if an hour has passed since it was begun last; what went, None if it was not run.

        Raises:
          Transient: The label store or the folder of e-mails cannot be used.
          sqlalchemy.exc.SQLAlchemyError: The database cannot.
        """
        engine = make_engine(self._database_url, self._config, pool_size=2, look_ups_only=True)
        try:
            if not _begin(engine, "run", EVERY_S):
                return None
            return self._prune(engine)
        finally:
            engine.dispose()

    def _prune(self, engine: Engine) -> Counter[str]:
        began_s = time.monotonic()
        gone: Counter[str] = Counter()
        pruning = Pruning(engine, self._config, files(self._config), stop=self._stop)
        try:
            for what, count in pruning.run(orphans=_begin(engine, "orphans", ORPHANS_EVERY_S)):
                gone[what] += count
        finally:
            log.info("retention_ran", took_s=round(time.monotonic() - began_s, 1), **gone)
        return gone


def is_wanted(config: Settings) -> bool:
    """Whether anything is ever too old."""
    return bool(
        config.keep_payloads_days
        or config.keep_labels_days
        or config.keep_strays_days
        or config.keep_events_days
    )


def _begin(engine: Engine, what: str, every_s: int) -> bool:
    with engine.begin() as connection:
        connection.exec_driver_sql(ENSURE, {"what": ["run", "orphans"]})
        begun = connection.exec_driver_sql(BEGIN, {"what": what, "every_s": every_s})
        return begun.first() is not None
