"""systemd's units."""

import configparser
import shutil
import subprocess

import pytest

from tests.deploy.files import DEPLOY
from worker.settings import Settings
from worker.supervise import STOP_MARGIN_S

UNITS = DEPLOY / "systemd"


def read(name):
    """A unit with what is common to all; of what is said twice the last counts here."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read([UNITS / "fulfillment-.service.d" / "common.conf", UNITS / f"{name}.service"])
    return parser


def analyzed(*words, units):
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not here")
    return subprocess.run(
        [analyze, *words],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units, with a program that is there in place of ours."""
    folder = tmp_path_factory.mktemp("units") / "system"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        text = path.read_text().replace("/opt/fulfillment/venv/bin/fulfillment", "/bin/true")
        path.write_text(text)
    return folder


def test_the_units_verify(units):
    """Systemd has nothing to say of them, and does say what it does not know."""
    result = analyzed("verify", *sorted(units.glob("*.service")), units=units)

    assert (result.returncode, result.stderr) == (0, "")
    odd = units / "fulfillment-odd.service"
    odd.write_text("[Service]\nExecStart=/bin/true\nProtectAll=yes\n")
    assert "ProtectAll" in analyzed("verify", odd, units=units).stderr
    odd.unlink()


@pytest.mark.parametrize("name", ["worker", "web", "migrate"])
def test_the_units_may_do_little(units, name):
    """As systemd counts it, exposed to little: below 2 of 10, where a plain service has 9.6."""
    unit = units / f"fulfillment-{name}.service"

    result = analyzed(
        "security", "--offline=yes", "--threshold=20", "--no-pager", unit, units=units
    )

    assert result.returncode == 0, result.stdout[-200:]


@pytest.mark.parametrize("name", ["worker", "web"])
def test_there_is_time_to_finish(name):
    """TERM goes to the supervisor alone, and nothing is killed before its time is over."""
    service = read(f"fulfillment-{name}")["Service"]

    assert service["KillMode"] == "mixed"
    stop_s = Settings().shutdown_timeout_ms / 1000 + STOP_MARGIN_S
    assert int(service["TimeoutStopSec"]) > stop_s
    assert service["Restart"] == "always"


def test_settings_come_from_files_of_root():
    """Each unit has a file of its own, so that only the owner's unit has the owner's password."""
    files = {
        path.stem: read(path.stem)["Service"]["EnvironmentFile"] for path in UNITS.glob("*.service")
    }

    assert files == {
        "fulfillment-worker": "/etc/fulfillment/worker.env",
        "fulfillment-web": "/etc/fulfillment/web.env",
        "fulfillment-migrate": "/etc/fulfillment/owner.env",
    }
