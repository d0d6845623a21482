"""Signing in: by password and by link, how long it lasts, and who may do what."""

import hashlib

import pytest
from starlette.requests import Request

from tests.console.pages import csrf, send, text
from tests.work import rig
from worker.console import passwords, users
from worker.console.address import address_of
from worker.console.sessions import IDLE_S, LONGEST_S
from worker.console.tries import PER_NAME, WINDOW_S
from worker.console.users import ROLES, may
from worker.console.visit import SESSION
from worker.settings import Settings

PASSWORD = "correct horse battery"


@pytest.fixture
def kim(engine):
    """A user with a password."""
    with engine.begin() as connection:
        users.add(connection, "test", "kim", "agent")
        users.set_password(connection, "test", "kim", passwords.hashed(PASSWORD))
    return {"name": "kim", "password": PASSWORD}


def test_by_name_and_password(client, engine, kim):
    """The right password leads on to where one was going; the session is a cookie that no script
    reads, of which the database has a hash; the audit says so.
    """
    asked = client.get("/orders?search=O-1")
    assert asked.headers["location"] == "/sign-in?next=%2Forders%3Fsearch%3DO-1"
    shown = client.get(asked.headers["location"])

    answer = send(
        client, "/sign-in", shown, next="/orders?search=O-1", name=" Kim ", password=PASSWORD
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/orders?search=O-1")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{SESSION}=")
    assert {"HttpOnly", "SameSite=lax", f"Max-Age={LONGEST_S}", "Path=/"} <= set(
        cookie.partition(", fulfillment_visitor")[0].split("; ")
    )
    assert "Secure" not in cookie
    assert client.get("/orders").status_code == 200
    assert client.cookies[SESSION] not in str(rig.dump(engine))
    assert rig.rows(
        engine, "select actor, act, details ->> 'by' from audit order by audit_id offset 2"
    ) == [("kim", "signed_in", "password")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "correct horse batterY"},
        {"password": ""},
        {"name": "nobody"},
        {"name": "a\x00b"},
        {"password": "x" * 10_000},
    ],
)
def test_a_wrong_name_or_password(client, engine, kim, wrong):
    """401 with the same words, whatever is wrong; no session, no audit."""
    before = rig.count(engine, "audit")

    answer = send(client, "/sign-in", **kim | wrong)

    assert answer.status_code == 401
    assert "Name or password is wrong." in text(answer)
    assert SESSION not in client.cookies
    assert (rig.count(engine, "user_sessions"), rig.count(engine, "audit")) == (0, before)


def test_too_many_tries(make_client, engine, kim):
    """After so many wrong ones even the right password is 429 with when to come again, in every
    process; after that time it is right again. What was typed is kept as a hash.
    """
    one, other = make_client(), make_client()
    rig.run(
        engine,
        "insert into sign_in_tries select sha256('name kim'::bytea), %(count)s, now()",
        count=PER_NAME - 1,
    )
    wrong = kim | {"password": "wrong"}

    assert send(one, "/sign-in", **wrong).status_code == 401
    held_off = send(other, "/sign-in", **kim)
    assert held_off.status_code == 429
    assert WINDOW_S - 60 < int(held_off.headers["retry-after"]) <= WINDOW_S
    assert "Try again in 15 minutes" in text(held_off)
    assert rig.count(engine, "user_sessions") == 0
    assert "kim" not in str(rig.dump(engine, ("sign_in_tries",)))

    rig.run(
        engine, "update sign_in_tries set since = since - make_interval(secs => %(s)s)", s=WINDOW_S
    )
    assert send(other, "/sign-in", **kim).status_code == 303


def test_a_link_works_once(client, engine, cli):
    """`users link` prints it; looking uses it up for nobody; used or old it is none."""
    cli("users", "add", "kim", "--role", "operator")
    links = [
        cli("users", "link", "kim", "--url", "https://x.example/").stdout.strip() for _ in "12"
    ]
    first, second = (link.removeprefix("https://x.example") for link in links)
    shown = [client.get(first), client.get(first)][-1]
    assert "Sign in as kim" in text(shown)
    rig.run(
        engine,
        "update sign_in_links set expires_at = now() where sha256 <> %(one)s",
        one=sha256(first),
    )

    used = send(client, first, shown)
    shown = client.get("/orders")
    again = send(client, first, shown)

    assert (used.status_code, used.headers["location"]) == (303, "/orders")
    assert again.status_code == client.get(first).status_code == 404
    assert client.get(second).status_code == send(client, second, shown).status_code == 404
    assert rig.count(engine, "user_sessions") == 1
    assert first.rpartition("/")[2] not in str(rig.dump(engine))


