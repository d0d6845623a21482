"""Migrations are rolled out before the programs that need them, while others work: what would hold
those up, or take away what they need, is refused.

squawk knows PostgreSQL's locks, `MORE` is what it does not look at. Where a statement is right all
the same, it is preceded by the reason and by `-- squawk-ignore RULE`.
"""

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from worker.doctor import MIN_POSTGRESQL
from worker.store.fit import MIGRATIONS

BEFORE = "0014"
"""What is older nobody looked at, and the files stay as they are."""
OUR_WAY = (
    "prefer-robust-stmts",  # each migration is a transaction
    "require-timeout-settings",  # worker/store/schema.py sets them
    "require-lock-timeout",
    "require-statement-timeout",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "require-table-schema",
)
"""Rules about other things than locks and old programs."""
TAKING_AWAY = {
    "ban-drop-column",
    "ban-drop-table",
    "renaming-column",
    "renaming-table",
    "changing-column-type",
    "adding-required-field",
    "dropping-what-is-called",
}
"""Old programs cannot work with what comes of these."""
MORE = {
    "dropping-what-is-called": r"drop (function|procedure|view|type|trigger)",
    # Rows stay locked until the end of the migration, however many there are.
    "changing-rows": r"(update|delete|merge|truncate)",
    "locking-a-table": r"lock",
}
"""Rules of our own: how a statement begins."""

SQL = sorted(path for path in MIGRATIONS.glob("*.sql") if path.name > BEFORE)


@pytest.fixture(scope="session")
def squawk():
    """The rules that a file breaks, by line."""
    program = shutil.which("squawk", path=sysconfig.get_path("scripts"))
    if not program:
        pytest.skip("squawk-cli is not installed: migrations are not looked at")

    def broken(path):
        command = [program, "--reporter=json", "--assume-in-transaction"]
        command += [f"--pg-version={MIN_POSTGRESQL}.0", f"--exclude={','.join(OUR_WAY)}"]
        done = subprocess.run(
            [*command, str(path)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode in {0, 1}, done.stderr
        known = [(one["line"], one["rule_name"]) for one in json.loads(done.stdout)]
        return known + more(path.read_text().splitlines())

    return broken


def more(lines):
    """Our rules that statements break. A statement begins at the margin, the inside of a function
    does not.
    """
    return [
        (number, rule)
        for number, line in enumerate(lines)
        for rule, start in MORE.items()
        if re.match(rf"{start}\b", line, re.IGNORECASE)
        and not re.match(rf"-- squawk-ignore\b.*\b{rule}\b", lines[number - 1] if number else "")
    ]


@pytest.mark.parametrize("path", SQL, ids=lambda path: path.stem)
def test_a_migration_holds_up_nobody(squawk, path):
    """No statement keeps a lock that others need, or takes away what old programs need, without a
    reason; one that takes away says from which version on programs can do without.
    """
    assert squawk(path) == []
    assert list(unsaid(path)) == []


def unsaid(path):
    """What a migration that breaks rules does not say."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if found := re.match(r"-- squawk-ignore(?:-file)?\b(.*)", line):
            rules = set(re.findall(r"[a-z-]+", found[1]))
            if not rules:
                yield f"{number + 1}: which rule?"
            if not re.match(r"-- (?!squawk)", lines[number - 1]):
                yield f"{number + 1}: why?"
            if rules & TAKING_AWAY and not any(map(floor_below(path), lines)):
                yield f"{number + 1}: since which version before can programs do without?"


def floor_below(path):
    """Whether a line says it. The version before has to do without, so it is none of this one."""

    def says(line):
        found = re.fullmatch(r"comment on table alembic_version is '(\d{4})';", line)
        return bool(found) and found[1] < path.name[:4] and any(MIGRATIONS.glob(f"{found[1]}_*.py"))

    return says


@pytest.mark.parametrize(
    ("line", "is_said"),
    [
        ("", False),
        ("comment on table alembic_version is '0000';", False),
        ("comment on table alembic_version is '0016';", False),
        ("comment on table alembic_version is '0015';", True),
    ],
)
def test_what_takes_away_says_who_can_do_without(squawk, tmp_path, line, is_said):
    """What takes away names an older migration that there is: the version before knew it."""
    path = tmp_path / "0016_contract.sql"
    drop = "-- Nobody reads it any more.\n-- squawk-ignore ban-drop-column\n"
    path.write_text(f"{drop}alter table orders drop column number;\n{line}\n")

    assert squawk(path) == []
    assert list(unsaid(path)) == (
        [] if is_said else ["2: since which version before can programs do without?"]
    )


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("create index on commands (kind);", "require-concurrent-index-creation"),
        (
            "alter table orders add column n uuid default gen_random_uuid();",
            "adding-field-with-default",
        ),
        ("alter table orders alter column version type bigint;", "changing-column-type"),
        ("alter table orders alter column number set not null;", "adding-not-nullable-field"),
        (
            "alter table orders add constraint more check (version > 0);",
            "constraint-missing-not-valid",
        ),
        ("alter table orders drop column number;", "ban-drop-column"),
        ("alter table orders rename column number to name;", "renaming-column"),
        ("drop function number_events;", "dropping-what-is-called"),
        ("update orders set number = order_id;", "changing-rows"),
        ("lock table orders;", "locking-a-table"),
    ],
)
def test_what_is_refused(squawk, tmp_path, statement, rule):
    """Statements that read or rewrite a table under its lock, hold many rows, or take away what old
    programs call.
    """
    path = tmp_path / "9999_wrong.sql"
    path.write_text(statement)

    assert rule in [name for _, name in squawk(path)]


def test_a_new_table_is_nobodys_yet(squawk, tmp_path):
    """What is made in the same migration holds up nobody."""
    path = tmp_path / "9999_right.sql"
    path.write_text("create table new (id uuid primary key, n text);\ncreate index on new (n);\n")

    assert squawk(path) == []


def test_every_migration_has_its_file():
    """A migration is SQL beside a few lines of Python, so that all of it is looked at, or it builds
    an index by `worker/store/migrations/indexes.py`.
    """
    python = {
        path.stem
        for path in MIGRATIONS.glob("[0-9]*.py")
        if path.name > BEFORE and "indexes.build(" not in path.read_text()
    }

    assert python == {path.stem for path in map(Path, SQL)}
