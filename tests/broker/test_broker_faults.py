"""What Redis may do to a worker: our consumer lives on and loses nothing, dramatiq's does not."""

import signal
from collections.abc import Callable

import dramatiq
import pytest
import redis
from dramatiq import Message
from dramatiq.errors import ConnectionClosed

from tests.broker.broker_rig import NAMESPACE, QUEUE, Rig, body, until
from worker.broker.client import connect
from worker.broker.middleware import requeue_current_message
from worker.broker.redis import DEAD_MESSAGE_TTL_MS
from worker.embedded.server import Server

Make = Callable[..., Rig]
Crash = Callable[[], Callable[[], None]]

FAR = {"eta": 32_503_680_000_000, "redis_message_id": "far"}


def refused(admin: redis.Redis, kind: str) -> int:
    """How often the server answered with this kind of error."""
    return int(admin.info("errorstats").get(f"errorstat_{kind}", {}).get("count", 0))


def fill(admin: redis.Redis) -> None:
    """Every command that needs memory is refused from now on."""
    admin.config_set("maxmemory", 1)


def hold_a_delayed_message(rig: Rig) -> dramatiq.Worker:
    """A worker that holds a message for the year 3000, as dramatiq's does in memory."""
    rig.put(body("far", options=FAR), "far", queue="q.DQ")
    worker = rig.start()
    until(lambda: worker.consumers["q.DQ"].delay_queue.qsize() == 1)
    return worker


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dramatiqs_consumer_thread_dies_of_a_read_only_redis(stock: Make, admin: redis.Redis):
    """It raises while closing, with a delayed message in hand; the worker goes on without it."""
    rig = stock()
    worker = hold_a_delayed_message(rig)

    admin.replicaof("127.0.0.1", "1")
    until(lambda: not worker.consumers["q.DQ"].is_alive())
    admin.replicaof("NO", "ONE")

    assert not rig.threads_alive()


def test_no_thread_dies_of_a_read_only_redis(ours: Make, admin: redis.Redis):
    """A failover leaves a replica behind for a while; then messages run again."""
    rig = ours()
    rig.start()
    rig.note("before")
    until(lambda: rig.seen == ["before"])

    admin.replicaof("127.0.0.1", "1")
    started = refused(admin, "READONLY")
    until(lambda: refused(admin, "READONLY") >= started + 5)
    assert rig.threads_alive()
    admin.replicaof("NO", "ONE")
    rig.note("after")
    until(lambda: not rig.bodies())

    assert rig.seen == ["before", "after"]
    assert rig.threads_alive()


def test_every_refusal_is_a_lost_connection(ours: Make, admin: redis.Redis):
    """That is what dramatiq expects, wherever it calls; anything else can kill its thread."""
    rig = ours()
    for value in ("a", "b"):
        rig.note(value)
    consumer = rig.broker.consume(QUEUE, prefetch=8)
    message = next(consumer)
    admin.replicaof("127.0.0.1", "1")

    for call in (consumer.close, lambda: consumer.requeue([message]), lambda: next(consumer)):
        with pytest.raises(ConnectionClosed):
            call()
    consumer.ack(message)
    consumer.nack(message)


def test_a_message_asked_for_again_survives_a_refusal(ours: Make, admin: redis.Redis):
    """It cannot be put back just now; it is, once Redis takes writes."""
    rig = ours()

    def again(value: str) -> None:
        rig.seen.append(value)
        if len(rig.seen) == 1:
            requeue_current_message()
            admin.replicaof("127.0.0.1", "1")

    rig.actor(again)
    rig.note("twice", actor="again")
    worker = rig.start()
    until(lambda: rig.seen == ["twice"] and worker.work_queue.unfinished_tasks == 0)

    admin.replicaof("NO", "ONE")
    until(lambda: not rig.bodies())

    assert rig.seen == ["twice", "twice"]


def test_a_stopping_worker_takes_nothing_more(ours: Make):
    """Others can have it at once, not after the last actor here has ended."""
    rig = ours()
    rig.note("left")
    rig.broker.stopping.set()
    consumer = rig.broker.consume(QUEUE, prefetch=8)

    assert [next(consumer) for _ in range(3)] == [None] * 3

    assert rig.waiting() == ["id-left"]


