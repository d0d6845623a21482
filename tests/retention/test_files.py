"""Files that are removed by age, and what is said of them afterwards."""

import os
import time

import pytest

from tests.labels import lab
from tests.retention.conftest import later
from tests.work import rig
from worker.emails.route import emails_route
from worker.errors import Transient
from worker.labels.making import labels_route


@pytest.fixture
def shipped(engine, config):
    """A parcel with its label, its slip and its e-mail, all as files."""
    lab.placed(engine, customer={"email": "customer@shop.invalid"})
    ship = lab.ship()
    rig.decided(engine, ship)
    rig.drain_of(labels_route(engine, config), engine)()
    rig.drain_of(emails_route(engine, config), engine)()
    return ship


def files_of(config):
    return sorted(path.suffix for path in config.state_dir.rglob("*") if path.is_file())


def age(config, days):
    """Let days pass for files."""
    for path in config.state_dir.rglob("*"):
        if path.is_file():
            at = path.stat().st_mtime - days * 86_400
            os.utime(path, (at, at))


def test_old_labels_and_emails_go(engine, config, prune, shipped):
    """Their files are removed; the rows keep which they were, and say when that was."""
    assert files_of(config) == [".eml", ".pdf", ".pdf", ".zpl"]
    kept = rig.rows(engine, "select kind, sha256 from documents order by kind")
    later(engine, 91)
    age(config, 91)

    assert prune(dry_run=True) == {"bodies": 1, "emails": 1, "labels": 3}
    assert len(files_of(config)) == 4
    assert prune() == {"bodies": 1, "emails": 1, "labels": 3}
    assert files_of(config) == []
    rows = rig.rows(
        engine, "select kind, sha256 from documents where pruned_at is not null order by kind"
    )
    assert rows == kept


def test_each_has_its_own_age(engine, config, prune, shipped):
    """Labels can be kept for less long than e-mails."""
    later(engine, 31)
    age(config, 31)

    assert prune(keep_labels_days=30) == {"labels": 3}
    assert files_of(config) == [".eml"]


def test_others_files_stay(config, prune):
    """What is not ours stays in the folder of e-mails, however old; what a writer that died left
    behind goes.
    """
    folder = config.state_dir / "mail"
    folder.mkdir()
    for name in ("readme.txt", "list.eml", ".keep", ".abc.part"):
        (folder / name).touch()
    age(config, 91)

    assert prune() == {"emails": 1}
    assert {path.name for path in folder.iterdir()} == {"readme.txt", "list.eml", ".keep"}


def test_a_file_that_two_rows_name_stays(engine, config, prune, shipped):
    """Equal labels are one file: it goes with the last row that names it."""
    lab.placed(engine, order_id="O-2")
    other = lab.ship(order_id="O-2")
    rig.decided(engine, other)
    rig.run(
        engine,
        "insert into documents (shipment_id, kind, sha256, size_bytes, made_at)"
        " select %(id)s, kind, sha256, size_bytes, now() + interval '9 years' from documents",
        id=other.command_id,
    )
    later(engine, 91)
    age(config, 91)

    prune(keep_payloads_days=0)

    assert rig.count(engine, "documents", "pruned_at is not null") == 3
    assert files_of(config) == [".eml", ".pdf", ".pdf", ".zpl"]


def test_printing_a_pruned_label(engine, config, prune, shipped, cli):
    """It says so, and when, instead of drawing another; the list marks its files."""
    later(engine, 91)
    age(config, 91)
    prune()
    today = time.strftime("%Y-%m-%d", time.gmtime())

    printed = cli("labels", "print", shipped.command_id)

    assert printed.exit_code == 1
    assert printed.stdout == ""
    assert printed.stderr == f"shipment 1: its label_pdf was pruned on {today}\n"
    assert "label_pdf (pruned)" in cli("labels", "list", "--order", "O-1").stdout


def test_a_label_that_is_made_again_is_kept_again(engine, config, prune, shipped):
    """Made once more after it was pruned, it is named by its row as before."""
    later(engine, 91)
    age(config, 91)
    prune()

    rig.run(
        engine,
        "update followups set state = 'pending', decided_at = null, next_at = now()"
        " where route = 'labels'",
    )
    rig.drain_of(labels_route(engine, config), engine)()

    assert rig.count(engine, "documents", "pruned_at is null") == 3
    assert files_of(config) == [".pdf", ".pdf", ".zpl"]


def test_the_store_refuses(engine, config, prune, shipped):
    """A store that cannot be used stops the run; the files are orphans then, and go as such."""
    later(engine, 91)
    age(config, 91)
    no_folder = config.state_dir / "no folder"
    no_folder.touch()

    with pytest.raises(Transient, match="the label store refuses"):
        prune(label_store=str(no_folder))
    no_folder.unlink()

    assert files_of(config) == [".pdf", ".pdf", ".zpl"]
    assert prune() == {"orphans": 3}
    assert files_of(config) == []
