"""Exit codes, and which one an error means.

What a person can mend is a sentence and a code. Anything else is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from enum import IntEnum

from pydantic import ValidationError
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from messages import InvalidCommand
from worker.cli.show import printable
from worker.embedded.server import EmbeddedServerFailed
from worker.errors import Terminal, explain, is_disconnect, sqlstate
from worker.feed.events import CursorGone
from worker.settings import Settings
from worker.store.lists import UnknownCursor

_NO_SCHEMA = {"3F000", "42P01", "42703", "42883"}
"""A schema, table, column or function is not there."""


class Code(IntEnum):
    """Exit codes; they are an interface. 2 is also the parser's own."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    REJECTED = 5
    DEAD = 6
    WAITING = 7
    INTERRUPTED = 130


class Failure(Exception):
    """What a command says instead of its result."""

    def __init__(self, message: str, code: Code = Code.FAILURE) -> None:
        super().__init__(message)
        self.code = code


def check_words(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a word that the option does not know; typer cannot do this for a repeated option.

    Raises:
      Failure: It names the words that are allowed.
    """
    if set(given) - set(known):
        raise Failure(f"{option}: must be one of {', '.join(known)}", Code.USAGE)


def failure(error: Exception) -> Failure | None:
    """The error as a sentence for a person; None if it is a bug."""
    match error:
        case Failure():
            return error
        case InvalidCommand():
            return Failure("; ".join(map(str, error.problems)), Code.USAGE)
        case ValidationError() if error.title == Settings.__name__:
            return Failure(_settings(error), Code.USAGE)
        case Terminal():
            return Failure(printable(str(error)))
        case UnicodeEncodeError() if error.reason == "surrogates not allowed":
            # Bytes of an argument; whatever else comes in was decoded.
            return Failure("the arguments must be valid UTF-8", Code.USAGE)
        case EmbeddedServerFailed():
            return Failure(str(error), Code.UNREACHABLE)
        case UnknownCursor() | CursorGone():
            return Failure(printable(str(error)), Code.NOT_FOUND)
        case ArgumentError():
            sentence = "DATABASE_URL: must be like postgresql://user:password@host:5432/database"
            return Failure(sentence, Code.USAGE)
        case SQLAlchemyError():
            return _database(error)
        case _:
            return None


def _settings(error: ValidationError) -> str:
    return "; ".join(
        f"{_variable(one['loc'])}{one['msg'].removeprefix('Value error, ')}"
        for one in error.errors(include_url=False, include_input=False)
    )


def _variable(loc: tuple[int | str, ...]) -> str:
    if not loc:
        return ""
    name = str(loc[0])
    # A field with an alias is reported by it.
    return f"{name}: " if name.isupper() else f"FULFILLMENT_{name.upper()}: "


def _database(error: SQLAlchemyError) -> Failure | None:
    if sqlstate(error) in _NO_SCHEMA:
        return Failure("the database's schema is missing or old: run `fulfillment migrate`")
    if is_disconnect(error) or isinstance(error, PoolTimeout):
        cause = str(getattr(error, "orig", error)).partition("\n")[0]
        return Failure(f"the database cannot be reached: {cause}", Code.UNREACHABLE)
    if isinstance(error, DBAPIError):
        _, _, message = explain(error)
        return Failure(f"the database refused: {message} ({sqlstate(error)})")
    return None
