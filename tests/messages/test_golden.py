"""The contract held: what was readable once is readable for ever, and means the same."""

import hashlib
import json
from itertools import pairwise

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from messages import Applied, InvalidCommand, Outcome, Reason, parse, schema
from messages.commands import SCHEMA_VERSION
from messages.wire import KINDS
from tests import factories as make
from tests.messages import golden_files as golden
from tests.work import rig

ADD = "A golden file was changed. Producers and rows rely on it: add a file, never change one."
COMMANDS = golden.names("commands")
OUTCOMES = golden.names("outcomes")


def test_no_golden_file_was_changed():
    """Each file has the SHA-256 that the manifest pins, and each is in the manifest."""
    lines = (golden.FOLDER / "manifest.sha256").read_text().splitlines()
    pinned = {name: digest for digest, name in (line.split("  ") for line in lines)}

    found = {
        str(path.relative_to(golden.FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in golden.FOLDER.rglob("*.json")
    }

    assert {name: found.get(name) for name in pinned} == pinned, ADD
    assert found.keys() == pinned.keys(), "A new golden file: add its line to manifest.sha256."


def test_every_kind_of_this_version_has_golden_files():
    """A new version of the contract brings a minimal and a full body of each kind, outcomes and
    schemas.
    """
    version = f"v{SCHEMA_VERSION}"

    assert {
        *(f"{version}/commands/{kind}.{which}.json" for kind in KINDS for which in GIVEN),
        *(f"{version}/outcomes/{state}.json" for state in ("applied", "rejected")),
        *(f"{version}/schemas/{name}.1.json" for name in schema.NAMES),
    } <= {*COMMANDS, *OUTCOMES, *golden.names("schemas")}


GIVEN = ("minimal", "full")


@pytest.mark.parametrize("kind", KINDS)
def test_full_bodies_say_every_field(kind):
    """The full bodies of a kind hold each field that its schema has, down to the last."""
    found = schema.schema(kind)
    said = set()
    for name in golden.names("commands", f"v{SCHEMA_VERSION}"):
        if f"/{kind}.full" in name:
            said |= paths(golden.read(name)["sent"])

    assert said == schema_paths(found, found.get("$defs", {}))


def paths(value, path=""):
    """Where fields are: `items.quantity`."""
    if isinstance(value, list):
        return set().union(*(paths(one, path) for one in value))
    if not isinstance(value, dict):
        return {path}
    return set().union(*(paths(one, f"{path}.{field}") for field, one in value.items()))


def schema_paths(part, definitions, path=""):
    """The same, of what a schema allows."""
    if "$ref" in part:
        return schema_paths(definitions[part["$ref"].rsplit("/", 1)[1]], definitions, path)
    if "properties" in part:
        fields = part["properties"].items()
        return set().union(*(schema_paths(one, definitions, f"{path}.{f}") for f, one in fields))
    if "items" in part:
        return schema_paths(part["items"], definitions, path)
    inner = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    return set().union(*(schema_paths(one, definitions, path) for one in inner)) or {path}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_golden_body_parses_as_ever(name):
    """It is valid, and its canonical body is what it was."""
    file = golden.read(name)

    assert parse(json.dumps(file["sent"])).body() == file["canonical"]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_says_nothing_new_is_read_by_older_workers(name):
    """A body that some version could read as it was sent is also valid by that version's schema as
    we send it today: a new producer speaks to old workers, as long as it says nothing new. What the
    first version could say, it reads to this day.
    """
    sent = golden.read(name)["sent"]
    versions = list(map(Draft202012Validator, golden.snapshots(SCHEMA_VERSION, sent["kind"])))

    readers = [one for one in versions if one.is_valid(sent)]

    assert readers
    assert readers == versions or name.split(".")[1] not in GIVEN
    for one in readers:
        one.validate(parse(json.dumps(sent)).body())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_golden_body_fits_the_schema(name):
    """As sent and in its canonical form, by its kind's schema and by that of all."""
    file = golden.read(name)

    for body in (file["sent"], file["canonical"]):
        golden.validator(body["kind"]).validate(body)
        golden.validator().validate(body)


def test_golden_fingerprints_stay(engine):
    """PostgreSQL gives each golden command the fingerprint that it always had."""
    files = [golden.read(name) for name in COMMANDS]

    rig.accepted(engine, *(parse(json.dumps(file["sent"])) for file in files))

    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "select id::text, encode(fingerprint, 'hex'), body from commands"
        ).all()
    assert {row_id: (fingerprint, body) for row_id, fingerprint, body in rows} == {
        file["canonical"]["command_id"]: (file["fingerprint"], file["canonical"]) for file in files
    }


@pytest.mark.parametrize("name", OUTCOMES)
def test_golden_outcomes_are_readable(name):
    """Each is read, nothing of it gets lost, and it fits the schema."""
    adapter = TypeAdapter(Outcome)

    for stored in golden.read(name):
        read = adapter.validate_json(json.dumps(stored))
        assert stored.items() <= read.model_dump(mode="json").items()
        golden.validator("outcome").validate(stored)


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_are_read_by_older_producers(name):
    """Whatever an outcome says, now or then, is valid by the schema that producers had at first."""
    first, *_ = golden.snapshots(SCHEMA_VERSION, "outcome")

    for stored in golden.read(name):
        Draft202012Validator(first).validate(stored)


def test_outcomes_may_grow():
    """A producer reads the outcome of a later version that tells more, and skips what it does not
    know; a command with an unknown field is refused all the same.
    """
    later = {"state": "applied", "order_version": 2, "carbon_g": 40}

    assert Applied.model_validate(later) == Applied(order_version=2)
    with pytest.raises(InvalidCommand, match="unknown field"):
        parse(json.dumps(make.ship().body() | {"carbon_g": 40}))


def test_every_reason_is_golden():
    """No reason's code is changed or dropped, and a new one brings an outcome with it."""
    rejected = [one for name in OUTCOMES if "/rejected" in name for one in golden.read(name)]

    assert {one["reason"] for one in rejected} == set(Reason)


@pytest.mark.parametrize("name", schema.NAMES)
def test_the_newest_snapshot_is_the_schema(name):
    """What the schema says beside words is written down. What is added to it comes as a further
    snapshot.
    """
    kept = golden.snapshots(SCHEMA_VERSION, name)

    assert bare(schema.schema(name)) == bare(kept[-1]), (
        f"The schema was changed. If something optional was added, write the new one to"
        f" golden/v{SCHEMA_VERSION}/schemas/{name}.{len(kept) + 1}.json; else it is a new version."
    )


@pytest.mark.parametrize("name", schema.NAMES)
def test_snapshots_only_gain_optional_fields(name):
    """From one snapshot to the next no field is lost, and none becomes required."""
    grown = [*golden.snapshots(SCHEMA_VERSION, name), schema.schema(name)]

    for old, new in pairwise(map(fields, grown)):
        assert old.keys() <= new.keys()
        for where, known in old.items():
            assert known.keys() <= new[where].keys()
            assert {field for field, is_required in new[where].items() if is_required} <= {
                field for field, is_required in known.items() if is_required
            }


def fields(found):
    """Per object of a schema, its fields and whether they are required."""
    return {
        where: {field: field in one.get("required", ()) for field in one["properties"]}
        for where, one in {"": found, **found.get("$defs", {})}.items()
        if "properties" in one
    }


def bare(found):
    """The schema without its words."""
    if isinstance(found, list):
        return [bare(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        key: bare(value)
        for key, value in found.items()
        if not (key in {"description", "title"} and isinstance(value, str))
    }
