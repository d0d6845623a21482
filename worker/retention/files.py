"""Files that are removed by age: labels and packing slips, and e-mails where they are files."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, Engine

from worker.emails.folder import Folder
from worker.labels.documents import named
from worker.labels.files import Files, Kind, name_of
from worker.settings import Settings

PRUNE_DOCUMENTS: Final = """
-- prune_documents: the row goes first: a file that no row names is an orphan, and removed as such
with old as materialized (
  select shipment_id, kind from documents
  where pruned_at is null and made_at <= now() - %(days)s * interval '1 day'
  order by made_at limit %(limit)s for no key update skip locked
)
update documents d set pruned_at = now()
from old where d.shipment_id = old.shipment_id and d.kind = old.kind
returning d.kind, d.sha256
"""

COUNT_DOCUMENTS: Final = """
-- count_documents
select count(*) from documents
where pruned_at is null and made_at <= now() - %(days)s * interval '1 day'
"""

Document = tuple[Kind, bytes]


def prune_documents(connection: Connection, *, days: int, limit: int) -> list[Document]:
    """Let rows no longer name the oldest files; those, to be removed after the commit."""
    rows = connection.exec_driver_sql(PRUNE_DOCUMENTS, {"days": days, "limit": limit})
    return [(row.kind, bytes(row.sha256)) for row in rows]


def count_documents(connection: Connection, *, days: int) -> int:
    """How many files are so old."""
    return int(connection.exec_driver_sql(COUNT_DOCUMENTS, {"days": days}).scalar_one())


def remove(
    engine: Engine, store: Files, documents: Collection[Document], *, older_than_s: float
) -> int:
    """Remove the files that no row names any more; how many were looked for.

    Raises:
      Transient: The store cannot be used.
    """
    with engine.connect() as connection:
        kept = named(connection, [sha256 for _, sha256 in documents])
    gone = {name_of(sha256, kind) for kind, sha256 in documents if sha256 not in kept}
    for name in sorted(gone):
        store.remove(name, older_than_s=older_than_s)
    return len(gone)


def mail_folder(config: Settings) -> Folder:
    """Where e-mails are files, if they are, or were."""
    return Folder(config.email_folder or config.state_dir / "mail")
