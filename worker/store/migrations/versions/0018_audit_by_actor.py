"""An index of the audit by who acted: one who did little, among a million acts of others."""

from worker.store.migrations import indexes

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Build it while operators act."""
    indexes.build("audit_of_actor", "on audit (actor, audit_id)")