def test_an_address_cannot_bring_retries_back():
    """Nor long time-outs or text; options in an address win over arguments in redis-py."""
    options = "retry_on_timeout=true&socket_timeout=60&decode_responses=true"

    with connect(f"redis://h/0?{options}", timeout_s=3, connect_timeout_s=1) as client:
        connection = client.connection_pool.make_connection()

    assert connection.retry.get_retries() == 0
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (3, 1)
    assert not connection.encoder.decode_responses


def test_dramatiqs_consumer_cannot_drain_a_full_redis(stock: Make, admin: redis.Redis):
    """Its script begins with a write that needs memory, so what would free memory is refused."""
    rig = stock()
    rig.note("stuck")
    fill(admin)

    rig.start()
    until(lambda: refused(admin, "OOM") >= 5)

    assert rig.seen == []
    assert rig.waiting() == ["id-stuck"]


def test_a_full_redis_is_drained(ours: Make, admin: redis.Redis):
    """Messages are fetched, run and acknowledged; the blocking wait that is refused costs 0.1 s."""
    rig = ours()
    for value in ("a", "b", "c"):
        rig.note(value)
    fill(admin)

    rig.start()
    until(lambda: not rig.bodies())
    until(lambda: refused(admin, "OOM") >= 1)

    assert sorted(rig.seen) == ["a", "b", "c"]
    assert rig.held() == set()
    assert rig.threads_alive()


def test_dramatiq_gives_up_acknowledging_to_a_full_redis(stock: Make, admin: redis.Redis):
    """The message was done, and stays with the live worker when there is room again."""
    rig = stock()
    rig.note("done", actor="hold")
    rig.start()
    until(lambda: rig.seen == ["done"])

    fill(admin)
    before = refused(admin, "OOM")
    rig.go.set()
    until(lambda: rig.worker.work_queue.unfinished_tasks == 0)
    assert refused(admin, "OOM") > before
    admin.config_set("maxmemory", 0)
    rig.note("late")
    until(lambda: rig.bodies() == {"id-done"})

    assert rig.held() == {"id-done"}


def test_a_full_redis_takes_acknowledgements(ours: Make, admin: redis.Redis):
    """Forgetting a message needs no memory."""
    rig = ours()
    rig.note("done", actor="hold")
    rig.start()
    until(lambda: rig.seen == ["done"])

    fill(admin)
    rig.go.set()
    until(lambda: not rig.bodies())

    assert rig.held() == set()


def test_dramatiqs_worker_thread_waits_for_an_absent_redis(
    stock: Make, crash: Crash, caplog: pytest.LogCaptureFixture
):
    """It tries to acknowledge again and again; the next message, in hand already, does not run."""
    rig = stock()
    rig.note("first", actor="hold")
    rig.note("second")
    worker = rig.start(threads=1)
    until(lambda: rig.seen == ["first"] and worker.work_queue.qsize() == 1)

    restart = crash()
    rig.go.set()
    until(lambda: caplog.text.count("Failed to post_process_message") >= 5)
    assert rig.seen == ["first"]
    restart()
    until(lambda: not rig.bodies())

    assert rig.seen == ["first", "second"]


def test_a_worker_thread_does_not_wait_for_an_absent_redis(ours: Make, crash: Crash):
    """What is in hand runs while Redis is away; it is acknowledged when Redis is back, run once."""
    rig = ours()
    rig.note("first", actor="hold")
    rig.note("second")
    worker = rig.start(threads=1)
    until(lambda: rig.seen == ["first"] and worker.work_queue.qsize() == 1)

    restart = crash()
    rig.go.set()
    until(lambda: worker.work_queue.unfinished_tasks == 0)
    assert rig.seen == ["first", "second"]
    restart()
    until(lambda: not rig.bodies())

    assert rig.seen == ["first", "second"]
    assert rig.held() == set()
    assert rig.threads_alive()


def test_dramatiqs_consumer_forgets_delayed_messages_with_the_connection(stock: Make, crash: Crash):
    """They wait in memory; a restart of Redis drops them there, and the live worker keeps them."""
    rig = stock()
    worker = hold_a_delayed_message(rig)

    restart = crash()
    until(lambda: worker.consumers["q.DQ"].delay_queue.qsize() == 0)
    restart()
    rig.note("good")
    until(lambda: rig.seen == ["good"])

    assert rig.held("q.DQ") == {"far"}
    assert rig.waiting("q.DQ") == []


