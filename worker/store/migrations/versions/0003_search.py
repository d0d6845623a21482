"""Search and lists: words of orders, an index for each filter; the SQL stands beside this file."""

from pathlib import Path
from typing import Any, Final

import orjson
from alembic import op

from worker.store import words

revision = "0003"
down_revision = "0001"

_CHUNK: Final = 5_000

_ORDERS = """
-- orders: all that are here, in the order of time, so that their words lie in it as well
select o.order_id, o.number, o.customer_name, o.customer_email, o.placed_at, array(
  select l.sku from order_lines l where l.order_id = o.order_id order by l.position)
from orders o order by o.placed_at, o.order_id
"""

_FILL = """
-- fill: the words of a chunk of orders
insert into order_words (order_id, placed_at, words)
select order_id, placed_at, array_to_tsvector(words)
from jsonb_to_recordset(%(document)s::jsonb)
  as new (order_id text, placed_at timestamptz, words text[])
"""


def upgrade() -> None:
    """Create the table and the indexes, and fill in the words of every order that is here.

    Nothing is placed meanwhile: a minute or two for a million orders.
    """
    # The driver directly: SQLAlchemy would read `:name` and `%` in the functions as parameters.
    connection: Any = op.get_bind().connection
    create, index = Path(__file__).with_suffix(".sql").read_text().split("-- filled here\n")
    cursor, found = connection.cursor(), connection.cursor("orders")
    cursor.execute(create)
    found.execute(_ORDERS)
    while rows := found.fetchmany(_CHUNK):
        filled = [
            {
                "order_id": order_id,
                "placed_at": placed_at,
                "words": words.of_texts(order_id, *texts, *skus),
            }
            for order_id, *texts, placed_at, skus in rows
        ]
        cursor.execute(_FILL, {"document": orjson.dumps(filled).decode()})
    found.close()
    cursor.execute(index)
