"""A short run of `make torture`: faults of many kinds under traffic through every door; then an
independent checker reads all books.

The seed is printed; `FULFILLMENT_TORTURE_SEED` repeats a run as far as the clock allows.
"""

import os
import secrets
import sys

import pytest

from tests.faults.torture import Plan, run

KINDS = (
    "worker_killed",
    "worker_stopped",
    "ticker_killed",
    "supervisor_killed",
    "valkey_killed_and_empty",
    "valkey_out_of_memory",
    "postgres_restarted",
    "sessions_terminated",
    "smtp_dies_after_work",
    "carrier_dies_after_work",
    "provider_dies_after_work",
    "messages_doubled_and_reordered",
)


@pytest.mark.heavy
@pytest.mark.timeout(240)
def test_nothing_is_lost_or_done_twice_whatever_is_killed(capsys):
    """Every command that was published ends once, every label, e-mail and refund is there once, and
    the books are what an independent model and everybody else's ledger say.
    """
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    with capsys.disabled():
        sys.stdout.write(f"\ntorture: FULFILLMENT_TORTURE_SEED={seed}\n")

    report = run(
        Plan(
            seed,
            lasts_s=6,
            commands=400,
            only=KINDS,
            every_s=0.5,
            lease_s=2,
            workers=(1, 1),
            least_kinds=9,
            own_disk=False,
            grace_s=3,
            hours_s=1,
        )
    )

    with capsys.disabled():
        sys.stdout.write(report.table())
    assert report.found == [], report.log
    assert len(report.kinds) >= 8
    assert len(report.incidents) >= 8
    assert report.counts["refund parts settled"] > 20
    assert report.counts["labels done"] > 20
