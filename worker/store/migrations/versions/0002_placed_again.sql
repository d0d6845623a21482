-- In which form upstream placed an order last: the command that brought it, so that the next form can
-- be compared with it.
alter table orders add column placed_by uuid;

update orders o set placed_by = c.id
from commands c where c.order_id = o.order_id and c.kind = 'place' and c.state = 'applied';
