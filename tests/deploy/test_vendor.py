"""`vendor/`: schemas as they came."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"


def test_files_are_as_they_came():
    """Each file has the SHA-256 that is written down, and no other file is there."""
    told = re.findall(r"^([0-9a-f]{64})  (\S+)$", (VENDOR / "ORIGIN.md").read_text(), re.MULTILINE)
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "ORIGIN.md"
    }

    assert {name: sha256 for sha256, name in told} == there
