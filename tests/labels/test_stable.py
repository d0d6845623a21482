"""The same parcel gives the same bytes, in any process."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.labels import lab
from worker.labels.facts import Line
from worker.labels.printer import Printer
from worker.labels.sheet import sheet
from worker.settings import Settings

ROOT = Path(__file__).parents[2]


def digests() -> str:
    """The hash of each file of a parcel with several scripts."""
    one = lab.parcel(
        Line("Кружка «Утро»", "SKU-A", 2, 1),
        Line("中文", None, 1, 0),
        ship_to=lab.address(name="Γιώργος Ünal 北京", lines=("Église 5", "ул. Ленина")),
    )
    printer = Printer(Settings(ship_from=lab.SHOP))
    label, zpl, slip = (printer.draw(one, kind) for kind in ("label_pdf", "label_zpl", "slip_pdf"))
    return "\n".join(
        hashlib.sha256(content).hexdigest()
        for content in (label, zpl, slip, sheet([label, slip, label]))
    )


def test_in_two_processes():
    """Neither the time, the process's hash seed nor what was drawn before changes a byte."""
    code = "from tests.labels.test_stable import digests; print(digests())"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo", "HOME": "/tmp"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert digests() == digests() == other.stdout.strip()


def test_in_many_threads():
    """Threads that draw at once do not mix up each other's letters."""
    alone = digests()
    interval_s = sys.getswitchinterval()

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            found = set(threads.map(lambda _: digests(), range(8)))
    finally:
        sys.setswitchinterval(interval_s)

    assert found == {alone}
