"""Files of shipments over HTTP."""

from uuid import uuid4

import pytest

from tests.work import rig

GOOD = b"order,sku,quantity,carrier,tracking\nO-1,A,1,dhl,1\n"
BAD = b"order,line,quantity\nO-1,A,1\nO-1,A,x\n"
CSV = {"Content-Type": "text/csv"}


def test_a_file_is_a_job(client, engine, hints):
    """It is committed with the answer, under the address in `Location`; the same file is known."""
    answer = client.post("/v1/jobs?name=parcels.csv", content=GOOD, headers=CSV)
    again = client.post("/v1/jobs", content=GOOD, headers=CSV)
    shown = client.get(answer.headers["location"]).json()

    assert (answer.status_code, answer.json()["answer"]) == (202, "accepted")
    assert (again.status_code, again.json()["answer"]) == (202, "known")
    assert again.json()["job_id"] == answer.json()["job_id"]
    assert (shown["name"], shown["state"], shown["rows"], shown["sent"]) == (
        "parcels.csv",
        "pending",
        1,
        0,
    )
    assert hints.sent == 1
    assert [one["job_id"] for one in client.get("/v1/jobs").json()["jobs"]] == [shown["job_id"]]


def test_what_was_not_applied_comes_back(client, engine):
    """The same columns, and why: with the right type."""
    rig.placed(engine)
    address = client.post("/v1/jobs", content=BAD, headers=CSV).headers["location"]

    answer = client.get(f"{address}/rejects")

    assert answer.headers["content-type"].startswith("text/csv")
    header, *rows = answer.content.decode("utf-8-sig").splitlines()
    assert header == "order,line,quantity,reason"
    assert rows[-1].startswith("O-1,A,x,")


def test_cancel_and_resume(client, engine):
    """A job is called off once, goes on once, and whose key it was is in the audit."""
    address = client.post("/v1/jobs", content=GOOD, headers=CSV).headers["location"]

    answers = [client.post(f"{address}/{act}") for act in ("cancel", "cancel", "resume", "resume")]

    assert [one.status_code for one in answers] == [200, 409, 200, 409]
    assert [one.json().get("state") for one in answers] == ["cancelled", None, "pending", None]
    acts = rig.rows(engine, "select act, actor like 'key %%' from audit where act like 'job%%'")
    assert acts == [("job_cancelled", True), ("job_resumed", True)]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"", "headers": CSV}, 422),
        ({"content": b"a,b\n1,2\n", "headers": CSV}, 422),
        ({"content": GOOD, "headers": {"Content-Type": "application/json"}}, 415),
        ({"content": GOOD, "headers": CSV | {"Content-Encoding": "gzip"}}, 415),
        ({"content": GOOD + b"O-1,A,1,dhl,2\n" * 100, "headers": CSV}, 413),
    ],
)
def test_no_files(make_client, everything, engine, sent, status):
    """What is no file of shipments, not said to be one, or too large is refused, and not loaded."""
    client = make_client(everything, web_max_file_bytes=1024)

    assert client.post("/v1/jobs", **sent).status_code == status
    assert rig.count(engine, "jobs") == rig.count(engine, "job_rows") == 0


def test_others_jobs(make_client, add_key, client):
    """A key that is not for shipments loads and stops nothing, and sees nothing without reading."""
    address = client.post("/v1/jobs", content=GOOD, headers=CSV).headers["location"]
    refunds = make_client(add_key("refund"))

    assert refunds.post("/v1/jobs", content=GOOD, headers=CSV).status_code == 403
    assert refunds.post(f"{address}/cancel").status_code == 403
    assert refunds.get(address).status_code == 403
    assert client.get(address).json()["state"] == "pending"
    assert client.get(f"/v1/jobs/{uuid4()}").status_code == 404
