"""Kubernetes: what its API takes, what Kustomize makes of it, and what keeps our promises."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from jsonschema import Draft202012Validator

from messages.wire import ROUTES
from tests.deploy.files import KUBERNETES, documents
from worker import __version__
from worker.settings import Settings
from worker.supervise import STOP_MARGIN_S
from worker.work.claim import _DUE

VENDOR = KUBERNETES.parent.parent / "tests" / "deploy" / "vendor"
KINDS = {
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Job": "io.k8s.api.batch.v1.Job",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "Service": "io.k8s.api.core.v1.Service",
    "ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "ScaledObject": "ScaledObject",
    "TriggerAuthentication": "TriggerAuthentication",
}
DEFINITIONS = {
    name: definition
    for file in ("kubernetes-1.37.json", "keda-2.16.json")
    for name, definition in json.loads((VENDOR / file).read_text())["$defs"].items()
}

KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))
MANIFESTS = sorted(set(KUBERNETES.rglob("*.yaml")) - set(KUSTOMIZATIONS))
OVERLAYS = sorted(path.parent.name for path in (KUBERNETES / "overlays").glob("*/*.yaml"))


def problems(manifest):
    """What its schema says against a manifest."""
    schema = {"$ref": f"#/$defs/{KINDS[manifest['kind']]}", "$defs": DEFINITIONS}
    found = Draft202012Validator(schema).iter_errors(manifest)
    return [f"{manifest['kind']} {error.json_path}: {error.message[:200]}" for error in found]


def containers(manifest):
    return manifest["spec"]["template"]["spec"]["containers"]


def due(queue):
    """The scaler's query for a queue."""
    (scaled,) = documents(KUBERNETES / "components" / "keda" / f"{queue}.yaml")
    (trigger,) = scaled["spec"]["triggers"]
    return trigger["metadata"]["query"]


def test_schemas_can_refuse():
    """A field that nobody knows, and a wrong type, are found: the next test is not for nothing."""
    (manifest,) = documents(KUBERNETES / "base" / "worker" / "deployment.yaml")
    assert problems(manifest) == []
    manifest["spec"]["replica"] = 1
    manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "soon"

    assert len(problems(manifest)) == 2


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_every_manifest_is_one(path):
    """Each document has the fields that its kind has in Kubernetes or KEDA, and no other."""
    found = documents(path)

    assert found
    assert [problem for one in found for problem in problems(one)] == []


def test_kustomizations_name_what_is_there():
    """Every resource and component exists, and every file is named by a folder above it."""
    named = {
        (path.parent / name).resolve()
        for path in KUSTOMIZATIONS
        for document in documents(path)
        for name in (*document["resources"], *document.get("components", ()))
    }
    tops = {path.parent for path in KUSTOMIZATIONS if path.parent.parent.name == "overlays"}

    assert [str(path) for path in named if not path.exists()] == []
    assert set(MANIFESTS) <= named
    assert {path.parent for path in KUSTOMIZATIONS} - tops <= named


def test_a_deployment_per_queue():
    """Each queue that there is has a folder of its own, told which, and a scaler."""
    folders = sorted(path.name for path in (KUBERNETES / "base" / "queues").iterdir())
    assert folders == sorted(ROUTES)
    for queue in folders:
        (kustomization,) = documents(KUBERNETES / "base" / "queues" / queue / "kustomization.yaml")
        (patch,) = kustomization["patches"]
        ((operation,),) = [yaml.safe_load(patch["patch"])]
        assert operation["value"] == [{"name": "FULFILLMENT_QUEUES", "value": queue}]
        assert Settings(queues=queue).queues == (queue,)
        (scaled,) = documents(KUBERNETES / "components" / "keda" / f"{queue}.yaml")
        assert scaled["spec"]["scaleTargetRef"]["name"] == f"worker{kustomization['nameSuffix']}"


