"""The schema's version: migrating to the newest, and asking where it stands."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

# A migration that waits longer for a lock would queue every order behind it.
_LOCK_TIMEOUT = "4s"

ROLES = Path(__file__).with_name("roles.sql").read_text()


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest version; at the newest already, this changes nothing.

    Raises:
      sqlalchemy.exc.OperationalError: A lock was not to be had in 4 s; nothing was changed.
    """
    with engine.connect() as connection:
        # One at a time: several workers may start with `migrate` at once.
        connection.execute(text("set statement_timeout = 0"))
        connection.execute(text("set lock_timeout = 0"))
        connection.execute(text("select pg_advisory_lock(hashtext('fulfillment migrate'))"))
        connection.execute(text(f"set lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.commit()
        try:
            config = _config()
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


def newest() -> str:
    """The version this code was written for."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def current(engine: Engine) -> str | None:
    """The version the database is at; None before the first migration."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
