"""An index of the audit by who acted."""

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Build the index while others work: each act of an operator is written to this table."""
    with op.get_context().autocommit_block():
        cursor = op.get_bind().connection.cursor()
        # It waits for every transaction that is older, and holds up none meanwhile.
        cursor.execute("set lock_timeout = 0")
        # One that was not finished is of no use.
        cursor.execute("drop index concurrently if exists audit_of_actor")
        cursor.execute(Path(__file__).with_suffix(".sql").read_text())
        cursor.execute("reset lock_timeout")