def test_an_erased_redis_is_used_again(ours: Make, admin: redis.Redis):
    """FLUSHALL takes messages and scripts; what comes later runs."""
    rig = ours()
    rig.note("held", actor="hold")
    rig.start()
    until(lambda: rig.seen == ["held"])

    admin.flushall()
    admin.script_flush()
    rig.go.set()
    rig.note("later")
    until(lambda: not rig.bodies())

    assert rig.seen == ["held", "later"]
    assert rig.threads_alive()


def test_dramatiqs_consumer_never_sees_what_a_lost_reply_carried(stock: Make):
    """Redis believes that the live worker has the message; it stays so."""
    rig = stock()
    rig.note("lost")
    rig.broker.do_fetch(QUEUE, 8)

    rig.start()
    rig.note("late")
    until(lambda: rig.bodies() == {"id-lost"})

    assert rig.seen == ["late"]
    assert rig.held() == {"id-lost"}


def test_what_a_lost_reply_carried_is_reclaimed(ours: Make):
    """Redis believes that we have it and we know that we do not: it is put back and runs."""
    rig = ours()
    rig.note("lost")
    rig.broker.fetch(QUEUE, 8, maintain=False)

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.seen == ["lost"]


def test_what_runs_is_not_reclaimed(ours: Make):
    """A new consumer of the same process, as after any error, leaves messages in hand alone."""
    rig = ours()
    rig.note("running", actor="hold")
    worker = rig.start()
    until(lambda: rig.seen == ["running"])

    another = rig.broker.consume(QUEUE, prefetch=8)
    for _ in range(3):
        assert next(another) is None
    assert rig.held() == {"id-running"}
    rig.go.set()
    until(lambda: worker.work_queue.unfinished_tasks == 0)

    assert rig.seen == ["running"]
    assert rig.bodies() == set()


def test_dramatiqs_consumer_loses_a_fetch_to_a_stalled_redis(stock: Make, server: Server):
    """The server carries the request out when it wakes, and nobody reads its answer."""
    rig = stock(timeout_s=0.3)
    rig.note("lost")

    server.process.send_signal(signal.SIGSTOP)
    worker = rig.start()
    first = wait_for_consumer(worker)
    until(lambda: worker.consumers[QUEUE].consumer not in (None, first))
    server.process.send_signal(signal.SIGCONT)
    # Only then: a second fetch that was given up meanwhile would take the late one as well.
    until(lambda: rig.held() == {"id-lost"})
    rig.note("late")
    until(lambda: rig.bodies() == {"id-lost"})

    assert rig.seen == ["late"]
    assert rig.held() == {"id-lost"}


def test_a_stalled_redis_loses_nothing(ours: Make, server: Server):
    """The fetch that was carried out unheard is found, though it may be carried out late."""
    rig = ours(timeout_s=0.3)
    rig.note("lost")

    server.process.send_signal(signal.SIGSTOP)
    worker = rig.start()
    first = wait_for_consumer(worker)
    until(lambda: worker.consumers[QUEUE].consumer not in (None, first))
    server.process.send_signal(signal.SIGCONT)
    until(lambda: not rig.bodies())

    assert rig.seen == ["lost"]
    assert rig.threads_alive()


def wait_for_consumer(worker: dramatiq.Worker) -> dramatiq.Consumer | None:
    until(lambda: worker.consumers[QUEUE].consumer)
    return worker.consumers[QUEUE].consumer


def test_a_dead_brokers_messages_run_elsewhere(ours: Make, admin: redis.Redis):
    """After 5 s without a heartbeat, on the server's clock, and without a throw of dice."""
    dead, living = ours(), ours()
    dead.note("orphan")
    dead.broker.fetch(QUEUE, 8, maintain=False)
    seconds, _ = admin.time()
    assert living.broker.fetch(QUEUE, 8, maintain=True) == []

    admin.zadd(f"{NAMESPACE}:__heartbeats__", {dead.broker.broker_id: (seconds - 11) * 1000})
    living.start()
    until(lambda: not living.bodies())

    assert living.seen == ["orphan"]
    assert admin.zscore(f"{NAMESPACE}:__heartbeats__", dead.broker.broker_id) is None


