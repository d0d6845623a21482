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
}


def test_a_quick_bench_gives_every_rate_and_every_ratio():
    """Each measurement comes to its verified end, with fsync on, and no ratio is missing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["rows"]) == 8
    assert all(row["per_second"] > 0 for row in result["rows"])
    assert {ratio["name"] for ratio in result["ratios"]} == RATIOS
    assert all(ratio["value"] > 0 for ratio in result["ratios"])
    assert (result["fsync"], result["synchronous_commit"]) == ("on", "on")
