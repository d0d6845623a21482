"""Dashboard and alert rules ask for numbers that there are."""

import json
import shutil
import subprocess

import promql_parser as promql
import pytest
from prometheus_client import CollectorRegistry

from tests.deploy.files import DEPLOY, documents
from tests.metrics.reading import exposed
from worker.metrics.gauges import RedisGauge, WorkGauges
from worker.metrics.recorder import Recorder

RUNBOOK = (DEPLOY / "RUNBOOK.md").read_text()
((GROUP,),) = [document["groups"] for document in documents(DEPLOY / "prometheus" / "alerts.yaml")]
ALERTS = {rule["alert"]: rule for rule in GROUP["rules"]}
PANELS = json.loads((DEPLOY / "grafana" / "dashboards" / "fulfillment.json").read_text())["panels"]
EXPRESSIONS = {
    **{name: rule["expr"] for name, rule in ALERTS.items()},
    **{
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
        for panel in PANELS
        for target in panel["targets"]
    },
}
SCRAPED = {"job", "instance", "le"}
"""Labels that Prometheus adds, and the buckets of its histograms."""


@pytest.fixture
def told(store):
    """What a worker tells of a store in which everything has gone wrong: labels by name."""
    _, engine, _ = store
    registry = CollectorRegistry()
    recorder = Recorder(registry)
    recorder.started()
    recorder.batch("commands", 1)
    recorder.commands({("ship", "applied"): 1})
    recorder.followup("emails", "shipped", "done", 1.0)
    recorder.failure("emails", "shipped", "smtp_550", is_dead=True)
    recorder.suspect("labels", crashed=True)
    registry.register(WorkGauges(engine))
    registry.register(RedisGauge("redis://127.0.0.1:1/0"))
    return {name: {label for label, _ in labels} for name, labels in exposed(registry)}


def selectors(expression):
    """Every selector in an expression, with the labels by which what is around it groups."""
    match expression:
        case promql.VectorSelector():
            yield expression, set()
        case promql.MatrixSelector():
            yield expression.vector_selector, set()
        case promql.AggregateExpr():
            grouped = set(expression.modifier.labels) if expression.modifier else set()
            for selector, inner in selectors(expression.expr):
                yield selector, inner | grouped
        case promql.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql.ParenExpr():
            yield from selectors(expression.expr)


def unknown(expression, told):
    """What an expression asks for and nobody tells: names, and labels of them."""
    found = set()
    for selector, grouped in selectors(promql.parse(expression)):
        if selector.name not in told:
            found.add(selector.name)
            continue
        asked = grouped | {matcher.name for matcher in selector.matchers.matchers}
        found |= {f"{selector.name}{{{name}}}" for name in asked - told[selector.name] - SCRAPED}
    return found


def test_every_expression_asks_for_what_there_is(told):
    """All names and labels of rules and panels are of metrics that workers tell; others are
    found.
    """
    wrong = {name: unknown(expr, told) for name, expr in EXPRESSIONS.items()}

    assert {name: found for name, found in wrong.items() if found} == {}
    assert unknown("sum by (route) (rate(fulfillment_failures_total[5m]))", told) == {
        "fulfillment_failures_total{route}"
    }
    assert unknown("fulfillment_work_due + fulfilment_work", told) == {"fulfilment_work"}


def test_every_metric_of_work_is_shown(told):
    """The dashboard leaves none of ours out."""
    shown = {
        selector.name
        for panel in PANELS
        for target in panel["targets"]
        for selector, _ in selectors(
            promql.parse(EXPRESSIONS[f"{panel['title']} {target['refId']}"])
        )
    }
    plain = {name for name in told if not name.endswith(("_created", "_sum", "_count", "_bucket"))}

    assert plain - shown == set()


def test_gauges_of_the_cluster_are_not_summed_over_workers():
    """Every worker tells all of the cluster's work: a sum over workers would count it again."""
    gauges = ("fulfillment_work_", "fulfillment_queue_", "fulfillment_dead_", "fulfillment_strays")

    wrong = [
        name
        for name, expr in EXPRESSIONS.items()
        if any(gauge in expr for gauge in gauges) and "max" not in expr
    ]

    assert wrong == []


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_leads_to_the_runbook(name):
    """Its annotation is a heading there, and it says how bad it is in a sentence."""
    rule = ALERTS[name]
    headings = [line.removeprefix("## ") for line in RUNBOOK.splitlines() if line.startswith("## ")]

    assert [one for one in headings if one.partition(" (")[0] == rule["annotations"]["runbook"]]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")


def test_alerts_that_the_runbook_names_exist():
    """No heading waits for an alert that nobody sends."""
    named = {
        word.strip("`()*:,.")
        for word in RUNBOOK.split()
        if word.strip("`()*:,").startswith("Fulfillment")
    }

    assert named
    assert named <= ALERTS.keys()


def test_the_rules_fire_when_they_should():
    """Promtool plays their unit tests."""
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not here")

    result = subprocess.run(
        [promtool, "test", "rules", DEPLOY / "prometheus" / "alerts_test.yaml"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert result.returncode == 0, result.stdout


def test_panels_stand_beside_each_other():
    """No panel covers another, each has a title of its own."""
    places = [
        (x, y)
        for panel in PANELS
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_what_is_provisioned_is_there():
    """The data source that panels name, the folder in which the dashboard is."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    (sources,) = documents(provisioning / "datasources" / "prometheus.yaml")
    (dashboards,) = documents(provisioning / "dashboards" / "fulfillment.yaml")
    (composition,) = documents(DEPLOY / "compose.yaml")

    assert {panel["datasource"]["uid"] for panel in PANELS} == {sources["datasources"][0]["uid"]}
    where = dashboards["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{where}:ro" in composition["services"]["grafana"]["volumes"]