def test_a_dead_broker_is_remembered_while_another_queue_needs_it(ours: Make, admin: redis.Redis):
    """Its messages on a queue that is not looked after just now are not orphaned."""
    dead, living = ours(), ours()
    for rig in (dead, living):
        rig.broker.declare_queue("other")
    dead.put(body(1), queue="other")
    dead.broker.fetch("other", 8, maintain=False)
    admin.zadd(f"{NAMESPACE}:__heartbeats__", {dead.broker.broker_id: 1})

    living.broker.fetch(QUEUE, 0, maintain=True)
    assert admin.zscore(f"{NAMESPACE}:__heartbeats__", dead.broker.broker_id) == 1
    living.broker.fetch("other", 0, maintain=True)

    assert admin.zscore(f"{NAMESPACE}:__heartbeats__", dead.broker.broker_id) is None
    assert living.waiting("other") == ["id"]


def test_dead_letters_are_forgotten_after_ninety_days(ours: Make, admin: redis.Redis):
    """Not a moment earlier, whatever a client's clock says."""
    rig = ours()
    seconds, _ = admin.time()
    born = seconds * 1000 - DEAD_MESSAGE_TTL_MS
    key = f"{NAMESPACE}:{QUEUE}.XQ"
    admin.zadd(key, {"old": born - 1, "young": born + 60_000})
    admin.hset(f"{key}.msgs", mapping={"old": "1", "young": "2"})

    rig.broker.fetch(QUEUE, 0, maintain=True)

    assert rig.buried() == {"young"}
    assert admin.hkeys(f"{key}.msgs") == [b"young"]


def test_a_full_worker_keeps_its_heartbeat(ours: Make, admin: redis.Redis):
    """While every thread waits for the database the worker must not pass for dead."""
    rig = ours()
    for value in ("a", "b", "c"):
        rig.note(value, actor="hold")
    rig.start(threads=1)
    until(lambda: rig.waiting() == ["id-c"] and len(rig.held()) == 2)
    rig.worker.consumers["q.DQ"].stop()  # the other queue's heartbeat would do
    rig.worker.consumers["q.DQ"].join()

    admin.zadd(f"{NAMESPACE}:__heartbeats__", {rig.broker.broker_id: 1})
    until(lambda: admin.zscore(f"{NAMESPACE}:__heartbeats__", rig.broker.broker_id) != 1)

    assert rig.waiting() == ["id-c"]


def test_a_producer_leaves_no_heartbeat(ours: Make, admin: redis.Redis):
    """It holds nothing; each id costs every maintenance, and dramatiq searches all keys for it."""
    rig = ours()

    message = Message(queue_name=QUEUE, actor_name="note", args=("sent",), kwargs={}, options={})
    rig.broker.enqueue(message)

    assert not admin.exists(f"{NAMESPACE}:__heartbeats__")
    rig.start()
    until(lambda: not rig.bodies())
    assert rig.seen == ["sent"]


def test_an_enqueue_whose_reply_is_lost_is_not_sent_again(ours: Make, server: Server):
    """The producer hears of the time-out; the message is there once, where a retry made two."""
    rig = ours(timeout_s=0.3)
    rig.broker.client.ping()
    message = Message(queue_name=QUEUE, actor_name="note", args=("sent",), kwargs={}, options={})

    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(redis.TimeoutError):
        rig.broker.enqueue(message)
    server.process.send_signal(signal.SIGCONT)

    until(rig.waiting)
    assert len(rig.waiting()) == 1


def test_a_message_wakes_an_idle_consumer(ours: Make):
    """The wait, which would outlast the socket's time-out, ends with the message."""
    rig = ours()
    rig.broker.block_s = 30
    worker = rig.start()
    until(lambda: rig.admin.info("clients")["blocked_clients"] == 1)
    consumer = worker.consumers[QUEUE].consumer
    rig.broker.block_s = 0.03  # for the next wait

    rig.note("now")
    until(lambda: not rig.bodies())

    assert rig.seen == ["now"]
    assert worker.consumers[QUEUE].consumer is consumer  # no time-out came between
