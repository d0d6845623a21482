"""Indexes of tables that are there already, for migrations."""

from alembic import op

from worker.store.schema import LOCK_WAIT_MS


def build(name: str, definition: str) -> None:
    """Build an index beside those who read and write its table: `build("jobs_x", "on jobs (x)")`.

    Outside of any transaction, so let it be a migration of its own: where it is cut off, it begins
    anew. Transactions that are open are waited for as long as they last; nobody waits behind it.
    """
    with op.get_context().autocommit_block():
        cursor = op.get_bind().connection.cursor()
        cursor.execute("set lock_timeout = 0")
        # A former attempt that was cut off leaves an index that nobody uses.
        cursor.execute(f"drop index concurrently if exists {name}")
        cursor.execute(f"create index concurrently {name} {definition}")
        cursor.execute(f"set lock_timeout = {LOCK_WAIT_MS}")
