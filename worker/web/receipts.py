"""Receipts: commands become rows, and each answer says what became of which."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from messages import Command, InvalidCommand
from messages.wire import TRACEPARENT
from worker.web.door import Door
from worker.web.json import answer
from worker.web.problems import Problem, invalid
from worker.work.accept import Receipt, accept_bodies


def accept(
    door: Door, request: Request, commands: Sequence[Command | InvalidCommand]
) -> list[dict[str, Any]]:
    """The receipts, in order, once they are committed."""
    bodies = [one.body() for one in commands if not isinstance(one, InvalidCommand)]
    receipts: Sequence[Receipt] = ()
    if bodies:
        with (
            door.tracing.accepting("http", request.headers.get(TRACEPARENT)) as own,
            door.at_once.connect() as connection,
        ):
            traceparents = [own] * len(bodies) if own else ()
            receipts = accept_bodies(connection, bodies, traceparents=traceparents)
    following = iter(receipts)
    return [
        _refused(one) if isinstance(one, InvalidCommand) else _told(one, next(following))
        for one in commands
    ]


def of_one(result: dict[str, Any]) -> Response:
    """The answer to a single command.

    Raises:
      Problem: It was not accepted.
    """
    match result["answer"]:
        case "id_reused":
            detail = "another command has this id; this one was not accepted"
            raise Problem("id-reused", detail, members={"command_id": result["command_id"]})
        case "refused":
            raise invalid((one["field"], one["detail"]) for one in result["errors"])
    return answer(result, 202, {"Location": result["location"]})


def of_many(results: list[dict[str, Any]]) -> Response:
    """The answer to an array.

    Raises:
      Problem: None of it was accepted.
    """
    if not any(one["location"] for one in results):
        is_valid = all(one["answer"] == "id_reused" for one in results)
        name = "id-reused" if is_valid else "none-accepted"
        raise Problem(name, "see results", members={"results": results})
    return answer({"results": results}, 202)


def _refused(command: InvalidCommand) -> dict[str, Any]:
    return {
        "command_id": None,
        "answer": "refused",
        "state": None,
        "outcome": None,
        "location": None,
        "errors": [{"field": field, "detail": allowed} for field, allowed in command.problems],
    }


def _told(command: Command, receipt: Receipt) -> dict[str, Any]:
    is_in = receipt.answer in {"accepted", "known"}
    problem = [{"field": "body", "detail": receipt.problem}] if receipt.problem else []
    return {
        "command_id": command.command_id,
        "answer": receipt.answer,
        "state": receipt.state,
        "outcome": receipt.outcome,
        "location": f"/v1/commands/{command.command_id}" if is_in else None,
        "errors": problem,
    }
