"""Orders, commands, follow-ups, strays and carriers; the SQL stands beside this file."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    # The driver directly: SQLAlchemy would read `:name` and `%` in the functions as parameters.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(Path(__file__).with_suffix(".sql").read_text())
