"""Ids within an order, which Square does not promise."""

from collections.abc import Sequence

from worker.intake.node import Node, by_id


def by_given_id(nodes: Sequence[Node], *keys: str) -> dict[str, Node]:
    """Nodes by their id; one without an id gets its position, which no other has."""
    given = [next((text for key in keys if (text := node.text(key))), None) for node in nodes]
    taken = set(given)
    ids = []
    for position, one in enumerate(given, start=1):
        uid = one or str(position)
        while one is None and uid in taken:
            uid += ".1"
        taken.add(uid)
        ids.append(uid)
    return by_id(zip(ids, nodes, strict=True), keys[-1])
