"""The image and the composition."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from tests.blocks import ROOT
from tests.deploy.files import DEPLOY, documents, texts, values
from worker import __version__
from worker.settings import Settings
from worker.supervise import STOP_MARGIN_S

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = DEPLOY / "compose.yaml"
SCHEMA = json.loads((Path(__file__).parent / "vendor" / "compose-spec.json").read_text())


@pytest.fixture(scope="module")
def services():
    (composition,) = documents(COMPOSE)
    return composition["services"]


def test_the_dockerfile_has_no_findings(tmp_path):
    """Hadolint says nothing of it, and does of one that lets everything be whatever is newest."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not hadolint:
        pytest.skip("hadolint is not here")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN pip install dramatiq\nCMD python -m worker\n")

    good = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, check=False)

    assert (good.returncode, good.stdout) == (0, b"")
    assert subprocess.run([hadolint, bad], capture_output=True, check=False).returncode == 1


def test_the_image_is_run_by_nobody_in_particular():
    """Not root, in exec form, one base of a named version, asked for its health by the probe, and
    made of what the lock's hashes say.
    """
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    instructions = re.findall(
        r"^\s*(USER|HEALTHCHECK|ENTRYPOINT|CMD) (.*)$", DOCKERFILE, re.MULTILINE
    )

    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", bases[0])
    assert dict(instructions) == {
        "USER": "10001:10001",
        "HEALTHCHECK": "--interval=15s --timeout=5s --start-period=30s --retries=3 \\",
        "ENTRYPOINT": '["fulfillment"]',
        "CMD": '["worker"]',
    }
    assert 'CMD ["fulfillment", "probe", "live"]' in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE


def test_what_is_written_has_a_place(services):
    """The root may be read-only: what is written to is mounted, by the README's command and by the
    composition, and `/run` lets 10001 in, whose mode a runtime may give to what is mounted there.
    """
    written = {"/run", "/tmp", "/var/lib/fulfillment"}
    folders = re.findall(r"FULFILLMENT_(?:RUN|STATE)_DIR=(\S+)", DOCKERFILE)
    (command,) = re.findall(
        r"^docker run .*(?:\\\n.*)*", (DEPLOY / "README.md").read_text(), re.MULTILINE
    )

    assert folders == ["/run/fulfillment", "/var/lib/fulfillment"]
    assert set(re.findall(r"--(?:tmpfs |volume \w+:)(\S+)", command)) == written
    for name in ("migrate", "worker", "web"):
        one = services[name]
        places = [place.split(":")[0] for place in one["tmpfs"]]
        places += [place.split(":")[1] for place in one["volumes"]]
        assert set(places) == written
    assert "chmod 1777 /run" in DOCKERFILE


def test_what_goes_into_the_image_is_what_the_wheel_has():
    """The packages of pyproject.toml are copied, and the context holds nothing else."""
    copied = set(re.findall(r"^COPY (\w+) /opt/fulfillment/\1$", DOCKERFILE, re.MULTILINE))
    wheel = re.search(r"^packages = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    kept = set(
        re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    )

    assert copied == set(json.loads(wheel[1]))
    assert kept == copied | {"requirements*.lock"}


def test_the_composition_is_one():
    """It has what the Compose Specification knows; a field that nobody knows is found."""
    (composition,) = documents(COMPOSE)
    validator = Draft7Validator(SCHEMA)

    assert list(validator.iter_errors(composition)) == []
    composition["services"]["worker"]["read_onyl"] = True
    assert len(list(validator.iter_errors(composition))) == 1


def test_who_waits_for_whom(services):
    """Nobody works before the schema is there, and only the monitoring has to be asked for."""
    assert set(services) == {
        "postgres", "valkey", "mail", "migrate", "worker", "web", "prometheus", "grafana"
    }  # fmt: skip
    for name in ("worker", "web"):
        assert services[name]["depends_on"]["migrate"] == {
            "condition": "service_completed_successfully"
        }
    assert {name for name, one in services.items() if one.get("profiles")} == {
        "prometheus",
        "grafana",
    }


def test_services_of_ours_may_do_little(services):
    """Read-only, without capabilities, this version, time to finish, and on loopback alone."""
    for name in ("migrate", "worker", "web"):
        one = services[name]
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["image"] == f"fulfillment-worker:{__version__}"
        stop_s = int(one["stop_grace_period"].removesuffix("s"))
        assert stop_s > Settings().shutdown_timeout_ms / 1000 + STOP_MARGIN_S
    ports = [port for one in services.values() for port in one.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_versions_are_named():
    """No image is whatever is newest: each has a version with a number in it."""
    images = [
        value
        for path in texts()
        if path.suffix in {".yaml", ".yml"}
        for document in documents(path)
        for name, value in values(document)
        if name == "image" and value != "fulfillment-worker"
    ]

    assert len(images) >= 8
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []
    assert ":latest" not in DOCKERFILE


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_file_holds_a_secret(path):
    """What is called a password, a token or a key is a variable, or the name of its place."""
    told = re.findall(
        r"(?i)(?:password|secret|token|api_key)[\w-]*[\"']?[ \t]*[:=][ \t]*[\"']?([^\s\"',;]+)",
        path.read_text(),
    )
    urls = re.findall(r"\w+://[^\s:/@]+:([^\s@]+)@", path.read_text())

    assert [value for value in (*told, *urls) if not HARMLESS.fullmatch(value)] == []


HARMLESS = re.compile(
    r"\$\{?\w*PASSWORD.*|\?set"  # a variable, one that must be set
    r"|PASSWORD-OF-.*|\.\.\.|password|secret"  # a place that is to be filled
    r"|false|-?|\\|\{.*|\w+\(.*|\$.*"  # no value at all: a flag, code
)