@pytest.mark.parametrize("queue", ROUTES)
def test_scaling_counts_what_a_claim_would_take(queue, store):
    """The scaler's condition is the claim's and its index's; it counts what is due, nothing of it
    while the queue is paused, and reads no more than what is due.
    """
    _, engine, _ = store
    query = due(queue)
    table = {"commands": "commands", "jobs": "jobs"}.get(queue, "followups")
    where = f"route = '{queue}'" if table == "followups" else "true"
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"update {table} set state = 'pending', decided_at = null, next_at = now(), "
            f"dead_reason = null where {where}"
        )
        connection.exec_driver_sql("delete from paused_routes")
        wanted = connection.exec_driver_sql(f"select count(*) from {table} where {where}").scalar()
        counted = connection.exec_driver_sql(query).scalar()
        connection.exec_driver_sql("set local enable_seqscan = off")
        plan = "\n".join(connection.exec_driver_sql(f"explain {query}").scalars())
        connection.exec_driver_sql("insert into paused_routes (route) values (%s)", (queue,))
        paused = connection.exec_driver_sql(query).scalar()

    assert _DUE in query
    assert (counted, paused) == (wanted, 0)
    assert f"{table}_due" in plan


def test_there_is_time_to_finish():
    """Grace periods are beyond what a stopping worker may take, and pauses before it."""
    (settings,) = documents(KUBERNETES / "base" / "settings.yaml")
    drain_s = int(settings["data"]["FULFILLMENT_SHUTDOWN_TIMEOUT_MS"]) / 1000 + STOP_MARGIN_S

    for name in ("worker", "web"):
        (deployment,) = documents(KUBERNETES / "base" / name / "deployment.yaml")
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        pause_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {"seconds": 0})
        assert pod["terminationGracePeriodSeconds"] > drain_s + pause_s["seconds"]


@pytest.mark.parametrize("name", ["worker/deployment", "web/deployment", "migrate/job"])
def test_containers_may_do_little(name):
    """No root, no capabilities, nothing written to the image, no rights at the API."""
    (manifest,) = documents(KUBERNETES / "base" / f"{name}.yaml")
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"].keys() == {"memory"}


def test_the_image_is_this_version():
    """Manifests name no tag, the base gives this version's."""
    (base,) = documents(KUBERNETES / "base" / "kustomization.yaml")
    named = {
        container["image"]
        for path in MANIFESTS
        for one in documents(path)
        if one["kind"] in {"Deployment", "Job"}
        for container in containers(one)
    }

    assert base["images"] == [{"name": "fulfillment-worker", "newTag": __version__}]
    assert named == {"fulfillment-worker"}


def test_settings_are_settings():
    """Every variable of the base and of the overlays is one that the worker reads."""
    known = {f"FULFILLMENT_{name.upper()}" for name in Settings.model_fields}
    text = "".join(path.read_text() for path in KUBERNETES.rglob("*.yaml"))
    used = set(re.findall(r"FULFILLMENT_[A-Z_]+", text))

    assert used - known == set()
    assert "FULFILLMENT_QUEUES" in used


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kustomize_makes_of_it(overlay):
    """Each overlay renders to manifests that are ones, in a namespace of its own, each worker with
    its queue in its labels and the selectors of its budget.
    """
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("kubectl, which renders overlays, is not here")
    rendered = subprocess.run(
        [kubectl, "kustomize", KUBERNETES / "overlays" / overlay],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = list(yaml.safe_load_all(rendered))

    assert [problem for one in found for problem in problems(one)] == []
    assert len({one["metadata"]["namespace"] for one in found}) == 1
    workers = {
        one["metadata"]["name"]: one
        for one in found
        if one["kind"] == "Deployment" and one["metadata"]["name"] != "web"
    }
    budgets = {
        one["metadata"]["name"]: one["spec"]["selector"]["matchLabels"]
        for one in found
        if one["kind"] == "PodDisruptionBudget"
    }
    assert workers.keys() == {f"worker-{queue}" for queue in ROUTES}
    for name, worker in workers.items():
        labels = worker["spec"]["template"]["metadata"]["labels"]
        assert labels["fulfillment/queue"] == name.removeprefix("worker-")
        assert budgets[name].items() <= labels.items()
        assert containers(worker)[0]["image"] == f"fulfillment-worker:{__version__}"
        # Where something scales them, nothing else says how many there are.
        assert ("replicas" in worker["spec"]) == (overlay == "staging")
