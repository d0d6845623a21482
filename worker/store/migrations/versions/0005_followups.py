"""What follow-ups leave behind: documents, warnings, settled money, and who did what by hand."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables and columns."""
    # The driver directly, as in 0001.
    cursor = op.get_bind().connection.cursor()
    cursor.execute(Path(__file__).with_suffix(".sql").read_text())
