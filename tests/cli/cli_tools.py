"""What the tests of the command line share beside their fixtures."""

import os
from collections.abc import Sequence

import orjson
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from messages import Payment, PlacedOrder
from tests.factories import placed_order
from worker.cli.root import app


def paid_order(*lines, **fields) -> PlacedOrder:
    """An order as it is sent, paid in full by P1."""
    order = placed_order(*lines, **fields)
    payment = Payment(payment_id="P1", captured_minor=order.total_minor)
    return order.model_copy(update={"payments": (payment,)})


def invoke(
    words: Sequence[str], environment: dict[str, str], *, stdin: str | bytes | None = None
) -> Result:
    """Run `fulfillment` in this process; what it raises but for its exit is a bug."""
    result = CliRunner().invoke(app, words, env=environment, input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def json_of(result: Result) -> dict:
    """The one object on stdout."""
    return orjson.loads(result.stdout)


def rows_of(result: Result) -> list[dict]:
    """The objects of NDJSON."""
    return [orjson.loads(line) for line in result.stdout.splitlines()]


def table_of(result: Result) -> list[list[str]]:
    """The words of each printed line."""
    return [line.split() for line in result.stdout.splitlines()]


def one(engine: Engine, statement: str, **parameters):
    """A single value from the database, or None."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement, parameters).scalar()


def write(engine: Engine, statement: str, **parameters) -> None:
    """Arrange what no command can."""
    with engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def own_process(environment: dict[str, str], **more: str) -> dict[str, str]:
    """The environment for a process of its own, without what is set up around the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | environment | more
