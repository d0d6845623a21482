"""`/jobs`: files of shipments, handed in, followed, stopped; what comes back of them."""

from uuid import uuid4

import pytest

from tests.console.pages import csrf, send, text
from tests.work import rig

GOOD = b"order,line,quantity,carrier,tracking\nO-1,A,1,dhl,1\n"
BAD = b"order,line,quantity,note\nO-1,A,1,=1+1\nO-1,A,x,=1+1\n"
FILE = "application/octet-stream"


def upload(client, content, query="name=parcels.csv", *, kind=FILE, token=None):
    """Send a file as the page's script does."""
    headers = {"X-CSRF-Token": token or csrf(client.get("/jobs")), "Content-Type": kind}
    headers |= {"HX-Request": "true"}
    return client.post(f"/jobs?{query}", content=content, headers=headers)


def test_a_file_is_checked_and_sent(sign_in, engine):
    """A check says what would become of its rows and writes nothing; then it is a job, the same one
    when it is sent again, in the name of who sent it.
    """
    rig.placed(engine)
    client = sign_in("agent")
    before = rig.dump(engine)

    check = upload(client, GOOD, "name=parcels.csv&check=true")
    assert "Nothing was sent." in text(check)
    assert "Applied: 1" in text(check)
    assert rig.dump(engine) == before

    sent, again = (upload(client, GOOD, "name=a%2Fparcels.csv&batch=May") for _ in "12")
    assert sent.status_code == 204
    assert sent.headers["hx-redirect"] == again.headers["hx-redirect"]
    assert rig.rows(engine, "select name, issued_by, options ->> 'batch' from jobs") == [
        ("parcels.csv", "agent", "May")
    ]
    assert "parcels.csv In progress" in text(client.get("/jobs"))


def test_a_job_and_what_comes_back(sign_in, engine):
    """How far it is, what became of its rows and why; a file of those to correct, in which no
    spreadsheet runs a cell.
    """
    rig.placed(engine)
    path = upload(sign_in("agent"), BAD).headers["hx-redirect"]
    client = sign_in()

    shown, file = client.get(path), client.get(f"{path}/rejects")

    assert "0 / 2" in text(shown)
    assert "Refused: 1" in text(shown)
    assert file.headers["content-disposition"] == (
        f'attachment; filename="{path.removeprefix("/jobs/")}.rejects.csv"'
    )
    header, row = file.content.decode("utf-8-sig").splitlines()
    assert header == "order,line,quantity,note,reason"
    assert row.startswith("O-1,A,x,'=1+1,")


def test_a_job_is_stopped_and_goes_on(sign_in, engine):
    """Each once, by an operator, under that name."""
    path = upload(sign_in("agent"), GOOD).headers["hx-redirect"]
    client = sign_in("operator")
    shown = client.get(path)

    answers = [
        send(client, f"{path}/{act}", shown).status_code
        for act in ("cancel", "cancel", "resume", "resume")
    ]

    assert answers == [303, 409, 303, 409]
    assert rig.rows(engine, "select actor, act from audit where act like 'job%%'"
                    " order by audit_id") == [
        ("operator", "job_cancelled"),
        ("operator", "job_resumed"),
    ]  # fmt: skip
    assert text(client.get("/jobs?state=cancelled")).count("parcels.csv") == 0
    assert client.get(f"/jobs/{uuid4()}").status_code == 404


@pytest.mark.parametrize(
    ("role", "sent", "status"),
    [
        ("viewer", (GOOD, FILE, ""), 403),
        ("agent", (b"", FILE, ""), 422),
        ("agent", (b"a,b\n1,2\n", FILE, "check=true"), 422),
        ("agent", (GOOD, "text/csv", ""), 415),
        ("agent", (GOOD + b"O-1,A,1,dhl,2\n" * 100, FILE, ""), 413),
        ("agent", (GOOD, FILE, "batch=%0A%01"), 422),
    ],
)
def test_no_files(sign_in, engine, role, sent, status):
    """Who may not, what is no file of shipments, or too large: nothing is loaded."""
    client, (content, kind, query) = sign_in(role, web_max_file_bytes=1024), sent

    assert upload(client, content, query, kind=kind).status_code == status
    assert rig.count(engine, "jobs") == rig.count(engine, "job_rows") == 0


def test_a_file_of_another_page(sign_in, make_client, engine):
    """The token of somebody else's page, and none, send nothing."""
    client = sign_in("operator")
    other = csrf(make_client().get("/sign-in"))

    assert upload(client, GOOD, token=other).status_code == 403
    bare = client.post("/jobs", content=GOOD, headers={"Content-Type": FILE})
    assert bare.status_code == 415
    assert rig.count(engine, "jobs") == 0


@pytest.mark.parametrize("act", ["cancel", "resume"])
def test_only_operators_stop_jobs(sign_in, engine, act):
    """Who sent a file does not stop it: nothing is written."""
    client = sign_in("agent")
    path = upload(client, GOOD).headers["hx-redirect"]
    token, before = csrf(client.get("/jobs")), rig.dump(engine)

    assert client.post(f"{path}/{act}", data={"csrf": token}).status_code == 403
    assert rig.dump(engine) == before
