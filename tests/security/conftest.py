"""What tests of security share: the database's roles with a login for each, and quiet logs."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
import structlog
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from tests.work import rig
from worker.embedded.server import Server
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
def roles_database(postgres_server: Server, template: str) -> Iterator[str]:
    """A migrated database for all tests of this folder, its roles granted, each with a login."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"create database security template {template}")
        url = f"{postgres_server.url.rsplit('/', 1)[0]}/security"
        engine = make_engine(url, Settings())
        grant_roles(engine)
        engine.dispose()
        for role in ROLES:
            connection.execute(
                f"create role login_{role} login password 'secret' in role fulfillment_{role}"
            )
        yield url
        connection.execute("drop database security with (force)")


@pytest.fixture
def database_url(roles_database: str) -> str:
    """The folder's database, empty but for the carriers that every shop knows."""
    tables = [table for table in rig.TABLES if table != "carriers"]
    with psycopg.connect(roles_database) as connection:
        connection.execute(f"truncate {', '.join(tables)} restart identity cascade")
    return roles_database


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
