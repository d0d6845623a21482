"""A command's way to the servers, opened for one run and closed at its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, Engine

from messages.wire import COMMANDS
from worker.cli.exits import Code, Failure
from worker.logs import configure
from worker.servers import Servers, servers
from worker.settings import Settings
from worker.store.engine import make_engine

if TYPE_CHECKING:
    from worker.refunds.providers import Providers
    from worker.work.judging import Decide

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """The settings, where the servers are, and connections to the database."""

    settings: Settings
    servers: Servers
    engine: Engine

    @property
    def providers(self) -> "Providers":
        """Who gives money back.

        Raises:
          Failure: The settings name a provider that is not known.
        """
        from worker.plugins import CannotUse  # noqa: PLC0415  # only some need it
        from worker.refunds.providers import providers  # noqa: PLC0415  # likewise

        try:
            return providers(self.settings)
        except CannotUse as error:
            raise Failure(str(error), Code.USAGE) from None

    @property
    def rules(self) -> "Decide":
        """The rules as a worker has them."""
        from worker.refunds.providers import rules  # noqa: PLC0415  # only some need it

        return rules(self.providers)

    def hint(self, route: str = COMMANDS) -> None:
        """Wake a worker; without it the work is found within a second or so."""
        from worker.broker.hints import Hints  # noqa: PLC0415  # dramatiq, which reading never needs

        hints = Hints(self.servers.redis_url, limit=2 * self.settings.processes)
        hints.send(route)
        hints.close()


@contextmanager
def session() -> Iterator[Session]:
    """The servers of the settings. The embedded database, which is there for trials, is migrated
    by whoever comes first; any other is left as it is.

    Raises:
      pydantic.ValidationError: A setting cannot be used.
      EmbeddedServerFailed: The embedded servers cannot run here.
    """
    config = read_settings()
    where = servers(config)
    engine = make_engine(where.database_url, config, pool_size=2)
    try:
        if config.database_url is None:
            _migrate(engine)
        yield Session(config, where, engine)
    finally:
        engine.dispose()


def check_schema(engine: Engine) -> None:
    """See that the schema and this version fit.

    Raises:
      Failure: They do not; it says what to do.
    """
    from worker.store.schema import fit  # noqa: PLC0415  # Alembic is slow

    with engine.connect() as connection:
        found = fit(connection)
    if found.advice:
        raise Failure(f"the schema is {found}: {found.advice}")


@contextmanager
def reading() -> Iterator[Connection]:
    """A connection to look something up on."""
    with session() as opened, opened.engine.connect() as connection:
        yield connection


def read_settings() -> Settings:
    """The settings, with logs going where they say."""
    config = Settings()
    if not logging.getLogger().handlers:  # a program around us that has set them up keeps them
        configure(config.log_level)
    return config


def _migrate(engine: Engine) -> None:
    from worker.store.schema import fit, migrate  # noqa: PLC0415  # Alembic is slow

    with engine.connect() as connection:
        found = fit(connection)
    if found.is_old:
        migrate(engine)
        log.info("embedded_database_migrated", before=found.found, now=found.wanted)
