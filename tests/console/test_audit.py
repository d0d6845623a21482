"""`/audit`: who did what, page by page."""

import re

import pytest

from tests.console.pages import link, text
from worker.work.audit import Act, record


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
