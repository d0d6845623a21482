"""The embedded servers, real ones: shared, killed, restarted, abandoned.

Each test has a folder of its own and leaves no process behind. A cluster is made once, and copied
to where a test is not about making one.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import psycopg
import pytest
import redis

from tests.cluster import copied
from worker.embedded import keeper, postgres, server, valkey
from worker.embedded.server import EmbeddedServerFailed

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
LIMIT_S = 30

# A user of the pair: says its URLs, then lives until its standard input closes.
USER = """
import json, sys
from pathlib import Path
from worker.embedded.keeper import use
pair = use(Path(sys.argv[1]), fsync=False)
print(json.dumps([pair.database_url, pair.redis_url, pair.keeper_pid]), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the pair."""

    def __init__(self, state_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def answer(self) -> tuple[str, str, int]:
        assert self.process.stdout is not None
        database_url, redis_url, keeper_pid = json.loads(self.process.stdout.readline())
        return database_url, redis_url, keeper_pid

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def eventually(is_true: Callable[[], bool], what: str) -> None:
    """Wait for a fact, not for a while."""
    deadline = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.02)


def processes_naming(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder: its keeper and its servers."""
    listed = subprocess.run(
        ["ps", "-eo", "pid,stat,args", "-ww"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    mine = str(os.getpid())
    return [
        line
        for line in listed
        if str(folder) in line and not line.split()[1].startswith("Z") and line.split()[0] != mine
    ]


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type] # literals of this file
        return cursor.fetchall() if cursor.description else []


def answers(url: str) -> bool:
    try:
        return execute(url, "select 1") == [(1,)]
    except psycopg.OperationalError:
        return False


def server_pid(folder: Path) -> int:
    return int((folder / "pid").read_text())


@pytest.fixture
def folder(server_dir: Path) -> Iterator[Path]:
    """A folder that everybody may pass through, as `nobody` must when root has no namespaces."""
    path = Path(tempfile.mkdtemp(prefix="fulfillment-test-", dir=server_dir.parent))
    path.chmod(0o755)
    yield path
    eventually(lambda: processes_naming(path) == [], f"no process of {path} is left")
    shutil.rmtree(path)


@pytest.fixture
def data_dir(folder: Path) -> Path:
    """A PostgreSQL's folder, as a start and a stop leave it."""
    return copied(folder / "pg")


@pytest.fixture
def state_dir(folder: Path) -> Path:
    """A keeper's folder, in which PostgreSQL has been before."""
    path = folder / "state"
    path.mkdir(0o711)
    copied(path / "pg18")
    return path


def test_two_processes_share_one_pair(state_dir):
    """A second user gets the same servers, and sees what the first one wrote."""
    with User(state_dir) as first, User(state_dir) as second:
        database_url, redis_url, keeper_pid = first.answer()

        assert second.answer() == (database_url, redis_url, keeper_pid)
        execute(database_url, "create table seen (n int); insert into seen values (41)")
        assert execute(database_url, "select n from seen") == [(41,)]
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping() is True


def test_using_twice_in_one_process_is_one_pair(state_dir):
    """`use` again gives the same URLs, and the pair lives until the last handle is closed."""
    first = keeper.use(state_dir, fsync=False)
    second = keeper.use(state_dir, fsync=False)

    first.close()
    first.close()
    time.sleep(2 * keeper._POLL_S)  # the keeper looks at least once

    assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)
    assert answers(second.database_url)
    second.close()


def test_killing_a_user_does_not_hurt_another(state_dir):
    """SIGKILL of the user that started everything leaves the other's open connection working."""
    starter = User(state_dir)
    starter.answer()
    with User(state_dir) as other:
        database_url, redis_url, keeper_pid = other.answer()
        with psycopg.connect(database_url) as connection, redis.Redis.from_url(redis_url) as client:
            before = connection.execute("select pg_backend_pid()").fetchone()

            starter.kill()
            time.sleep(2 * keeper._POLL_S)  # the keeper looks at least once

            assert connection.execute("select pg_backend_pid()").fetchone() == before
            assert client.ping() is True
        with User(state_dir) as late:
            assert late.answer() == (database_url, redis_url, keeper_pid)


def test_servers_stop_when_the_last_user_is_gone(state_dir, folder):
    """Keeper and servers end after the last user was killed, cleanly."""
    user = User(state_dir)
    user.answer()
    assert len(processes_naming(folder)) >= 3

    user.kill()

    eventually(lambda: processes_naming(folder) == [], "all processes end")
    assert "database system is shut down" in (state_dir / "pg18" / "log").read_text()


def test_a_user_who_comes_during_the_stop_gets_a_pair(state_dir):
    """Whoever arrives while the keeper stops waits for it and starts the next one."""
    urls = set()
    keepers = set()
    for delay_ms in (0, 150, 220, 300):  # some of them meet the stop
        with User(state_dir) as user:
            database_url, redis_url, keeper_pid = user.answer()
            assert answers(database_url)
        urls.add((database_url, redis_url))
        keepers.add(keeper_pid)
        time.sleep(delay_ms / 1000)

    assert len(urls) == 1
    assert len(keepers) >= 2


def test_a_killed_keeper_is_replaced_with_the_same_urls_and_data(state_dir):
    """After SIGKILL of the keeper the next user finds the same URLs and every committed row."""
    with User(state_dir) as before, keeper.use(state_dir, fsync=False) as pair:
        execute(pair.database_url, "create table kept (n int); insert into kept values (42)")
        with redis.Redis.from_url(pair.redis_url) as client:
            client.set("kept", "43")

        os.kill(pair.keeper_pid, signal.SIGKILL)
        # The first user still holds its lock: the next one must not wait for it.
        with User(state_dir) as after:
            database_url, redis_url, keeper_pid = after.answer()

            assert (database_url, redis_url) == (pair.database_url, pair.redis_url)
            assert keeper_pid != pair.keeper_pid
            assert execute(database_url, "select n from kept") == [(42,)]
            with redis.Redis.from_url(redis_url) as client:
                assert client.get("kept") == b"43"
        assert before.process.poll() is None


def test_a_killed_postgres_comes_back_with_what_was_committed(state_dir):
    """The keeper restarts PostgreSQL after kill -9, on the same port, with the committed rows."""
    with keeper.use(state_dir) as pair:
        execute(pair.database_url, "create table kept (n int); insert into kept values (44)")
        old = server_pid(state_dir / "pg18")

        os.kill(old, signal.SIGKILL)
        eventually(lambda: server_pid(state_dir / "pg18") != old, "another postmaster")
        eventually(lambda: answers(pair.database_url), "it answers")

        assert execute(pair.database_url, "select n from kept") == [(44,)]


def test_a_killed_valkey_comes_back(state_dir):
    """The keeper restarts Valkey after kill -9, on the same port."""
    with keeper.use(state_dir, fsync=False) as pair:
        old = server_pid(state_dir / "valkey")

        os.kill(old, signal.SIGKILL)
        eventually(lambda: server_pid(state_dir / "valkey") != old, "another Valkey")

        secret = (state_dir / "valkey" / "password").read_text()
        port = int((state_dir / "valkey" / "port").read_text())
        assert pair.redis_url == f"redis://:{secret}@127.0.0.1:{port}/0"
        eventually(lambda: valkey._answers(port, secret), "it answers")


def test_ten_users_at_once_start_one_keeper(folder):
    """Ten processes that race on an empty folder agree on one keeper."""
    state_dir = folder / "state"
    users = [User(state_dir) for _ in range(10)]
    try:
        assert len({user.answer() for user in users}) == 1
        assert (state_dir / "keeper.log").read_text().count("serves on ports") == 1
    finally:
        for user in users:
            user.kill()


def test_words_are_folded_by_the_same_rules_everywhere(data_dir):
    """Lower case and ILIKE know letters beyond ASCII, whatever the machine's locale is."""
    database = postgres.start(data_dir, fsync=False)

    folded = execute(database.url, "select lower('É'), 'ÉLOÏSE' ilike 'éloïse'")
    encoding = execute(database.url, "show server_encoding")
    database.stop()

    assert folded == [("é", True)]
    assert encoding == [("UTF8",)]


def test_postgres_starts_again_after_a_crash(data_dir):
    """Killed or stopped at once, it recovers on the same folder and the same port."""
    database = postgres.start(data_dir, fsync=False)
    execute(database.url, "create table kept (n int); insert into kept values (45)")

    database.process.kill()
    database.process.wait()
    again = postgres.start(data_dir, port=database.port, fsync=False)
    assert execute(again.url, "select n from kept") == [(45,)]
    again.stop("immediate")
    third = postgres.start(data_dir, fsync=False)

    assert third.url == again.url == database.url
    assert execute(third.url, "select n from kept") == [(45,)]
    third.stop()
    third.stop()
    assert third.process.returncode == 0


def test_a_stale_postmaster_pid_of_another_program_is_no_obstacle(data_dir):
    """A stale number that is used again, as after a container's restart, keeps nobody out."""
    database = postgres.start(data_dir, fsync=False)
    database.process.kill()
    database.process.wait()
    lock = data_dir / "cluster" / "postmaster.pid"
    lines = lock.read_text().splitlines()

    bystander = subprocess.Popen(["sleep", "60"])
    lock.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
    again = postgres.start(data_dir, fsync=False)

    assert bystander.poll() is None
    again.stop()
    bystander.kill()
    bystander.wait()


def test_a_half_made_cluster_is_made_again(folder):
    """What a killed initdb left is removed, with its copy of the password."""
    half_made = folder / "pg" / "cluster.new.killed"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    (folder / "pg" / "cluster.new.killed.password").write_text("secret")

    database = postgres.start(folder / "pg", fsync=False)

    assert answers(database.url)
    assert [path.name for path in (folder / "pg").glob("cluster*")] == ["cluster"]
    database.stop()


def test_valkey_keeps_or_forgets_as_told(folder):
    """With the append-only file a clean stop keeps the data, without it nothing is kept."""
    kept = []
    for appendonly in (True, False):
        place = folder / f"valkey-{appendonly}"
        for turn in range(2):
            queue = valkey.start(place, appendonly=appendonly)
            with redis.Redis.from_url(queue.url) as client:
                if turn:
                    kept.append(client.get("key"))
                client.set("key", "value")
            queue.stop()

    assert kept == [b"value", None]


@pytest.mark.parametrize("start", [postgres.start, valkey.start])
def test_a_server_refuses_who_does_not_know_the_password(data_dir, start):
    """Other users of the machine reach the port, and nothing behind it."""
    running = start(data_dir)
    wrong = running.url.replace((data_dir / "password").read_text(), secrets.token_hex(8))

    if running.url.startswith("postgresql"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
    else:
        with redis.Redis.from_url(wrong) as client, pytest.raises(redis.AuthenticationError):
            client.ping()

    running.stop()


@pytest.mark.parametrize("start", [postgres.start, valkey.start])
def test_a_busy_port_is_said_in_a_sentence(folder, data_dir, start):
    """A port that somebody has is an error with the server's own words, not a wait."""
    running = valkey.start(folder / "other")

    with pytest.raises(EmbeddedServerFailed, match=r"does not start in .*\n(.*\n)*.*in use"):
        start(data_dir, port=running.port)

    running.stop()


def test_a_folder_is_not_started_twice(data_dir):
    """A second start on a running folder is refused and hurts nothing."""
    running = postgres.start(data_dir, fsync=False)

    with pytest.raises(EmbeddedServerFailed, match="already has a running server"):
        postgres.start(data_dir, fsync=False)

    assert answers(running.url)
    running.stop()


def test_a_keeper_that_cannot_start_says_why_to_its_user(folder):
    """What fails inside the keeper is the user's error, in the keeper's words."""
    state_dir = folder / "state"
    state_dir.mkdir()
    (state_dir / "pg18").write_text("a file where a folder should be")

    with pytest.raises(EmbeddedServerFailed, match=r"pg18 cannot be used .*: File exists"):
        keeper.use(state_dir, fsync=False)


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence():
    """The message names the folder, the cause, and what to set instead."""
    with pytest.raises(EmbeddedServerFailed, match=r"/proc/none cannot be used .* DATABASE_URL"):
        keeper.use(Path("/proc/none"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
class TestAsRootWithoutUserNamespaces:
    """Docker's default: root may not make a user namespace, and PostgreSQL refuses to be root."""

    @pytest.fixture(autouse=True)
    def _no_namespaces(self, monkeypatch):
        # Patched, because no test can forbid namespaces to itself and stay root.
        monkeypatch.setattr(server.Identity, "popen", refuse_namespaces(server.Identity.popen))

    def test_postgres_runs_as_nobody(self, folder):
        """It drops to `nobody`, and the data may change hands from one start to the next."""
        database = postgres.start(folder / "state" / "pg", fsync=False)

        owner = (folder / "state" / "pg" / "cluster").stat().st_uid
        status = Path(f"/proc/{database.process.pid}/status").read_text()
        assert execute(database.url, "select lower('É')") == [("é",)]
        database.stop()
        assert owner == 65534
        assert "Uid:\t65534\t65534\t65534\t65534" in status

    def test_a_folder_nobody_may_enter_is_refused(self, folder):
        """We never open somebody else's folder; the message names it."""
        (folder / "closed").mkdir(mode=0o700)

        with pytest.raises(EmbeddedServerFailed, match=rf"may not enter {folder}/closed"):
            postgres.start(folder / "closed" / "state" / "pg", fsync=False)


def refuse_namespaces(popen):
    def refused(self, sign):
        if self.namespace:
            raise OSError("no user namespaces here")
        return popen(self, sign)

    return refused
