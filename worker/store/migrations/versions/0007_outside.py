"""Calls that cost money: refunds at providers, labels bought from carriers, parcels called back."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables and columns."""
    # The driver directly, as in 0001.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(Path(__file__).with_suffix(".sql").read_text())
