"""`/audit`: who did what, page by page."""

import re

import pytest

from tests.console.pages import link, text
from tests.work import rig
from worker.work.audit import LIST_AUDIT, Act, record


def recorded(engine, actor, *acts):
    with engine.begin() as connection:
        record(connection, actor, [Act(act, order_id=order_id) for act, order_id in acts])


def shown(answer):
    """Who did what to which order, by the page."""
    rows = re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", answer.text, re.DOTALL)
    return [tuple(re.findall(r"<a [^>]*>(?:<code>)?([^<]+)", row)) for row in rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("actor=ann", [("replayed", "ann", "O-2"), ("edited", "ann", "O-1")]),
        ("act=edited", [("edited", "bob", "O-2"), ("edited", "ann", "O-1")]),
        ("order=O-2", [("edited", "bob", "O-2"), ("replayed", "ann", "O-2")]),
        ("actor=ann&act=edited", [("edited", "ann", "O-1")]),
        ("actor=nobody", []),
    ],
)
def test_filters(sign_in, engine, query, expected):
    """Each condition narrows the list down, the latest first."""
    recorded(engine, "ann", ("edited", "O-1"), ("replayed", "O-2"))
    recorded(engine, "bob", ("edited", "O-2"))

    assert shown(sign_in().get(f"/audit?{query}")) == expected


def test_pages_follow_each_other(sign_in, engine):
    """Next leads through all acts, each once, with the filters; Previous leads back."""
    recorded(engine, "ann", *(("edited", f"O-{n}") for n in range(70)))
    client = sign_in()

    first = client.get("/audit?actor=ann")
    second = client.get(link(first, "next"))
    back = client.get(link(second, "prev"))

    assert [one[2] for one in (*shown(first), *shown(second))] == [
        f"O-{n}" for n in range(69, -1, -1)
    ]
    assert (len(shown(first)), 'rel="next"' in second.text) == (50, False)
    assert shown(back) == shown(first)
    assert "Nobody did anything like that." in text(
        client.get("/audit?actor=x&after=9999999999999999999")
    )


def test_who_did_little_is_found_by_an_index(engine):
    """Among many acts of others, on a connection of the console's."""
    rig.run(engine, "insert into audit (actor, act) select 'ann', 'replayed'"
            " from generate_series(1, 5000)")  # fmt: skip
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("vacuum analyze audit")
    unpinned = rig.other_engine(engine.url.render_as_string(hide_password=False))
    asked = {"order_id": None, "actor": "bob", "act": None, "before": None, "limit": 51}

    with unpinned.connect() as connection:
        plan = connection.exec_driver_sql(f"explain {LIST_AUDIT}", asked).scalars().all()
    unpinned.dispose()

    assert "using audit_of_actor on audit" in plan[1]
