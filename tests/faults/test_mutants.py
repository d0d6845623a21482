"""The checker can fail: bugs that are planted are caught, and what has none is not."""

import pytest

from tests.faults import provocations
from tests.faults.checker import LAWS
from tests.faults.mutants import MUTANTS, definition, is_in_database, source, tried
from tests.faults.provocations import CHECKS

SEED = 1


@pytest.mark.parametrize("name", MUTANTS)
def test_the_code_still_has_what_the_bug_replaces(name):
    """Each edit of a module finds its text once, and leaves something that compiles."""
    for edit in MUTANTS[name].edits:
        if not is_in_database(edit):
            text = edit.of(source(edit))
            compile(text, edit.where, "exec")


def test_the_database_still_has_what_the_bugs_replace(engine):
    """Likewise for functions of the database."""
    edits = [one for mutant in MUTANTS.values() for one in mutant.edits if is_in_database(one)]
    assert edits
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        for edit in edits:
            assert edit.of(definition(edit, raw)) != definition(edit, raw)


def test_text_that_is_there_twice_is_refused():
    """A bug is planted at the one place that was meant, or not at all."""
    edit = MUTANTS["no_ticker"].edits[0]
    with pytest.raises(LookupError, match="has this 0 times, not once"):
        edit.of("")
    with pytest.raises(LookupError, match="has this 2 times, not once"):
        edit.of(edit.old * 2)


def test_each_bug_names_checks_that_there_are():
    """And a run that there is."""
    for one in MUTANTS.values():
        assert {*one.checks} <= LAWS.keys() | CHECKS
        assert callable(getattr(provocations, one.run))


@pytest.mark.heavy
def test_a_run_without_a_bug_finds_nothing():
    """Whoever is caught below is caught for the bug; `make mutants` does so before every run."""
    assert provocations.unhinted(SEED) == []


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["lost_batch_mate", "no_fingerprint"])
def test_a_planted_bug_is_named(name):
    """Two of all that `make mutants` plants; the run without a bug is theirs too."""
    assert tried(MUTANTS[name], SEED).caught
