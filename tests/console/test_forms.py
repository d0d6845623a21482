"""No form passes that was not shown to whoever sends it."""

import pytest
from fastapi.routing import APIRoute

from messages.fields import MAX_LINES
from tests.console.pages import csrf
from tests.work import rig
from worker.console.app import ROUTERS

UNSAFE = [
    (method, route.path.replace("{token}", "x"))
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods - {"GET", "HEAD", "OPTIONS"}
]


@pytest.mark.parametrize(("method", "path"), UNSAFE)
def test_without_its_own_token_no_form_passes(sign_in, make_client, engine, method, path):
    """None, one that is made up, and one that was shown to somebody else are 403 on every page, and
    nothing is written, with a session as well.
    """
    client = sign_in("operator")
    other = csrf(make_client().get("/sign-in"))
    before = rig.dump(engine)

    answers = [
        client.request(method, path, data=fields, headers=headers)
        for fields, headers in (
            ({"next": "/orders"}, {}),
            ({"csrf": "0" * 64}, {}),
            ({"csrf": other}, {}),
            ({"next": "/orders"}, {"X-CSRF-Token": other}),
        )
    ]

    assert [one.status_code for one in answers] == [403] * 4
    assert rig.dump(engine) == before


def test_a_form_is_bounded_and_is_a_form(client, engine):
    """More than a megabyte is 413, JSON is 415, more fields than any order's lines have are 400;
    nothing is written. As many as the largest order's lines have are read.
    """
    token = {"X-CSRF-Token": csrf(client.get("/sign-in"))}

    large = client.post("/sign-in", data={"name": "x" * 2**20}, headers=token)
    other = client.post("/sign-in", json={"name": "x"}, headers=token)
    fields = {f"quantity.{n}": "1" for n in range(2 * MAX_LINES)}
    whole = client.post("/language", data=fields | {"language": "fr"}, headers=token)
    more = {f"field.{n}": "1" for n in range(101)}
    endless = client.post("/sign-in", data=fields | more, headers=token)

    assert (large.status_code, other.status_code) == (413, 415)
    assert (whole.status_code, endless.status_code) == (303, 400)
    assert rig.count(engine, "sign_in_tries") == 0
