"""What explains a second copy of an e-mail, and what does not."""

import pytest

from tests.faults.copies import Copy, Interruption, unexplained


def copy(worker=0, *, at, connection="a", message="m"):
    """Taken a second after it was begun."""
    return Copy(message, worker, connection, at, at + 1)


def killed(worker, *, at):
    return Interruption(frozenset({worker}), at, at)


def stopped(worker, *, at, until):
    return Interruption(frozenset({worker}), at, until, is_stop=True)


@pytest.mark.parametrize(
    "interruption",
    [
        killed(0, at=10.5),  # before the answer: the content was on its way
        killed(0, at=12),
        Interruption(frozenset({0, 1}), 5, 10.5),  # PostgreSQL, back while it was sent
        Interruption(frozenset({0, 1}), 11.5, 13),
        stopped(0, at=11.5, until=14),
        stopped(0, at=5, until=9),  # it goes on with what it held
    ],
)
def test_what_explains_a_copy(interruption):
    """Whatever hit the worker that got the first `250`, before it can have committed."""
    copies = [copy(0, at=10), copy(1, at=15)]

    assert unexplained(copies, {"m": 17}, [interruption]) == []


@pytest.mark.parametrize(
    "interruption",
    [
        killed(1, at=12),  # another worker
        killed(0, at=9),  # before it was sent
        killed(0, at=16),  # after the second copy had begun
        Interruption(frozenset({0, 1}), 5, 9),
        stopped(1, at=16.5, until=19),
    ],
)
def test_what_does_not(interruption):
    """A fault elsewhere, or at another time."""
    copies = [copy(0, at=10), copy(1, at=15)]

    (found,) = unexplained(copies, {"m": 17}, [interruption])

    assert found == "m: a copy of worker 1 has no cause of its own"


def test_a_thread_that_went_on_had_committed():
    """Once the first worker's thread sends its next, a fault comes too late to explain a copy."""
    copies = [copy(0, at=10), copy(0, at=12, message="n"), copy(1, at=20)]

    assert unexplained(copies, {"m": 22, "n": 13}, [killed(0, at=14)]) == [
        "m: a copy of worker 1 has no cause of its own"
    ]
    assert unexplained(copies, {"m": 22, "n": 13}, [killed(0, at=11.5)]) == []


def test_after_the_end_only_a_stopped_worker_sends():
    """A copy that is begun after the commit is explained by a stop of its sender alone."""
    copies = [copy(0, at=10), copy(1, at=15)]

    assert unexplained(copies, {"m": 12}, [stopped(1, at=7, until=14)]) == []
    assert len(unexplained(copies, {"m": 12}, [killed(0, at=11.5), killed(1, at=15)])) == 1


def test_sent_after_its_end():
    """A first copy that comes after the commit is a commit that came too early."""
    assert unexplained([copy(at=10)], {"m": 9}, []) == ["m was sent after its end was committed"]


def test_a_fault_explains_what_was_under_way():
    """Two threads of a worker send: a third copy needs a fault of its own."""
    copies = [
        one
        for n in range(3)
        for one in (
            copy(0, at=10, connection=n, message=f"m{n}"),
            copy(1, at=15, connection=n, message=f"m{n}"),
        )
    ]
    ended = {f"m{n}": 17.0 for n in range(3)}

    assert len(unexplained(copies, ended, [killed(0, at=11.5)])) == 1
    assert unexplained(copies, ended, [killed(0, at=11.5), killed(0, at=11.6)]) == []
