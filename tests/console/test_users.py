"""`users`: who may use the console, from the command line."""

import json

import pytest

from tests.work import rig
from worker.console import passwords


def test_a_user_comes_and_goes(cli, engine):
    """Added, listed, given another role, removed with all that was the user's; the audit has it."""
    added = cli("users", "add", "Kim", "--role", "agent", "--by", "boss")
    cli("users", "role", "kim", "operator", "--by", "boss")
    cli("users", "link", "kim", "--by", "boss")
    listed = json.loads(cli("users", "list", "--json").stdout)
    removed = cli("users", "remove", "kim", "--by", "boss")

    assert (added.exit_code, removed.exit_code) == (0, 0)
    assert (listed["name"], listed["role"]) == ("kim", "operator")
    assert rig.count(engine, "users") + rig.count(engine, "sign_in_links") == 0
    acts = ["user_added", "user_role_given", "user_link_made", "user_removed"]
    assert rig.rows(engine, "select actor, act from audit order by audit_id") == [
        ("boss", act) for act in acts
    ]


def test_a_password_is_kept_as_argon2_and_ends_sessions(cli, engine, session):
    """Read from stdin; whoever was signed in as the user is not any more."""
    session("viewer")

    done = cli("users", "password", "viewer", input="a long enough one\n")

    assert done.exit_code == 0
    (kept,) = rig.one(engine, "select hash from user_passwords")
    assert kept.startswith("$argon2id$")
    assert passwords.is_right("a long enough one", kept)
    assert "long enough" not in str(rig.dump(engine))
    assert rig.count(engine, "user_sessions") == 0


@pytest.mark.parametrize(
    ("words", "given", "refusal"),
    [
        (
            ("add", "kim", "--role", "boss"),
            "",
            (2, "--role: must be one of viewer, agent, operator"),
        ),
        (("add", "k m", "--role", "viewer"), "", (2, "NAME: at most 100 of a-z")),
        (("add", "viewer", "--role", "viewer"), "", (1, "user viewer is there already")),
        (("role", "kim", "viewer"), "", (4, "no user kim")),
        (("link", "kim"), "", (4, "no user kim")),
        (("remove", "kim"), "", (4, "no user kim")),
        (("password", "kim"), "a long enough one", (4, "no user kim")),
        (("password", "viewer"), "too short", (2, "the password must be 12 to 200 letters long")),
    ],
)
def test_what_is_refused(cli, engine, words, given, refusal):
    """An exit code and a sentence, and nothing is written."""
    cli("users", "add", "viewer", "--role", "viewer")
    before = rig.dump(engine)

    result = cli("users", *words, input=given)

    code, sentence = refusal
    assert (result.exit_code, sentence in result.stderr) == (code, True), result.stderr
    assert rig.dump(engine) == before
