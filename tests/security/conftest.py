"""What tests of security share: the database's roles with a login for each, and quiet logs."""

from collections.abc import Callable, Iterator

import pytest
import structlog
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from tests.work import rig
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import grant_roles

ROLES = ("viewer", "worker", "operator", "producer", "web")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(scope="session")
def roles(emptied: Callable[..., str]) -> None:
    """The roles of the folder's database, each with a login."""
    engine = make_engine(emptied("security"), Settings())
    grant_roles(engine)
    for role in ROLES:
        rig.run(
            engine, f"create role login_{role} login password 'secret' in role fulfillment_{role}"
        )
    engine.dispose()


@pytest.fixture
def database_url(emptied: Callable[..., str], roles: None) -> str:
    """The folder's database, with roles."""
    return emptied("security")


@pytest.fixture
def owner(engine: Engine) -> Engine:
    """Connections of the database's owner."""
    return engine


@pytest.fixture
def urls(database_url: str) -> dict[str, str]:
    """The test's database, by the role that logs in."""
    return {role: _as(database_url, f"login_{role}") for role in ROLES}


@pytest.fixture
def as_role(urls: dict[str, str]) -> Iterator[Callable[[str], Engine]]:
    """Connections of a role, as a process of its own would have them."""
    made: dict[str, Engine] = {}

    def connect(role: str) -> Engine:
        if role not in made:
            made[role] = make_engine(urls[role], Settings(), look_ups_only=role == "worker")
        return made[role]

    yield connect
    for engine in made.values():
        engine.dispose()


def _as(url: str, user: str) -> str:
    changed = make_url(url).set(username=user, password="secret")
    return changed.render_as_string(hide_password=False)
