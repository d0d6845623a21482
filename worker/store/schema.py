"""The schema's version: migrating to the newest, and asking where it stands."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable, UndefinedTable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from worker.store import fit as fitting
from worker.store.fit import Fit, newest

__all__ = ["Locked", "current", "fit", "grant_roles", "migrate", "newest"]

LOCK_WAIT_MS: Final = 1_000
"""Whoever comes after a migration that waits for a lock waits behind it, and gives up after 2 s."""
PAUSES_S: Final = (1, 2, 4, *[8] * 30)
"""Between attempts: four minutes in all."""

_TAKE_TURN: Final = text("select pg_try_advisory_lock(hashtext('fulfillment migrate'))")
_TURN_EVERY_S: Final = 0.2

ROLES = Path(__file__).with_name("roles.sql").read_text()

log = structlog.get_logger()


class Locked(Exception):
    """Others held what a migration was to change, again and again; it is as it was before."""


def migrate(
    engine: Engine,
    *,
    config: Config | None = None,
    pauses_s: Iterable[float] = PAUSES_S,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Bring the schema to the newest version; at that already, or at a newer one, nothing changes.

    A lock is waited for briefly and asked for again after a pause, so that work goes on.

    Args:
      engine: Connections to the database.
      config: Alembic's; by default our own migrations.
      pauses_s: After each attempt that found a lock held.
      pause: Waits for so many seconds.

    Raises:
      Locked: A lock was not to be had; migrations before that one are done.
    """
    for pause_s in pauses_s:
        try:
            _upgrade(engine, config or _config())
        except (DBAPIError, psycopg.Error) as error:
            # Migrations speak to the driver directly.
            if not isinstance(getattr(error, "orig", error), LockNotAvailable):
                raise
            log.warning("migration_waits", for_s=pause_s)
            pause(pause_s)
        else:
            return
    raise Locked("others hold what is to be changed: see pg_stat_activity for old transactions")


def _upgrade(engine: Engine, config: Config) -> None:
    with engine.connect() as connection:
        # One at a time: several workers may start with `migrate` at once.
        connection.execute(text("set statement_timeout = 0"))
        connection.execute(text(f"set lock_timeout = {LOCK_WAIT_MS}"))
        while not connection.execute(_TAKE_TURN).scalar_one():
            # Not in a transaction: an index that is built concurrently waits for the end of each.
            connection.commit()
            time.sleep(_TURN_EVERY_S)
        connection.commit()
        try:
            if (_current(connection) or "") > _head(config):
                return  # by a newer version, whose migrations we do not know
            # In a transaction that is open already, Alembic would put all of them into that one.
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        finally:
            connection.invalidate()  # closes the session: its lock and its settings go with it


def grant_roles(engine: Engine) -> None:
    """Make the group roles and give each what it needs in the newest schema, and no more.

    Raises:
      sqlalchemy.exc.DBAPIError: (42501) The user may not make roles, or does not own the database;
        nothing was changed.
    """
    with engine.begin() as connection:
        # One at a time: two would change the same rows of the catalogue.
        connection.execute(text("select pg_advisory_xact_lock(hashtext('fulfillment roles'))"))
        # Without parameters the driver leaves `%` alone, which `format` needs.
        connection.exec_driver_sql(ROLES, execution_options={"no_parameters": True})


def fit(connection: Connection) -> Fit:
    """Whether the database's schema and this version fit."""
    try:
        row = connection.exec_driver_sql(fitting.STATE).one_or_none()
    except ProgrammingError as error:
        if not isinstance(error.orig, UndefinedTable):
            raise
        row = None
    return fitting.of(tuple(row) if row else None)


def current(engine: Engine) -> str | None:
    """The version the database is at; None before the first migration."""
    with engine.connect() as connection:
        return _current(connection)


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head(config: Config) -> str:
    return ScriptDirectory.from_config(config).get_current_head() or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(fitting.MIGRATIONS.parent))
    return config
