"""The bench runs, verifies its results and says everything; how fast is not for a test to judge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
RATIOS = {
    "broker door / no-op",
    "broker door / plain",
    "store door, chunks / no-op",
    "store door, chunks / pgbench, batched",
    "store door, chunks, labels / store door, chunks",
    "labels / bare reportlab",
    "e-mails / bare smtplib",
}


def said(module, *options):
    """What a quick run says."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick", "--json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_quick_bench_gives_every_rate_and_every_ratio():
    """Each measurement comes to its verified end, with fsync on, and no ratio is missing."""
    result = said("tests.bench")

    assert len(result["rows"]) == 13
    assert all(row["per_second"] > 0 for row in result["rows"])
    assert {ratio["name"] for ratio in result["ratios"]} == RATIOS
    assert all(ratio["value"] > 0 for ratio in result["ratios"])
    assert len(result["lists"]["rows"]) == 24
    assert all(row["ratio"] > 0 for row in result["lists"]["rows"])
    assert (result["fsync"], result["synchronous_commit"]) == ("on", "on")


def test_a_quick_bench_full_comes_to_its_end():
    """An order that all commands hit is measured, from one process and from two, and verified."""
    result = said("tests.bench.full", "--only=one-order")

    assert result["problem"] is None
    values = {one["name"]: one["value"] for one in result["results"]}
    assert values["one order, one process, slowest"] > 0
    assert values["one order, two processes, slowest"] > 0
