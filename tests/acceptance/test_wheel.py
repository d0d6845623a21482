"""The package as its users install it: built, put elsewhere, and used there."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.heavy

ORDER = {
    "order_id": "1001",
    "currency": "EUR",
    "total_minor": 2000,
    "lines": [{"line_id": "1", "name": "Mug", "quantity": 2, "net_minor": 2000}],
    "payments": [{"payment_id": "p1", "captured_minor": 2000}],
}


@pytest.fixture
def installed(tmp_path):
    """The path of `fulfillment` in an environment that holds the wheel and its dependencies."""
    source = tmp_path / "source"
    # From a copy: a build leaves files, and another test may be reading the tree.
    subprocess.run(["git", "clone", "-q", ROOT, source], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    elsewhere = tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", elsewhere], check=True)
    python = elsewhere / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    subprocess.run([*install, "--no-index", wheel], check=True)
    # The dependencies of this environment, but not its link to the source tree.
    (site,) = elsewhere.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return elsewhere / "bin" / "fulfillment"


def test_the_wheel_works_elsewhere(installed, tmp_path, server_dir):
    """Built, installed and run outside the source tree, one command goes through to its outcome."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "FULFILLMENT_STATE_DIR": str(server_dir / "wheel"),
    }

    def run(*arguments, given=None):
        return subprocess.run(
            [installed, *arguments],
            input=given,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    with subprocess.Popen(
        [installed, "worker", "--processes", "1"],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    ) as worker:
        try:
            run("migrate")
            run("orders", "import", "--wait", "-", given=json.dumps(ORDER) + "\n")
            run("ship", "1001", "--wait", "--timeout", "30")
            order = json.loads(run("orders", "show", "1001", "--json"))
            doctor = run("doctor")
        finally:
            worker.terminate()
            worker.wait(40)

    files = "from worker.console import pages, static; print(static.address('htmx.min.js'))"
    run_python = [installed.parent / "python", "-c", f"{files}; print(*pages.TEMPLATES.iterdir())"]
    shipped = subprocess.run(run_python, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "/static/htmx.min." in shipped.stdout
    assert "layout.html" in shipped.stdout
    where = [installed.parent / "python", "-c", "import worker; print(worker.__file__)"]
    imported = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert imported.stdout.startswith(str(installed.parent.parent))
    assert order["fulfillment_status"] == "fulfilled"
    assert "python" in doctor.lower()
