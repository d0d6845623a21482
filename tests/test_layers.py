"""The direction of imports, and the house rules that a linter does not know."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BELOW = {
    "messages": set(),
    "worker": {"messages"},
    "actors": {"messages", "worker"},
}
CARRIER_NUMBERS = {"worker.carriers.numbers", "worker.carriers.registry"}
"""What is pure in `worker.carriers`: not the table."""
INSIDE = {
    "worker/carriers": {"messages", "worker.carriers"},
    "worker/orders": {"messages", "worker.orders", *CARRIER_NUMBERS},
    "worker/store": {"messages", "worker.orders", "worker.store", "worker.settings"},
    "worker/feed": {"worker.feed"},
    "worker/work": {
        "messages",
        *CARRIER_NUMBERS,
        "worker.feed",
        "worker.orders",
        "worker.store",
        "worker.work",
        "worker.errors",
    },
    "worker/refunds": {
        "messages",
        "worker.orders",
        "worker.store",
        "worker.work",
        "worker.refunds",
        "worker.errors",
        "worker.plugins",
        "worker.retry_after",
        "worker.settings",
    },
    "worker/jobs": {
        "messages",
        "worker.carriers",
        "worker.orders",
        "worker.store",
        "worker.work",
        "worker.jobs",
    },
    "worker/web": {
        "messages",
        "worker.broker.hints",
        "worker.carriers",
        "worker.feed",
        "worker.intake",
        "worker.jobs",
        "worker.labels",
        "worker.orders",
        "worker.refunds.providers",
        "worker.store",
        "worker.work",
        "worker.web",
        "worker.console",
        "worker.errors",
        "worker.logs",
        "worker.memory",
        "worker.servers",
        "worker.settings",
        "worker.tracing",
    },
    "worker/tracing": {
        "messages",
        "worker.plugins",
        "worker.settings",
        "worker.work",
        "worker.tracing",
    },
    "worker/console": {
        "messages",
        "worker.carriers",
        "worker.emails.language",
        "worker.labels",
        "worker.orders",
        "worker.store",
        "worker.work",
        "worker.web",
        "worker.console",
        "worker.errors",
        "worker.settings",
    },
    "worker/retention": {
        "worker.orders",
        "worker.store",
        "worker.work",
        "worker.labels",
        "worker.emails",
        "worker.feed",
        "worker.retention",
        "worker.errors",
        "worker.settings",
    },
    "worker/restore": {
        "messages",
        "worker.postage",
        "worker.refunds",
        "worker.restore",
        "worker.store",
        "worker.work",
        "worker.errors",
    },
    "worker/postage": {
        "messages",
        *CARRIER_NUMBERS,
        "worker.orders",
        "worker.store",
        "worker.work",
        "worker.postage",
        "worker.errors",
        "worker.plugins",
        "worker.retry_after",
        "worker.settings",
    },
}


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_only_layers_below_it(layer):
    """Data flows one way because imports do."""
    forbidden = BELOW.keys() - BELOW[layer] - {layer}

    wrong = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / layer).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in forbidden
    }

    assert wrong == set()


@pytest.mark.parametrize("folder", INSIDE)
def test_inside_the_worker_imports_run_one_way(folder):
    """Rules know no store, the store knows no work, work knows neither broker nor command line."""
    wrong = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / folder).rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] in {"messages", "worker", "actors"}
        and not any(name == ok or name.startswith(f"{ok}.") for ok in INSIDE[folder])
    }

    assert wrong == set()


def test_the_contract_needs_only_pydantic_and_dramatiq():
    """A producer installs no database driver to publish."""
    tops = {
        name.split(".")[0] for path in (ROOT / "messages").glob("*.py") for name in imported(path)
    }

    assert tops - sys.stdlib_module_names == {"messages", "pydantic", "dramatiq"}


def test_every_test_states_its_fact():
    """A test without a docstring proves nothing to its reader."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []
