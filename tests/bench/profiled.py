"""The worker's actors with a profile of every thread, by CPU time; written at the worker's end.

By CPU time, because eight threads that wait for each other and for PostgreSQL would fill a profile
by the clock with waiting.
"""

import cProfile
import os
import pstats
import threading
import time
from types import SimpleNamespace
from typing import Any

from dramatiq import Broker, Middleware, Worker

_profiles: list[cProfile.Profile] = []


def _begin(*_: Any) -> None:
    """Runs at the first event of each new thread, and puts a real profiler into its own place."""
    profile = cProfile.Profile(time.thread_time)
    _profiles.append(profile)
    profile.enable()


threading.setprofile(_begin)

from actors import broker  # noqa: E402  # its threads are to be profiled


class _Writes(Middleware):
    """Writes the profiles, once the threads have ended."""

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        for profile in _profiles:
            # Not `create_stats`, which pstats would call: it ends the calls that other threads are
            # still in, and would do so with this thread's time.
            profile.snapshot_stats()
        snapshots = [
            SimpleNamespace(stats=profile.stats, create_stats=lambda: None)
            for profile in _profiles
            if profile.stats
        ]
        stats = pstats.Stats(*snapshots)
        stats.dump_stats(os.environ["BENCH_PROFILE"])


broker.add_middleware(_Writes())