def sha256(link):
    return hashlib.sha256(link.rpartition("/")[2].encode()).digest()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("update user_sessions set expires_at = now()", 303),
        ("delete from users", 303),
        ("update user_sessions set seen_at = now() - interval '2 minutes'", 200),
    ],
)
def test_a_session_ends(sign_in, engine, change, status):
    """With its time, and with its user; whoever is seen moves its end on."""
    client = sign_in()
    rig.run(engine, change)

    assert client.get("/orders").status_code == status


def test_a_session_is_at_most_a_working_day(sign_in, engine):
    """Being seen moves the end on by the idle time, and never beyond the longest."""
    client = sign_in()

    def left_s(age_s):
        rig.run(
            engine,
            "update user_sessions set seen_at = now() - interval '2 minutes',"
            " begun_at = now() - make_interval(secs => %(age_s)s)",
            age_s=age_s,
        )
        client.get("/orders")
        return rig.one(
            engine, "select extract(epoch from expires_at - seen_at)::integer from user_sessions"
        )[0]

    assert left_s(60) == IDLE_S
    assert left_s(LONGEST_S - 600) == 600


def test_signing_out_ends_the_session_everywhere(sign_in, engine):
    """The cookie and the row are gone; the audit says so."""
    client = sign_in()
    shown = client.get("/orders")

    answer = send(client, "/sign-out", shown)

    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert f'{SESSION}=""' in answer.headers["set-cookie"]
    assert rig.count(engine, "user_sessions") == 0
    assert rig.one(engine, "select actor, act from audit order by audit_id desc") == (
        "viewer",
        "signed_out",
    )


def test_without_a_user_the_page_says_how_to_make_one(client, cli):
    """Nobody can sign in to a console without users; it says what to type, until there is one."""
    assert "fulfillment users add NAME" in text(client.get("/sign-in"))

    cli("users", "add", "kim", "--role", "viewer")

    assert "fulfillment users add NAME" not in text(client.get("/sign-in"))


@pytest.mark.parametrize(
    "going_on", ["//evil.example", "/\\evil.example", "https://evil.example", ""]
)
def test_signing_in_leads_nowhere_else(client, engine, kim, going_on):
    """Only to addresses of the console."""
    assert send(client, "/sign-in", **kim, next=going_on).headers["location"] == "/orders"


def test_behind_tls_the_cookie_is_for_tls_alone(make_client, kim):
    """Where the browser speaks TLS, to us or to a proxy that says so."""
    client = make_client(base_url="https://console.example")
    proxied = make_client()
    proxied.headers["X-Forwarded-Proto"] = "https"

    for one in (client, proxied):
        shown = one.get("/sign-in")
        answer = one.post(
            "/sign-in",
            data=kim | {"csrf": csrf(shown)},
            headers={"Cookie": shown.headers["set-cookie"].partition(";")[0]},
        )
        assert "Secure" in answer.headers["set-cookie"]


def test_a_key_of_v1_is_no_session_and_a_session_no_key(sign_in, engine, add_key):
    """Each opens its own door only."""
    key = add_key(may_read=True)
    client = sign_in("operator")
    token = client.cookies[SESSION]

    assert client.get("/v1/orders").status_code == 401
    assert client.get("/v1/orders", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    client.cookies.clear()
    assert client.get("/orders", headers={"Authorization": f"Bearer {key}"}).status_code == 303
    client.cookies.set(SESSION, key)
    assert client.get("/orders").status_code == 303


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7, 10.0.0.5", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7, nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("2001:db8::1:2:3:4", "", "2001:db8::/64"),
        ("", "", ""),
    ],
)
def test_whose_address_is_counted(peer, told, address):
    """The nearest that is no proxy of the settings; of IPv6 the network, which one person has all
    of; what anybody else says of itself is not believed.
    """
    scope = {
        "type": "http",
        "client": (peer, 1) if peer else None,
        "headers": [(b"x-forwarded-for", told.encode())] if told else [],
    }

    assert address_of(Request(scope), Settings(web_proxies="127.0.0.1,10.0.0.0/8").web_proxies) == (
        address
    )


def test_nobodys_password_is_never_right():
    """What an unknown name is compared with, to take as long, lets nobody in."""
    assert passwords.is_right("nobody has this password", None) is False


def test_roles_include_those_before():
    """An operator may do what an agent may, an agent what a viewer may, and not the other way."""
    assert [[may(role, needed) for needed in ROLES] for role in ROLES] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
