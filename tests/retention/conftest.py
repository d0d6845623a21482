"""What tests of retention share: places for files, and a run of it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from tests.labels import lab
from tests.work import rig
from worker.cli.root import app
from worker.labels.files import files
from worker.retention.pruning import Pruning
from worker.settings import Settings


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty, also of carriers."""
    return emptied("retention", tables=rig.TABLES)


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    """Settings with a state folder of the test's own: labels and e-mails are files in it."""
    return Settings(state_dir=tmp_path, ship_from=lab.SHOP)


@pytest.fixture
def prune(engine: Engine, config: Settings) -> Callable[..., dict[str, int]]:
    """Runs retention once; what went."""

    def run(*, dry_run: bool = False, **settings) -> dict[str, int]:
        told = config.model_copy(update=settings)
        pruning = Pruning(engine, told, files(told), stop=threading.Event(), dry_run=dry_run)
        gone: Counter[str] = Counter()
        for what, count in pruning.run():
            gone[what] += count
        return dict(gone)

    return run


@pytest.fixture
def cli(database_url: str, redis_url: str, config: Settings) -> Callable[..., Result]:
    """Runs `fulfillment ...` in this process, with the test's servers and folders."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_STATE_DIR": str(config.state_dir),
        "FULFILLMENT_SHIP_FROM": lab.SHOP.model_dump_json(),
    }

    def run(*words: object, **more: str) -> Result:
        result = CliRunner().invoke(app, [*map(str, words)], env=environment | more)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def later(engine: Engine, days: float, where: str = "true") -> None:
    """Let days pass for everything that is in the database."""
    for table, columns in {
        "commands": ("accepted_at", "decided_at"),
        "followups": ("decided_at",),
        "strays": ("at",),
        "audit": ("at",),
        "documents": ("made_at",),
        "purchases": ("asked_at",),
        "jobs": ("decided_at",),
    }.items():
        sets = ", ".join(f"{one} = {one} - {days} * interval '1 day'" for one in columns)
        if where == "true" or table == "commands":
            rig.run(engine, f"update {table} set {sets} where {where}")
