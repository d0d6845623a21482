"""What tests with these providers rely on."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.ledger import Ledger, Refusal
from tests.fakes.server import Wrong
from tests.fakes.square import FakeSquare
from tests.fakes.stripe import FakeStripe


def test_no_more_leaves_than_was_captured():
    """A hundred threads ask for ten each out of 505: fifty get them."""
    ledger = Ledger()
    ledger.capture("P1", 505)

    def ask(n: int) -> str:
        try:
            ledger.refund("P1", 10, "EUR", key=str(n), tag="", state="settled")
        except Refusal as refusal:
            return refusal.why
        return "paid"

    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(ask, range(100)))

    assert (told.count("paid"), told.count("too_much"), ledger.out("P1")) == (50, 50, 500)


def test_what_failed_can_be_given_back_again():
    """A failed refund counts for nothing."""
    ledger = Ledger()
    ledger.capture("P1", 500)
    first = ledger.refund("P1", 500, "EUR", key="1", tag="", state="pending")

    ledger.end(first.refund_id, "failed")

    assert ledger.out("P1") == 0
    ledger.refund("P1", 500, "EUR", key="2", tag="", state="settled")
    assert ledger.out("P1") == 500


@pytest.mark.parametrize("kind", [FakeSquare, FakeStripe])
def test_what_goes_wrong_follows_from_the_seed(kind):
    """A failure that was seen can be seen again; about as much goes wrong as was asked for."""
    runs = []
    for seed in (1, 1, 2):
        fake = kind(wrong_rate=0.2, seed=seed)
        runs.append([fake.draw("POST") for _ in range(2_000)])

    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {None, *Wrong}
    assert 350 < sum(one is not None for one in runs[0]) < 450


@pytest.mark.parametrize(("kind", "path"), [(FakeSquare, "v2/refunds"), (FakeStripe, "v1/refunds")])
def test_half_a_request_does_nothing(kind, path):
    """Its sender was killed."""
    with kind() as fake:
        with socket.create_connection(("127.0.0.1", int(fake.url.rpartition(":")[2]))) as caller:
            head = f"POST /{path} HTTP/1.1\r\nContent-Length: 100\r\nIdempotency-Key: 1\r\n"
            caller.sendall(f"{head}Authorization: Bearer {kind.token}\r\n\r\namount=1".encode())
            caller.shutdown(socket.SHUT_WR)

            assert caller.recv(1) == b""
        assert fake.counts == {}
