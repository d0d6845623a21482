"""`schema`: the contract, printed where there is no server at all."""

import json

import pytest
from typer.testing import CliRunner

from messages import schema
from worker.cli.root import app

NO_SERVERS = {"DATABASE_URL": "", "REDIS_URL": "", "FULFILLMENT_ENV": "production"}


@pytest.mark.parametrize("words", [(), *((name,) for name in schema.NAMES)])
def test_it_prints_the_schema(words):
    """One JSON document on stdout: of any command, of one kind, or of the outcome."""
    result = CliRunner().invoke(app, ["schema", *words], env=NO_SERVERS)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == schema.schema(*words)


def test_another_name_is_wrong_usage():
    """The names are said, nothing is printed."""
    result = CliRunner().invoke(app, ["schema", "label"], env=NO_SERVERS)

    assert (result.exit_code, result.stdout) == (2, "")
    assert all(name in result.stderr for name in schema.NAMES)
