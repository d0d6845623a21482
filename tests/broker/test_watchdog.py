"""The watchdog ends a worker that does nothing, and no other."""

import threading
from collections.abc import Callable

import redis
from dramatiq import Middleware

from tests.broker.broker_rig import QUEUE, Rig, until
from worker.broker.watchdog import Watchdog

Make = Callable[..., Rig]
LOOKS = 10


class Dog(Watchdog):
    """A watchdog that looks every 10 ms, stalls after ten looks, and notes instead of exiting."""

    def __init__(self) -> None:
        self.exits: list[int] = []
        self.parent = 4711
        super().__init__(
            stall_limit_s=LOOKS / 100,
            exit=self.exits.append,
            interval_s=0.01,
            parent_pid=lambda: self.parent,
        )

    def look(self, times: int) -> None:
        """Return when it has looked so often."""
        seen = threading.Semaphore(0)
        self.watch(seen.release)
        for _ in range(times):
            assert self.exits or seen.acquire(timeout=20)


def test_a_worker_that_works_is_left_alone(ours: Make):
    """It runs messages and idles; the watchdog looks many times and does nothing."""
    dog = Dog()
    rig = ours(dog)
    rig.broker.block_s = 0.02
    rig.start()
    rig.note("good")

    dog.look(5 * LOOKS)

    assert rig.seen == ["good"]
    assert dog.exits == []


def test_a_dead_consumer_thread_ends_the_process(ours: Make):
    """With 70, once."""
    dog = Dog()
    worker = ours(dog).start()

    worker.consumers[QUEUE].stop()

    until(lambda: dog.exits == [70])


def test_a_dead_worker_thread_ends_the_process(ours: Make):
    """The others would do its work and nobody would know."""
    dog = Dog()
    worker = ours(dog).start()

    worker.workers[0].stop()

    until(lambda: dog.exits == [70])


class Blocked(Middleware):
    """Holds the consumer of the queue before its first turn."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def after_consumer_thread_boot(self, broker: object, thread: threading.Thread) -> None:
        if thread.queue_name == QUEUE:
            assert self.go.wait(30)


def test_a_stalled_consumer_ends_the_process(ours: Make):
    """Its thread is alive, its loop does not turn."""
    dog, blocked = Dog(), Blocked()
    rig = ours(dog, blocked)
    rig.broker.block_s = 0.02

    worker = rig.start()
    until(lambda: dog.exits == [70])

    assert worker.consumers[QUEUE].is_alive()
    blocked.go.set()


def test_waiting_for_an_absent_redis_is_turning(ours: Make, crash: Callable[[], object]):
    """A restart would not bring it back."""
    dog = Dog()
    rig = ours(dog)
    rig.broker.block_s = 0.02
    rig.start()

    crash()
    dog.look(5 * LOOKS)

    assert dog.exits == []
    assert rig.threads_alive()


def test_a_check_that_gives_a_reason_ends_the_process(ours: Make):
    """As others register it: a batch beyond its limit, a dead ticker."""
    dog = Dog()
    ours(dog).start()
    reason: list[str] = []

    dog.watch(lambda: reason[0] if reason else None)
    dog.look(LOOKS)
    assert dog.exits == []
    reason.append("a batch is beyond its limit")

    until(lambda: dog.exits == [70])


def test_an_orphan_ends(ours: Make):
    """Its dramatiq main process was killed, so its log goes nowhere and nobody restarts it."""
    dog = Dog()
    ours(dog).start()

    dog.look(LOOKS)
    assert dog.exits == []
    dog.parent = 1

    until(lambda: dog.exits == [70])


def test_a_check_that_fails_ends_the_process(ours: Make):
    """A watchdog that cannot look must not look healthy."""
    dog = Dog()
    ours(dog).start()

    dog.watch(lambda: 1 / 0)

    until(lambda: dog.exits == [70])


def test_a_graceful_stop_is_no_stall(ours: Make, admin: redis.Redis):
    """Threads end by design, and an actor may take longer to finish than a stall lasts."""
    dog = Dog()
    rig = ours(dog)
    rig.broker.block_s = 0.02
    rig.note("long", actor="hold")
    rig.start()
    until(lambda: rig.seen == ["long"])

    stop = threading.Thread(target=rig.stop_worker)
    stop.start()
    until(rig.broker.stopping.is_set)
    until(lambda: not any(thread.name == "watchdog" for thread in threading.enumerate()))
    rig.go.set()
    stop.join()

    assert dog.exits == []
    assert rig.bodies() == set()
